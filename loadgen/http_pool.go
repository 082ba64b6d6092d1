package loadgen

import (
	"net"
	"os"
	"time"
)

// pool has the connections of one class. It is for the loop of that class.
type pool struct {
	sender *httpSender // immutable
	loop   *loop       // immutable
	limit  Connections // immutable

	content *httpContent // of the latest request

	// conns are all that are open, idle those without a request: the one that
	// was used last is taken first, so that those too many become old. Some in
	// idle may be gone already.
	conns   map[*conn]struct{}
	idle    []*conn
	dialing int  // connections that are being opened
	short   bool // dial will see whether more are needed
	// shortSince is when that was noticed.
	shortSince time.Duration
	// waiting are requests that found none idle, the oldest first.
	// MaxOutstanding bounds them.
	waiting fifo
	closed  bool

	// Shared by the connections, each of which uses them for a moment.
	in, out []byte
	header  headerReader
}

// waiter is a request without a connection.
type waiter struct {
	call            *Call
	since, deadline time.Duration // on the clock of the loop
	late            bool          // it started late
}

// maxDialing bounds how many connections of a class are being opened at a time, and so
// how fast: where that takes 100 ms, 2560 a second. Requests beyond wait, and their
// latency says so.
const maxDialing = 256

// A generator that has been late would open thousands of connections for what has piled
// up, which requests in time would never have needed, and be busy with that while more
// piles up. So nothing is opened for longestRead while answers are left to be read, whose
// connections are about to be idle; and what starts late by lateDial is waited for:
// there are enough connections to keep the loop busy with it, and more only for what has
// waited out of patience.
const (
	longestRead = 10 * time.Millisecond
	lateDial    = time.Millisecond
	enough      = 2 * maxTogether
	patience    = 100 * time.Millisecond
)

func newPool(s *httpSender, l *loop, limit Connections) *pool {
	return &pool{sender: s, loop: l, limit: limit, conns: make(map[*conn]struct{}), in: make([]byte, readBuffer), header: newHeaderReader()}
}

// send sends c on an idle connection. Without one c waits, and goes onto whichever
// comes first, a connection that becomes idle or a new one.
func (p *pool) send(c *Call) {
	if p.closed {
		c.Finish(unfinished())
		return
	}
	now := p.loop.clock()
	w := waiter{call: c, since: now, deadline: now + c.Timeout, late: c.started-c.intended > lateDial}
	for n := len(p.idle); n > 0; n = len(p.idle) {
		conn := p.idle[n-1]
		p.idle = p.idle[:n-1]
		if !conn.gone {
			conn.send(w)
			return
		}
	}
	p.waiting.push(w)
	p.needConn()
}

// needConn has the end of this turn, or of the next one, see whether connections are
// needed for what waits.
func (p *pool) needConn() {
	if !p.short {
		p.short, p.shortSince = true, p.loop.now
		p.loop.again = true
	}
}

// dial opens connections for what waits, at the end of a turn.
func (p *pool) dial() {
	if !p.short {
		return
	}
	if p.loop.full && p.loop.now-p.shortSince < longestRead {
		p.loop.again = true
		return
	}
	p.short = false
	for n := p.needed(); !p.closed && p.dialing < n && (p.limit.Max == 0 || len(p.conns)+p.dialing < p.limit.Max); {
		p.dialing++
		p.sender.running.Go(func() {
			nc, err := p.sender.dial()
			p.loop.post(func() { p.dialed(nc, err) })
		})
	}
}

// needed is how many connections should be being opened.
func (p *pool) needed() int {
	n := p.waiting.inTime
	if w, ok := p.waiting.oldest(); ok && p.loop.now-w.since > patience {
		n = p.waiting.len()
	}
	return min(max(n, min(p.waiting.len(), enough-len(p.conns))), maxDialing)
}

// dialed takes a connection, or the reason why there is none.
func (p *pool) dialed(nc net.Conn, err error) {
	p.dialing--
	c := &conn{pool: p}
	if err == nil && p.closed {
		_ = nc.Close()
		return
	}
	if err == nil {
		err = c.open(nc)
	}
	if err != nil {
		p.refused(err)
		return
	}
	p.conns[c] = struct{}{}
	p.release(c)
	p.needConn() // what still waits may have been too much for maxDialing
}

// refused ends the request that has waited longest for a connection that could
// not be opened.
func (p *pool) refused(err error) {
	w, ok := p.waiting.pop()
	p.needConn()
	if ok {
		w.call.Finish(p.sender.judge(err, 0))
	}
}

// lost forgets a connection, and replaces it if requests wait for one.
func (p *pool) lost(c *conn) {
	delete(p.conns, c)
	p.needConn()
}

// release gives c, which is new or has its answer, the request that has waited longest.
func (p *pool) release(c *conn) {
	if w, ok := p.waiting.pop(); ok {
		c.send(w)
		return
	}
	c.idleSince = p.loop.now
	p.idle = append(p.idle, c)
}

// sweep times out what is overdue and closes what has been idle for too long.
func (p *pool) sweep() { p.sweepAt(p.loop.now) }

func (p *pool) sweepAt(now time.Duration) {
	for c := range p.conns {
		if (c.call != nil || c.unsent) && now > c.deadline {
			c.fail(os.ErrDeadlineExceeded)
		}
	}
	for w, ok := p.waiting.oldest(); ok && now > w.deadline; w, ok = p.waiting.oldest() {
		_, _ = p.waiting.pop()
		w.call.Finish(failed(FailTimeout))
	}
	if p.waiting.len() > 0 {
		p.needConn() // for what has lost its patience
	}
	kept := p.idle[:0]
	for _, c := range p.idle {
		if now-c.idleSince > idleTimeout {
			c.close()
		}
		if !c.gone {
			kept = append(kept, c)
		}
	}
	clear(p.idle[len(kept):])
	p.idle = kept
}

// close ends all requests and connections.
func (p *pool) close() {
	p.closed = true
	for c := range p.conns {
		c.fail(net.ErrClosed) // judged as unfinished: the sender is closed
	}
	for w, ok := p.waiting.pop(); ok; w, ok = p.waiting.pop() {
		w.call.Finish(unfinished())
	}
	p.idle = nil
}

// fifo is a queue of requests. The zero value is empty.
type fifo struct {
	waiters []waiter
	first   int // of those that are still there
	inTime  int // of those, the ones that did not start late
}

func (q *fifo) len() int { return len(q.waiters) - q.first }

func (q *fifo) push(w waiter) {
	q.waiters = append(q.waiters, w)
	if !w.late {
		q.inTime++
	}
}

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
	if !w.late {
		q.inTime--
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
