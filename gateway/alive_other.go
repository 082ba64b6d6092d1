//go:build !unix

package gateway

import "net"

// alive can't look at an idle connection here; the first use tells.
func alive(net.Conn) bool { return true }
