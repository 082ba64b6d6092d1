package socket

import "golang.org/x/sys/unix"

// setPriority sets SO_PRIORITY. It must come after IP_TOS, which writes it too.
func setPriority(fd, _ int, v value) error {
	return setNumber(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, v)
}

func getPriority(fd, _ int) (value, error) {
	return getNumber(fd, unix.SOL_SOCKET, unix.SO_PRIORITY)
}
