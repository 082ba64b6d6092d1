package loadgen

import (
	"net"
	"time"
)

// pool has the connections of one class. It is for the loop of that class.
type pool struct {
	sender *httpSender // immutable
	loop   *loop       // immutable
	limit  Connections // immutable

	content *httpContent // of the latest request

	// conns are all that are open. Of those in idle, the one that was used last is
	// taken first, so that those too many become old.
	conns    map[*conn]struct{}
	underway agenda // with a request
	answered agenda // whose request has its answer and is not written whole
	idle     agenda
	dialing  int  // connections that are being opened
	short    bool // settle will see whether more are needed
	// shortSince is when that was noticed.
	shortSince time.Duration
	// waiting are requests that found no connection idle, held those that have to wait
	// because the generator was late; the oldest first. MaxOutstanding bounds them.
	waiting, held fifo
	closed        bool

	// Shared by the connections, each of which uses them for a moment.
	in, out []byte
	header  headerReader
}

// waiter is a request without a connection.
type waiter struct {
	call            *Call
	since, deadline time.Duration // on the clock of the loop
}

// maxDialing bounds how many connections of a class are being opened at a time, and so
// how fast: where that takes 100 ms, 2560 a second. Requests beyond wait, and their
// latency says so.
const maxDialing = 256

// A generator that was stopped would open thousands of connections for what has piled
// up, which requests in time would never have needed, and be busy with that while more
// piles up. So nothing is opened for longestRead while answers are left to be read, whose
// connections are about to be idle; and what starts late by heldLag is held: there are
// enough connections to keep the loop busy with it, and more only for what has waited
// out of patience.
//
// To be held is no doing of the target: such a request starts, as far as its lag, service
// time and timeout go, when it gets a connection or has lost its patience. heldLag is
// a lag that the verdict allows to one request in a hundred at most, unless the class is
// slow and rare, and more than it takes to send what is due at the same moment.
const (
	longestRead = 10 * time.Millisecond
	heldLag     = 4 * usualLagLimit
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
	w := waiter{call: c, since: now, deadline: now + c.Timeout}
	switch {
	case p.idle.last != nil:
		p.idle.last.send(w)
		return
	case c.started-c.intended > heldLag && p.mayDial():
		p.held.push(w)
	default:
		p.waiting.push(w)
	}
	p.needConn()
}

// mayDial reports whether the class may have one more connection.
func (p *pool) mayDial() bool { return p.limit.Max == 0 || len(p.conns)+p.dialing < p.limit.Max }

// next takes the request that has waited longest, if one waits. It starts now if it was
// held.
func (p *pool) next() (waiter, bool) {
	if p.waiting.len()+p.held.len() == 0 {
		return waiter{}, false
	}
	now := p.loop.clock()
	p.giveUp(now)
	w, waits := p.waiting.oldest()
	if h, held := p.held.oldest(); held && (!waits || h.since < w.since) {
		p.held.pop()
		return h.startedAt(now), true
	}
	p.waiting.pop()
	return w, waits
}

// giveUp times out what has waited for too long. It is never sent.
func (p *pool) giveUp(now time.Duration) {
	for w, ok := p.waiting.oldest(); ok && w.deadline <= now; w, ok = p.waiting.oldest() {
		p.waiting.pop()
		w.call.Finish(failed(FailTimeout))
	}
}

// startedAt is w when it is held no longer.
func (w waiter) startedAt(now time.Duration) waiter {
	w.call.delay(now - w.since)
	w.since, w.deadline = now, now+w.call.Timeout
	return w
}

// needConn has the end of this turn, or of the next one, see whether connections are
// needed for what waits.
func (p *pool) needConn() {
	if !p.short {
		p.short, p.shortSince = true, p.loop.now
		p.loop.again = true
	}
}

// settle implements [attendant]: it opens connections for what waits.
func (p *pool) settle() {
	if !p.short {
		return
	}
	if p.loop.full && p.loop.now-p.shortSince < longestRead {
		p.loop.again = true
		return
	}
	p.short = false
	for n := p.needed(); !p.closed && p.dialing < n && p.mayDial(); {
		p.dialing++
		p.sender.running.Go(func() {
			nc, err := p.sender.dial()
			p.loop.post(func() { p.dialed(nc, err) })
		})
	}
}

// needed is how many connections should be being opened.
func (p *pool) needed() int {
	n := p.waiting.len()
	return min(max(n, min(n+p.held.len(), enough-len(p.conns))), maxDialing)
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
	w, ok := p.next()
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
	if w, ok := p.next(); ok {
		c.send(w)
		return
	}
	p.idle.add(c, p.loop.now+idleTimeout)
}

// due implements [attendant].
func (p *pool) due() time.Duration {
	at := min(p.underway.due(), p.answered.due(), p.idle.due())
	if w, ok := p.waiting.oldest(); ok {
		at = min(at, w.deadline)
	}
	if w, ok := p.held.oldest(); ok {
		at = min(at, w.since+patience)
	}
	return at
}

// expire implements [attendant]: it times out what is overdue, closes what has been idle
// for too long, and has connections opened for what has lost its patience.
func (p *pool) expire(now time.Duration) {
	p.underway.expire(now)
	p.answered.expire(now)
	p.idle.expire(now)
	p.giveUp(now)
	for w, ok := p.held.oldest(); ok && w.since+patience <= now; w, ok = p.held.oldest() {
		p.held.pop()
		p.waiting.push(w.startedAt(now))
		p.needConn()
	}
}

// close ends all requests and connections.
func (p *pool) close() {
	p.closed = true
	for c := range p.conns {
		c.fail(net.ErrClosed) // judged as unfinished: the sender is closed
	}
	for _, line := range []*fifo{&p.waiting, &p.held} {
		for w, ok := line.pop(); ok; w, ok = line.pop() {
			w.call.Finish(unfinished())
		}
	}
}

// fifo is a queue of requests. The zero value is empty.
type fifo struct {
	waiters []waiter
	first   int // of those that are still there
}

func (q *fifo) len() int { return len(q.waiters) - q.first }

func (q *fifo) push(w waiter) {
	q.waiters = append(q.waiters, w)
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
	q.waiters[q.first] = waiter{}
	q.first++
	if q.first*2 >= len(q.waiters) { // move what is left once in as many pops
		n := copy(q.waiters, q.waiters[q.first:])
		clear(q.waiters[n:])
		q.waiters, q.first = q.waiters[:n], 0
	}
	return w, true
}
