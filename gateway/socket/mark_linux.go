package socket

import "golang.org/x/sys/unix"

// setMark sets SO_MARK. A mark that changes makes the kernel look for the
// connection's route anew, as routing may go by it.
func setMark(fd, _ int, v value) error {
	return setNumber(fd, unix.SOL_SOCKET, unix.SO_MARK, v)
}

func getMark(fd, _ int) (value, error) {
	return getNumber(fd, unix.SOL_SOCKET, unix.SO_MARK)
}
