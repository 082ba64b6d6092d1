package socket

import "golang.org/x/sys/unix"

// setMaxPacingRate sets SO_MAX_PACING_RATE, which is an unsigned long: all ones is
// no bound. Without the fq queue, TCP paces by a timer of its own (Linux 4.13).
func setMaxPacingRate(fd, _ int, v value) error {
	return unix.SetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE, v.number)
}

func getMaxPacingRate(fd, _ int) (value, error) {
	rate, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE)
	return value{number: rate}, err
}
