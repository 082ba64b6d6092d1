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
	conns map[*conn]struct{}
	idle  []*conn
	open  int // conns, and those being dialed
	// waiting are requests that found limit.Max connections in use, the oldest
	// first. MaxOutstanding bounds them.
	waiting fifo
	closed  bool
}

// waiter is a request without a connection.
type waiter struct {
	call     *Call
	deadline time.Duration
}

// take returns a connection that is c's from now on. It returns nil if c waits
// for one: it is sent when that is there.
func (p *pool) take(c *Call) *conn {
	deadline := p.sender.now() + c.Timeout
	p.mu.Lock()
	for n := len(p.idle); n > 0 && !p.closed; n = len(p.idle) {
		conn := p.idle[n-1]
		p.idle = p.idle[:n-1]
		if conn.gone {
			continue
		}
		conn.assignLocked(c, deadline)
		p.mu.Unlock()
		return conn
	}
	switch {
	case p.closed:
		p.mu.Unlock()
		c.Finish(unfinished())
		return nil
	case p.limit.Max > 0 && p.open >= p.limit.Max:
		p.waiting.push(waiter{c, deadline})
	default:
		p.dialLocked(waiter{c, deadline})
	}
	p.mu.Unlock()
	return nil
}

// dialLocked opens one more connection, for w. The caller holds mu.
func (p *pool) dialLocked(w waiter) {
	p.open++
	p.sender.running.Go(func() { p.run(w) })
}

// run is the goroutine of one connection.
func (p *pool) run(w waiter) {
	nc, err := p.sender.dial(w.deadline - p.sender.now())
	if err != nil {
		p.lost(nil)
		w.call.Finish(p.sender.judge(err, 0))
		return
	}
	c := &conn{pool: p, nc: nc}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		_ = nc.Close()
		w.call.Finish(unfinished())
		return
	}
	p.conns[c] = struct{}{}
	c.assignLocked(w.call, w.deadline)
	p.mu.Unlock()
	c.send(w.call)
	c.read()
	_ = nc.Close()
	p.lost(c)
}

// lost counts that a connection is no more, c if it ever was, and replaces it
// if requests wait for one.
func (p *pool) lost(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c != nil {
		c.gone = true
		delete(p.conns, c)
	}
	p.open--
	if w, ok := p.waiting.pop(); ok {
		p.dialLocked(w)
	}
}

// release takes c back after an answer. It returns the request that has waited
// for it, if any. usable is false if c can't be used again.
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
