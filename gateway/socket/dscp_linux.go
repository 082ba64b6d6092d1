package socket

import "golang.org/x/sys/unix"

// setDSCP sets the code point and leaves the two bits below it alone: they belong
// to explicit congestion notification (RFC 3168 section 5).
//
// An IPv6 socket gets both options, as it sends IPv4 packets when it is connected
// to a v4-mapped address, which accepted ones often are.
func setDSCP(fd, family int, v value) error {
	if err := setCodePoint(fd, unix.IPPROTO_IP, unix.IP_TOS, v); err != nil || family == unix.AF_INET {
		return err
	}
	return setCodePoint(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, v)
}

func setCodePoint(fd, level, name int, v value) error {
	octet, err := unix.GetsockoptInt(fd, level, name)
	if err != nil {
		return err
	}
	return unix.SetsockoptInt(fd, level, name, int(v.number)<<2|octet&3)
}

// getDSCP returns the code point of the socket's own family.
func getDSCP(fd, family int) (value, error) {
	level, name := unix.IPPROTO_IP, unix.IP_TOS
	if family == unix.AF_INET6 {
		level, name = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
	}
	octet, err := unix.GetsockoptInt(fd, level, name)
	return value{number: uint64(octet >> 2)}, err
}
