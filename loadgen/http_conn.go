package loadgen

import (
	"bufio"
	"errors"
	"io"
	"math"
	"net"
	"net/http/httputil"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	readBuffer = 4 << 10
	// largestHeader is the largest response header that is read.
	largestHeader = 64 << 10
	// inline is the largest request that the caller of Send writes himself: it
	// fits into an empty socket buffer, so the system call does not block.
	inline = 8 << 10
	// smallBody is discarded from the read buffer; larger ones go around it.
	smallBody = 2 * readBuffer
)

// conn is one connection. Its goroutine (pool.run) reads; whoever has assigned a
// request to it writes that.
type conn struct {
	pool *pool
	nc   net.Conn
	out  []byte // of the request being written
	// call is the request without an outcome. Who swaps it for nil gives it one.
	call atomic.Pointer[Call]
	// sent has the result of writing the latest request, if that was a large one.
	// It belongs to whoever has the request.
	sent chan error

	// Guarded by pool.mu.
	deadline  time.Duration // of call
	idleSince time.Duration
	served    int  // requests so far
	gone      bool // closed, or about to be
}

// assignLocked gives c a request to be sent. The caller holds pool.mu.
func (c *conn) assignLocked(call *Call, deadline time.Duration) {
	c.deadline = deadline
	c.served++
	c.call.Store(call)
}

// closeLocked makes c unusable and ends its goroutine. The caller holds pool.mu.
func (c *conn) closeLocked() {
	if !c.gone {
		c.gone = true
		_ = c.nc.Close() // the reader gets the error
	}
}

// send writes the request that c was assigned.
func (c *conn) send(call *Call) {
	content := c.pool.render(call.Request)
	c.out = content.appendHeader(c.out[:0], call)
	if content.filler == 0 && len(c.out)+len(content.body) <= inline {
		c.out = append(c.out, content.body...)
		if _, err := c.nc.Write(c.out); err != nil {
			c.fail(err, 0)
		}
		return
	}
	sent := make(chan error, 1)
	c.sent = sent
	c.pool.sender.running.Go(func() {
		// Of an error the reader learns from its own: a server may answer and
		// close before it has taken the body, and that answer counts.
		sent <- content.writeLarge(c.nc, c.out)
	})
}

// fail ends the request of c, and c.
func (c *conn) fail(err error, size int64) {
	c.pool.mu.Lock()
	c.closeLocked() // first: from here on it is given no request
	c.pool.mu.Unlock()
	if call := c.call.Swap(nil); call != nil {
		call.Finish(c.pool.sender.judge(err, size))
	}
}

// errUnasked is what a connection ends with that has sent more than answers.
var errUnasked = errors.New("loadgen: bytes that are no answer")

// read takes answers until the connection is of no use any more.
func (c *conn) read() {
	br := bufio.NewReaderSize(c.nc, readBuffer)
	var h fasthttp.ResponseHeader
	for {
		_, err := br.Peek(1)
		// Not after the whole header: what began before its request was sent is no
		// answer to it.
		call := c.call.Load()
		if err == nil && call == nil {
			err = errUnasked
		}
		if err == nil {
			err = readFinalHeader(&br, &h)
		}
		if err != nil {
			c.fail(err, 0)
			return
		}
		size, err := discardBody(br, &h, call.Request.Method == fasthttp.MethodHead)
		if err != nil {
			c.fail(err, size)
			return
		}
		o := judgeAnswer(&h, call.Class.Job)
		o.Bytes = size
		if c.call.Swap(nil) == nil {
			return // it has got its outcome
		}
		var next *Call
		reusable := !h.ConnectionClose() && h.StatusCode() != fasthttp.StatusSwitchingProtocols && br.Buffered() == 0
		if reusable && c.sent != nil {
			o.At = time.Now()
			reusable = c.awaitSent()
		}
		if reusable {
			next, reusable = c.pool.release(c)
		}
		call.Finish(o)
		if !reusable {
			return
		}
		if next != nil {
			c.send(next)
		}
	}
}

// awaitSent reports whether the large request that was just answered has been
// written to its end. A server that answers early may never take the rest.
func (c *conn) awaitSent() bool {
	_ = c.nc.SetWriteDeadline(time.Now().Add(sweepEvery))
	err := <-c.sent
	c.sent = nil
	_ = c.nc.SetWriteDeadline(time.Time{})
	return err == nil
}

// readFinalHeader reads response headers up to one that is not interim (RFC
// 9110, section 15.2).
func readFinalHeader(br **bufio.Reader, h *fasthttp.ResponseHeader) error {
	for {
		if err := readHeader(br, h); err != nil {
			return err
		}
		if status := h.StatusCode(); status >= 200 || status == fasthttp.StatusSwitchingProtocols {
			return nil
		}
	}
}

// errNoStatus is what a connection ends with whose answer is none of HTTP/1.
var errNoStatus = errors.New("loadgen: an answer without a status line of HTTP/1")

// readHeader reads one response header. The reader grows for a large one.
func readHeader(br **bufio.Reader, h *fasthttp.ResponseHeader) error {
	// h takes any version, and the status 000 for 200.
	begin, err := (*br).Peek(len("HTTP/1.1 2"))
	if err != nil {
		return err
	}
	if string(begin[:7]) != "HTTP/1." || begin[9] < '1' || begin[9] > '9' {
		return errNoStatus
	}
	err = h.Read(*br)
	if err == nil {
		return nil
	}
	var small *fasthttp.ErrSmallBuffer
	if errors.As(err, &small) && (*br).Size() < largestHeader {
		*br = bufio.NewReaderSize(*br, largestHeader) // takes what is in the small one
		return h.Read(*br)
	}
	return err
}

// judgeAnswer says what a complete answer means.
func judgeAnswer(h *fasthttp.ResponseHeader, job bool) Outcome {
	status := h.StatusCode()
	var o Outcome
	if status/100 == 2 {
		o = classifyStatus(status, "", job)
	} else {
		o = classifyStatus(status, string(h.Peek(HeaderReason)), job)
	}
	if job && o.Kind == OutcomeOK {
		o.Location = string(h.Peek(fasthttp.HeaderLocation))
	}
	for _, field := range h.PeekAll(headerServerTiming) {
		if o.Queue = queueTime(string(field)); o.Queue >= 0 {
			break
		}
	}
	return o
}

// discardBody reads the body that follows h and returns its length without the
// framing (RFC 9112, section 6.3).
func discardBody(br *bufio.Reader, h *fasthttp.ResponseHeader, head bool) (int64, error) {
	status, length := h.StatusCode(), h.ContentLength()
	switch {
	case head || status < 200 || status == fasthttp.StatusNoContent || status == fasthttp.StatusNotModified:
		return 0, nil
	case length >= 0 && length <= smallBody:
		n, err := br.Discard(length)
		return int64(n), unexpected(err)
	case length >= 0:
		n, err := discard(br, int64(length))
		if err == nil && n < int64(length) {
			err = io.ErrUnexpectedEOF
		}
		return n, err
	case length == -1: // chunked
		n, err := discard(httputil.NewChunkedReader(br), math.MaxInt64)
		if err == nil {
			err = unexpected(h.ReadTrailer(br))
		}
		return n, err
	default: // to the end of the connection
		return discard(br, math.MaxInt64)
	}
}

// unexpected is err for where an answer goes on: its end is a broken one.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

var discardBuffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// discard reads up to n bytes of r, to its end at most.
func discard(r io.Reader, n int64) (total int64, err error) {
	buf := discardBuffers.Get().(*[64 << 10]byte)
	defer discardBuffers.Put(buf)
	for total < n {
		got, err := r.Read(buf[:min(int64(len(buf)), n-total)])
		total += int64(got)
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
