package loadgen

import (
	"errors"
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// writeTurn is how much of a large request is written before others have their turn.
const writeTurn = 256 << 10

// socket is a TCP connection that the loop of its class reads and writes, without ever
// waiting for it.
type socket struct {
	conn   *conn
	fd     int   // -1 when closed
	number int32 // of the poller

	// What is left to be written of a request: in this order.
	rest, body []byte
	filler     int64

	hungUp bool // the peer writes no more: reading comes to its end
	busy   bool // among those of the loop
}

// newStream returns nc as the stream of c. nc is not to be used after it.
func newStream(c *conn, nc net.Conn) (stream, error) {
	tcp, plain := nc.(*net.TCPConn)
	if !plain {
		return newPump(c, nc), nil
	}
	s := &socket{conn: c, fd: -1}
	if err := s.takeOver(tcp); err != nil {
		return nil, err
	}
	if err := c.pool.loop.poller.add(s); err != nil {
		_ = unix.Close(s.fd)
		return nil, err
	}
	return s, nil
}

// takeOver gives the socket of nc a descriptor that the Go runtime does not watch.
func (s *socket) takeOver(nc *net.TCPConn) error {
	defer func() { _ = nc.Close() }()
	raw, err := nc.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		s.fd, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	})
	return errors.Join(err, failed)
}

// write implements [stream].
func (s *socket) write(b []byte, rest *httpContent) (whole bool, err error) {
	n, err := s.writeSome(b)
	if err != nil {
		return false, err
	}
	if n == len(b) && rest == nil {
		return true, nil
	}
	s.rest = append([]byte(nil), b[n:]...)
	if rest != nil {
		s.body, s.filler = rest.body, rest.filler
	}
	s.resume()
	return false, nil
}

// writeSome writes what fits into the buffer of the socket.
func (s *socket) writeSome(b []byte) (int, error) {
	for {
		switch n, err := syscall.Write(s.fd, b); err {
		case nil:
			return n, nil
		case syscall.EAGAIN:
			return 0, nil
		case syscall.EINTR:
		default:
			return 0, err
		}
	}
}

// notice takes that something has happened to the socket.
func (s *socket) notice(events uint32) {
	s.hungUp = s.hungUp || events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
	more := false
	if events&unix.EPOLLOUT != 0 && s.unsent() {
		more = s.flush()
	}
	if events&unix.EPOLLIN != 0 || s.hungUp {
		more = s.read() || more
	}
	if more {
		s.resume()
	}
}

// resume has work called in the next turn.
func (s *socket) resume() {
	if !s.busy && s.fd >= 0 {
		s.busy = true
		s.conn.pool.loop.busy = append(s.conn.pool.loop.busy, s)
	}
}

// work implements [worker].
func (s *socket) work() (more bool) {
	s.busy = false
	more = s.unsent() && s.flush()
	more = s.read() || more
	if s.busy { // again, with the next request
		return false
	}
	s.busy = more
	return more
}

// unsent reports whether something is left of the request.
func (s *socket) unsent() bool { return len(s.rest) > 0 || len(s.body) > 0 || s.filler > 0 }

// flush writes what is left of a large request, a part at a time. It reports whether
// there is more that could be written at once.
func (s *socket) flush() (more bool) {
	for written := 0; written < writeTurn; {
		var part []byte
		switch {
		case s.fd < 0:
			return false
		case len(s.rest) > 0:
			part = s.rest
		case len(s.body) > 0:
			part = s.body[:min(len(s.body), writeTurn)]
		case s.filler > 0:
			part = filler[:min(s.filler, int64(len(filler)))]
		default:
			s.conn.written()
			return false
		}
		n, err := s.writeSome(part)
		if err != nil {
			// A server may answer and close before it has taken the body, and that
			// answer counts: it is for the reader to find the end.
			s.rest, s.body, s.filler, s.hungUp = nil, nil, 0, true
			return true
		}
		switch {
		case len(s.rest) > 0:
			s.rest = s.rest[n:]
		case len(s.body) > 0:
			s.body = s.body[n:]
		default:
			s.filler -= int64(n)
		}
		if n < len(part) {
			return false // there will be an event
		}
		written += n
	}
	return true
}

// read reads once. It reports whether there may be more to read at once.
func (s *socket) read() (more bool) {
	if s.fd < 0 {
		return false
	}
	in := s.conn.pool.in
	n, err := syscall.Read(s.fd, in)
	switch {
	case err == syscall.EINTR:
		return true
	case err == syscall.EAGAIN:
		return false
	case err != nil:
		s.conn.received(nil, err)
	case n == 0:
		s.conn.received(nil, io.EOF)
	default:
		s.conn.ending = s.hungUp
		s.conn.received(in[:n], nil)
		// What reads less than was asked for has emptied the socket (epoll(7)).
		return s.fd >= 0 && (n == len(in) || s.hungUp)
	}
	return false
}

// catchUp implements [stream].
func (s *socket) catchUp() {
	there, err := unix.IoctlGetInt(s.fd, unix.TIOCINQ)
	if err != nil {
		return // there will be an event
	}
	more := false
	for range there/readBuffer + 2 { // one of them for the end
		more = s.read()
	}
	if more {
		s.resume()
	}
}

// close implements [stream].
func (s *socket) close() {
	if s.fd >= 0 {
		_ = unix.Close(s.fd)
		s.fd = -1
		s.conn.pool.loop.poller.remove(s)
		s.rest, s.body, s.filler = nil, nil, 0
	}
}
