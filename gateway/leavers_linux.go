package gateway

import "golang.org/x/sys/unix"

// hungUp returns those of the suspects whose peer has closed its side, or the
// whole, of the connection. POLLRDHUP tells even while pipelined bytes are
// unread, where a peek would only see the bytes. See poll(2).
func hungUp(suspects []suspect) []suspect {
	if len(suspects) == 0 {
		return nil
	}
	fds := make([]unix.PollFd, len(suspects))
	for i, s := range suspects {
		fds[i] = unix.PollFd{Fd: int32(s.conn.fd), Events: unix.POLLRDHUP}
	}
	if n, err := unix.Poll(fds, 0); err != nil || n == 0 {
		return nil // EINTR at most: the next look is soon
	}
	gone := suspects[:0]
	for i, fd := range fds {
		if fd.Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0 {
			gone = append(gone, suspects[i])
		}
	}
	return gone
}
