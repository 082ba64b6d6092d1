package loadgen

import (
	"sync"
	"time"
)

// pool has the connections of one class. It is safe for concurrent use.
type pool struct {
	sender *httpSender // immutable
	limit  Connections // immutable

	content atomicContent // of the latest request

	mu sync.Mutex
	// conns are all that are open, idle those without a request: the one that
	// was used last is taken first, so that those too many become old. Some in
	// idle may be gone already.
	conns   map[*conn]struct{}
	idle    []*conn
	dialing int // connections that are being opened
	// waiting are requests that found none idle, the oldest first.
	// MaxOutstanding bounds them.
	waiting fifo
	closed  bool
}

// waiter is a request without a connection.
type waiter struct {
	call     *Call
	deadline time.Duration
}

// maxDialing bounds how many connections of a class are being opened at a time.
// When the generator itself was late, this keeps it from spending all its time on
// new connections while answers lie unread on those it has. It also bounds how
// fast connections are opened: where that takes 100 ms, 2560 a second. Requests
// beyond wait, and their latency says so.
const maxDialing = 256

// take returns an idle connection that is c's from now on. Without one c waits,
// and nil is returned: c goes onto whichever comes first, a connection that
// becomes idle or a new one.
func (p *pool) take(c *Call) *conn {
	deadline := p.sender.now() + c.Timeout
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		c.Finish(unfinished())
		return nil
	}
	defer p.mu.Unlock()
	for n := len(p.idle); n > 0; n = len(p.idle) {
		conn := p.idle[n-1]
		p.idle = p.idle[:n-1]
		if !conn.gone {
			conn.assignLocked(c, deadline)
			return conn
		}
	}
	p.waiting.push(waiter{c, deadline})
	p.dialLocked()
	return nil
}

// dialLocked opens a connection if requests wait for more than are being opened.
// The caller holds mu.
func (p *pool) dialLocked() {
	if p.closed || p.dialing >= min(p.waiting.len(), maxDialing) || p.limit.Max > 0 && len(p.conns)+p.dialing >= p.limit.Max {
		return
	}
	p.dialing++
	p.sender.running.Go(p.run)
}

// run is the goroutine of one connection.
func (p *pool) run() {
	nc, err := p.sender.dial()
	if err != nil {
		p.refused(err)
		return
	}
	c := &conn{pool: p, nc: nc}
	p.mu.Lock()
	p.dialing--
	p.conns[c] = struct{}{}
	c.gone = p.closed
	p.mu.Unlock()
	call, usable := p.release(c)
	p.mu.Lock()
	p.dialLocked() // what still waits may have been too much for maxDialing
	p.mu.Unlock()
	if usable {
		if call != nil {
			c.send(call)
		}
		c.read()
	}
	_ = nc.Close()
	p.lost(c)
}

// refused ends the request that has waited longest for a connection that could
// not be opened.
func (p *pool) refused(err error) {
	p.mu.Lock()
	p.dialing--
	w, ok := p.waiting.pop()
	p.dialLocked()
	p.mu.Unlock()
	if ok {
		w.call.Finish(p.sender.judge(err, 0))
	}
}

// lost forgets a connection, and replaces it if requests wait for one.
func (p *pool) lost(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.gone = true
	delete(p.conns, c)
	p.dialLocked()
}

// release takes c after an answer, or when it is new. It returns the request that
// has waited for it, if any. usable is false if c can't be used any more.
func (p *pool) release(c *conn) (next *Call, usable bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || c.gone || p.limit.Requests > 0 && c.served >= p.limit.Requests {
		return nil, false
	}
	if w, ok := p.waiting.pop(); ok {
		c.assignLocked(w.call, w.deadline)
		return w.call, true
	}
	c.idleSince = p.sender.now()
	p.idle = append(p.idle, c)
	return nil, true
}

// sweep times out what is overdue and closes what has been idle for too long.
func (p *pool) sweep(now time.Duration) {
	var overdue []*Call
	p.mu.Lock()
	for c := range p.conns {
		// The deadline is that of the call: both are only set under mu.
		if now > c.deadline {
			if call := c.call.Swap(nil); call != nil {
				c.closeLocked()
				overdue = append(overdue, call)
			}
		}
	}
	for w, ok := p.waiting.oldest(); ok && now > w.deadline; w, ok = p.waiting.oldest() {
		_, _ = p.waiting.pop()
		overdue = append(overdue, w.call)
	}
	kept := p.idle[:0]
	for _, c := range p.idle {
		if now-c.idleSince > idleTimeout {
			c.closeLocked()
		}
		if !c.gone {
			kept = append(kept, c)
		}
	}
	clear(p.idle[len(kept):])
	p.idle = kept
	p.mu.Unlock()
	for _, call := range overdue {
		call.Finish(failed(FailTimeout))
	}
}

// close ends all requests and connections. Goroutines end soon after.
func (p *pool) close() {
	var calls []*Call
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		if call := c.call.Swap(nil); call != nil {
			calls = append(calls, call)
		}
		c.closeLocked()
	}
	for w, ok := p.waiting.pop(); ok; w, ok = p.waiting.pop() {
		calls = append(calls, w.call)
	}
	p.idle = nil
	p.mu.Unlock()
	for _, call := range calls {
		call.Finish(unfinished())
	}
}

// fifo is a queue of requests. The zero value is empty.
type fifo struct {
	waiters []waiter
	first   int // of those that are still there
}

func (q *fifo) len() int { return len(q.waiters) - q.first }

func (q *fifo) push(w waiter) { q.waiters = append(q.waiters, w) }

func (q *fifo) oldest() (waiter, bool) {
	if q.first == len(q.waiters) {
		return waiter{}, false
	}
	return q.waiters[q.first], true
}

func (q *fifo) pop() (waiter, bool) {
	w, ok := q.oldest()
	if !ok {
		return w, false
	}
	q.waiters[q.first] = waiter{}
	q.first++
	if q.first*2 >= len(q.waiters) { // move what is left once in as many pops
		n := copy(q.waiters, q.waiters[q.first:])
		clear(q.waiters[n:])
		q.waiters, q.first = q.waiters[:n], 0
	}
	return w, true
}
