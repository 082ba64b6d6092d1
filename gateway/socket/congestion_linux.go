package socket

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// setCongestion sets TCP_CONGESTION. On an open connection, the new control begins
// with the window that the old one had found.
func setCongestion(fd, _ int, v value) error {
	return unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, v.name)
}

func getCongestion(fd, _ int) (value, error) {
	name, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	return value{name: name}, err
}

// controls lists the congestion controls that are available, or allowed without a
// capability, for people. What can't be read is not listed.
func controls(which string) []string {
	text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_" + which + "_congestion_control")
	if err != nil {
		return nil
	}
	return strings.Fields(string(text))
}
