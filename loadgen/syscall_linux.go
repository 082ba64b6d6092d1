package loadgen

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// These system calls never wait, so the scheduler of the Go runtime, which would lend
// the processor to others meanwhile, is not told of them. That is a tenth of what a
// request takes.

// epollNow fills events with what is ready in an epoll set.
func epollNow(epoll int, events []unix.EpollEvent) (int, syscall.Errno) {
	return now(unix.SYS_EPOLL_PWAIT, epoll, unsafe.Pointer(&events[0]), len(events))
}

// readNow reads from a socket that does not block.
func readNow(fd int, b []byte) (int, syscall.Errno) {
	return now(unix.SYS_READ, fd, unsafe.Pointer(&b[0]), len(b))
}

// writeNow writes to a socket that does not block. b is not empty.
func writeNow(fd int, b []byte) (int, syscall.Errno) {
	return now(unix.SYS_WRITE, fd, unsafe.Pointer(&b[0]), len(b))
}

// now makes a system call until no signal interrupts it. Those above have in common that
// the fourth argument, if they have one, is 0: the timeout of epoll_pwait.
func now(trap uintptr, fd int, p unsafe.Pointer, n int) (int, syscall.Errno) {
	for {
		got, _, err := unix.RawSyscall6(trap, uintptr(fd), uintptr(p), uintptr(n), 0, 0, 0)
		switch err {
		case 0:
			return int(got), 0
		case unix.EINTR:
		default:
			return 0, err
		}
	}
}
