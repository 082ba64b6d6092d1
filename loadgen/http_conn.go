package loadgen

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/valyala/fasthttp"
)

// stream is the connection below a conn. It tells what comes by conn.received, and that
// the rest of a request was written by conn.written. Like those, it is for the loop.
type stream interface {
	// write sends a request: b, which is only valid during the call, and then the body
	// of rest, if there is a rest. It reports whether all of it is written.
	write(b []byte, rest *httpContent) (whole bool, err error)
	// catchUp tells at once what has come, as far as that takes no waiting.
	catchUp()
	// close ends the connection. A second time it does nothing.
	close()
}

// conn is one connection of a pool, with at most one request on its way. It is for the
// loop of its class.
type conn struct {
	pool   *pool
	stream stream

	call   *Call // without an outcome; nil while idle
	answer answer
	unsent bool // the request, even one that is answered, has not been written whole

	// An open connection is in one agenda, between these two.
	agenda         *agenda
	earlier, later *conn
	deadline       time.Duration // there

	served int  // requests so far
	ending bool // the peer sends nothing after what is being read
	failed bool
	gone   bool // closed
}

// open makes nc the connection of c.
func (c *conn) open(nc net.Conn) (err error) {
	c.stream, err = newStream(c, nc)
	return err
}

// send gives c a request. It may fail at once.
func (c *conn) send(w waiter) {
	p := c.pool
	c.call = w.call
	p.underway.add(c, w.deadline)
	c.served++
	c.answer = answer{head: c.answer.head[:0], toHead: w.call.Request.Method == fasthttp.MethodHead, job: w.call.Class.Job}
	content := p.render(w.call.Request)
	var rest *httpContent
	p.out, rest = content.appendBody(content.appendHeader(p.out[:0], w.call))
	whole, err := c.stream.write(p.out, rest)
	c.unsent = !whole
	if err != nil {
		c.fail(err)
	}
}

// written takes that the rest of the request was written.
func (c *conn) written() {
	c.unsent = false
	if c.call == nil && !c.gone { // it is answered already
		c.pool.release(c)
	}
}

// errUnasked is what a connection ends with that has sent more than answers.
var errUnasked = errors.New("loadgen: bytes that are no answer")

// errCut is what a request fails with whose connection ends.
var errCut = errors.New("loadgen: the connection ended before the answer was whole")

// received takes what was read, and the error that reading ended with.
func (c *conn) received(data []byte, err error) {
	switch {
	case c.gone:
		return
	case len(data) > 0 && c.call == nil:
		err = errUnasked
	case len(data) > 0:
		rest, whole, broken := c.answer.take(data, &c.pool.header)
		if whole {
			c.finish(len(rest) == 0 && err == nil)
			return
		}
		if broken != nil {
			err = broken
		}
	}
	switch {
	case err == nil:
	case errors.Is(err, io.EOF) && c.call != nil && c.answer.endsWithConnection():
		c.finish(false)
	case errors.Is(err, io.EOF):
		c.fail(errCut)
	default:
		c.fail(err)
	}
}

// finish gives the request its outcome, after its answer. Without reusable, the
// connection ends.
func (c *conn) finish(reusable bool) {
	call, p := c.call, c.pool
	c.call = nil
	call.Finish(c.answer.judged())
	switch {
	case !reusable || c.ending || c.answer.last || p.limit.Requests > 0 && c.served >= p.limit.Requests:
		c.close()
	case c.unsent:
		// A server that answers early may never take the rest.
		p.answered.add(c, p.loop.clock()+restTimeout)
	default:
		p.release(c)
	}
}

// expire ends c, whose deadline is over. If the loop was held up, the answer may have come
// before that and not have been read: whatever has come by now is in time.
func (c *conn) expire() {
	call := c.call
	if call != nil {
		c.stream.catchUp()
	}
	switch {
	case c.call != call:
	case call == nil && !c.unsent:
		c.close()
	default:
		c.fail(os.ErrDeadlineExceeded)
	}
}

// fail ends c, and its request if it has one.
func (c *conn) fail(err error) {
	call := c.call
	c.call, c.failed = nil, true
	c.close()
	if call != nil {
		call.Finish(c.pool.sender.judge(err, c.answer.size))
	}
}

// close ends c. Another connection is opened if requests wait for one.
func (c *conn) close() {
	if c.gone {
		return
	}
	c.gone = true
	c.leave()
	c.stream.close()
	c.pool.lost(c)
}
