package socket

import "golang.org/x/sys/unix"

// setNotSentLowat sets TCP_NOTSENT_LOWAT; 0 is what sysctl net.ipv4.tcp_notsent_lowat
// says, which is no bound unless somebody changed it.
func setNotSentLowat(fd, _ int, v value) error {
	return setNumber(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, v)
}

func getNotSentLowat(fd, _ int) (value, error) {
	return getNumber(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
}
