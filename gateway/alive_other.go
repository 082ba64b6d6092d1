//go:build !unix

package gateway

// alive can't look at an idle connection here; the first use tells.
func alive(int) bool { return true }
