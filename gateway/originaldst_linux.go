package gateway

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// soOriginalDst is SO_ORIGINAL_DST of linux/netfilter_ipv4.h, and
// IP6T_SO_ORIGINAL_DST of linux/netfilter_ipv6/ip6_tables.h: one number.
const soOriginalDst = 80

// originalDestination returns where a connection was going to before netfilter
// redirected it, by the descriptor of the accepted socket; v6 says which family it
// has on the wire. ok is false where the kernel knows of no translation.
func originalDestination(fd int, v6 bool) (dst netip.AddrPort, ok bool) {
	// x/sys has no call that returns a socket address; these two return the first
	// 20 and 32 bytes of an option, and an address is 16 or 28.
	if v6 {
		info, err := unix.GetsockoptIPv6MTUInfo(fd, unix.IPPROTO_IPV6, soOriginalDst)
		if err != nil {
			return dst, false
		}
		return netip.AddrPortFrom(netip.AddrFrom16(info.Addr.Addr), networkOrder(info.Addr.Port)), true
	}
	option, err := unix.GetsockoptIPv6Mreq(fd, unix.IPPROTO_IP, soOriginalDst)
	if err != nil {
		return dst, false
	}
	address := (*unix.RawSockaddrInet4)(unsafe.Pointer(option)) // 20 bytes, of which it takes 16
	return netip.AddrPortFrom(netip.AddrFrom4(address.Addr), networkOrder(address.Port)), true
}

// networkOrder reads a port as it stands in a socket address.
func networkOrder(port uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], port)
	return binary.BigEndian.Uint16(b[:])
}
