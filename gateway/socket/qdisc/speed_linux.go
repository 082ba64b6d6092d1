package qdisc

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolCmd is struct ethtool_cmd of the kernel.
type ethtoolCmd struct {
	cmd                    uint32
	supported, advertising uint32
	speed                  uint16
	_                      [14]byte
	speedHigh              uint16
	_                      [14]byte
}

// ethtoolRequest is struct ifreq with a pointer to the data of SIOCETHTOOL.
type ethtoolRequest struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte
}

// speedOf returns the rate of a device in bytes per second as ethtool knows it, 0
// if it doesn't.
func speedOf(device string) uint64 {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer func() { _ = unix.Close(fd) }()
	command := ethtoolCmd{cmd: unix.ETHTOOL_GSET}
	request := ethtoolRequest{data: unsafe.Pointer(&command)}
	copy(request.name[:unix.IFNAMSIZ-1], device)
	var pinner runtime.Pinner
	pinner.Pin(&command)
	defer pinner.Unpin()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return 0
	}
	megabits := uint32(command.speedHigh)<<16 | uint32(command.speed)
	if megabits == unix.SPEED_UNKNOWN&0xffffffff {
		return 0
	}
	return uint64(megabits) * 1e6 / 8
}
