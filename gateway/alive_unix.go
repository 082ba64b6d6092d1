//go:build unix

package gateway

import "golang.org/x/sys/unix"

// alive reports whether an idle connection can carry another request: the
// server has neither closed it nor sent anything unasked. It looks without
// waiting, so that a server's idle time-out seldom meets a request half-way.
// What was there to be read is lost: such a connection can't be used anyway.
func alive(fd int) bool {
	var b [1]byte
	_, err := unix.Read(fd, b[:])
	return err == unix.EAGAIN || err == unix.EWOULDBLOCK
}
