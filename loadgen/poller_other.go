//go:build !linux

package loadgen

import (
	"net"
	"time"
)

// poller waits for a moment, with the precision of the Go runtime's timers, and for a
// wake-up. It is not safe for concurrent use, except for wake.
type poller struct {
	timer  *time.Timer
	bell   chan struct{} // has one after a wake-up
	parked bool          // the latest wait let others run
	ready  int           // sockets to be served: always none
	rests  *idleness
}

// newPoller returns a poller that counts in rests when there was nothing to do.
func newPoller(rests *idleness) (*poller, error) {
	return &poller{rests: rests, timer: time.NewTimer(0), bell: make(chan struct{}, 1)}, nil
}

// wait returns after a wake-up or at a moment. With rest, goroutines that are ready run
// first.
func (p *poller) wait(until time.Time, rest bool) {
	wait := time.Until(until)
	if rest {
		wait = max(wait, time.Microsecond)
	}
	if p.parked = wait > 0; !p.parked {
		return
	}
	begun := time.Now()
	p.timer.Reset(wait)
	select {
	case <-p.timer.C:
	case <-p.bell:
	}
	if !rest {
		p.rests.asleep.Add(int64(time.Since(begun)))
	}
}

// wake ends a wait, or the next one.
func (p *poller) wake() {
	select {
	case p.bell <- struct{}{}:
	default: // it is known already
	}
}

// serve does nothing: each connection is read by a goroutine.
func (p *poller) serve() {}

func (p *poller) close() { p.timer.Stop() }

// newStream returns nc as the stream of c.
func newStream(c *conn, nc net.Conn) (stream, error) { return newPump(c, nc), nil }
