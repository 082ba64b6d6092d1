//go:build !linux

package gateway

import "net/netip"

// originalDestination knows nothing here: redirecting by netfilter is Linux's.
func originalDestination(int, bool) (dst netip.AddrPort, ok bool) { return dst, false }
