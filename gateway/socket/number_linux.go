package socket

import "golang.org/x/sys/unix"

// setNumber sets an option that is a number of 32 bits.
func setNumber(fd, level, name int, v value) error {
	return unix.SetsockoptInt(fd, level, name, int(v.number))
}

func getNumber(fd, level, name int) (value, error) {
	n, err := unix.GetsockoptInt(fd, level, name)
	return value{number: uint64(uint32(n))}, err
}
