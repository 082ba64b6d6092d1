package socket

import "golang.org/x/sys/unix"

// setUserTimeout sets TCP_USER_TIMEOUT in milliseconds. Where it is not 0, it also
// decides when keepalive gives a silent connection up, whatever its count says.
func setUserTimeout(fd, _ int, v value) error {
	return setNumber(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, v)
}

func getUserTimeout(fd, _ int) (value, error) {
	return getNumber(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
}
