package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// sender sends a request body that comes from the network, while the response is
// being read.
type sender struct {
	done     chan struct{} // closed when the goroutine has ended
	err      error         // then: why the body was not sent completely
	panicked any           // then: what the goroutine panicked with; see end
	readAll  atomic.Bool   // the body has come from the client completely
	waiting  atomic.Bool   // for the client to send more of it
	abort    func()
}

// clientBodyError is a request body that broke off or was framed wrongly.
type clientBodyError struct{ err error }

func (e *clientBodyError) Error() string { return "gateway: request body: " + e.err.Error() }
func (e *clientBodyError) Unwrap() error { return e.err }

// failure is what the client is told.
func (e *clientBodyError) failure() *failure {
	var limit *failure
	if errors.As(e.err, &limit) {
		return limit
	}
	return &failure{reason: reasonBadRequest, err: e}
}

// errBodyAborted is what a streamed body's Read returns after abortBody.
var errBodyAborted = errors.New("gateway: request body given up")

func startSender(conn *upstreamConn, o *outbound) *sender {
	s := &sender{done: make(chan struct{}), abort: o.abortBody}
	body := &patientBody{Reader: o.body, conn: conn, timeout: o.timeout, last: o.tryTimeout, deadline: o.deadline, sender: s}
	go func() {
		defer close(s.done)
		defer func() {
			if p := recover(); p != nil {
				s.panicked, s.err = fmt.Sprintf("%v, in %s", p, debug.Stack()), errPanicked
				_ = conn.Close() // the server would wait in vain for the rest
			}
		}()
		s.err = writeBody(conn.bw, body, o)
		if s.err == nil {
			s.err = conn.bw.Flush()
		}
		conn.closeWithoutBody(s.err)
	}()
	return s
}

// closeWithoutBody closes the connection if err is of a body that did not come: the
// server would wait in vain for the rest.
func (c *upstreamConn) closeWithoutBody(err error) {
	var bodyErr *clientBodyError
	if errors.As(err, &bodyErr) {
		_ = c.Close()
	}
}

// stop waits for the goroutine, which has ended already in a normal exchange, or
// is about to: it may still be in the call that sent what the server has
// answered. If it has not, the server answered without waiting for the whole
// body; then the rest is given up, and neither connection can be used again.
func (s *sender) stop(conn net.Conn) error {
	if s.readAll.Load() {
		_ = conn.SetWriteDeadline(time.Now().Add(lookEvery))
		return s.end()
	}
	select {
	case <-s.done:
		return s.end()
	default:
	}
	conn.Close()
	s.abort()
	_ = s.end() // it was given up
	return errBodyAborted
}

// end waits for the goroutine. What it panicked with goes on here, once, where the
// request is served.
func (s *sender) end() error {
	<-s.done
	if p := s.panicked; p != nil {
		s.panicked = nil
		panic(p)
	}
	return s.err
}

// patientBody moves the connection's deadline on as the body makes progress, so
// that the timeout counts from the last part of a long upload.
type patientBody struct {
	io.Reader
	conn     *upstreamConn
	timeout  time.Duration
	last     time.Duration // instead of timeout after the end of the body; 0 for no other
	deadline time.Time     // never moved past it
	until    time.Time
	sender   *sender
}

func (b *patientBody) Read(p []byte) (int, error) {
	b.sender.waiting.Store(true)
	n, err := b.Reader.Read(p)
	b.sender.waiting.Store(false)
	if now := time.Now(); err == io.EOF || b.until.Sub(now) < b.timeout/2 {
		b.until = now.Add(b.timeout)
		if err == io.EOF && b.last > 0 {
			b.until = now.Add(b.last)
		}
		if !b.deadline.IsZero() && b.until.After(b.deadline) {
			b.until = b.deadline
		}
		_ = b.conn.SetDeadline(b.until) // on a closed connection, the next write says so
	}
	if err == io.EOF {
		b.sender.readAll.Store(true)
	}
	return n, err
}

// writeBody writes the body of o, which is read from body. An error of reading is a
// *clientBodyError.
func writeBody(bw *bufio.Writer, body io.Reader, o *outbound) error {
	length := o.length
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	var sent int64
	for {
		n, err := body.Read(*buf)
		if n > 0 {
			sent += int64(n)
			if werr := writePart(bw, (*buf)[:n], length < 0); werr != nil {
				return werr
			}
		}
		switch {
		case err == io.EOF && length >= 0 && sent < length:
			return &clientBodyError{io.ErrUnexpectedEOF}
		case err == io.EOF && length < 0:
			return writeEnd(bw, o)
		case err == io.EOF:
			return nil
		case errors.Is(err, errBodyAborted):
			return err
		case err != nil:
			return &clientBodyError{err}
		}
	}
}

// writeEnd ends a chunked body.
func writeEnd(bw *bufio.Writer, o *outbound) error {
	end := []byte("0\r\n")
	if o.trailer != nil {
		var err error
		if end, err = o.trailer(end); err != nil {
			return &clientBodyError{err}
		}
	}
	_, err := bw.Write(append(end, crlf...))
	return err
}

func writePart(bw *bufio.Writer, p []byte, chunked bool) error {
	if !chunked {
		_, err := bw.Write(p)
		return err
	}
	var size [20]byte
	head := append(strconv.AppendInt(size[:0], int64(len(p)), 16), '\r', '\n')
	if _, err := bw.Write(head); err != nil {
		return err
	}
	if _, err := bw.Write(p); err != nil {
		return err
	}
	if _, err := bw.WriteString("\r\n"); err != nil {
		return err
	}
	// A chunk is passed on as it comes: the sender may wait for an answer to it.
	return bw.Flush()
}

// copyBuffers are for moving bodies; 32 KiB, as io.Copy's.
var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}
