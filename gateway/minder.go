package gateway

import (
	"context"
	"errors"
	"net"
	"time"

	"overtake/gateway/config"
	"overtake/scheduler"
)

// probePatience is how long a server that is down may take to accept a connection.
const probePatience = 2 * time.Second

// minded is what an upstream knows of one of its servers, and what of it the
// scheduler and the log have been told.
type minded struct {
	health
	told  standing
	share int
	// look wakes the server's minder; of capacity 1.
	look chan struct{}
}

func newMinded(rules *healthRules, n int) []minded {
	now := time.Now()
	all := make([]minded, n)
	for i := range all {
		all[i] = minded{health: health{rules: rules}, share: rampSteps, look: make(chan struct{}, 1)}
		if rules.interval > 0 {
			all[i].checkAt = now
		}
	}
	return all
}

// rulesOf returns when the standing of an upstream's servers changes.
func rulesOf(c config.Upstream) *healthRules {
	r := &healthRules{failures: c.Eject.Failures, ejectFor: c.Eject.For, ramp: c.Eject.Ramp}
	if h := c.Health; h != nil {
		r.interval, r.checkFailures, r.checksPassed = h.Interval, h.Failures, h.Successes
	}
	return r
}

// mind does for one server what time brings, until the upstream is closed: checks,
// the end of an ejection, the steps of a ramp.
func (u *upstream) mind(i int) {
	const nothing = time.Hour
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-u.stop.Done():
			return
		case <-u.minded[i].look:
		case <-timer.C:
		}
		at, check := u.tick(i)
		if check {
			err := u.check(u.stop, u.servers[i])
			if u.stop.Err() != nil {
				return
			}
			u.note(i, func(h *health, now time.Time, _ bool) { h.checked(now, err) })
			at, _ = u.tick(i)
		}
		if at.IsZero() {
			at = time.Now().Add(nothing)
		}
		timer.Reset(time.Until(at))
	}
}

// tick moves the server on, and returns when to look again, zero for not before
// something happens, and whether a check is due now.
func (u *upstream) tick(i int) (at time.Time, check bool) {
	u.note(i, func(h *health, now time.Time, _ bool) {
		h.tick(now)
		at, check = h.next(now), !h.checkAt.IsZero() && !now.Before(h.checkAt)
	})
	return at, check
}

// check asks a server whether it is fit for requests: by what the configuration
// says, or whether it takes a connection.
func (u *upstream) check(ctx context.Context, s *server) error {
	if u.health != nil {
		return s.check(ctx, u.health)
	}
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	return s.knock(ctx)
}

// note changes what is known of a server, and does what follows. event gets to know
// whether no other server is in use.
func (u *upstream) note(i int, event func(h *health, now time.Time, last bool)) {
	for _, c := range u.noted(i, event) {
		c.log(u)
	}
}

func (u *upstream) noted(i int, event func(h *health, now time.Time, last bool)) []change {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	last := true
	for j := range u.minded {
		last = last && (j == i || !u.minded[j].serves())
	}
	event(&u.minded[i].health, now, last)
	u.servers[i].failing.Store(u.minded[i].failed > 0)
	return u.followLocked(now)
}

// followLocked tells the scheduler what has changed, and returns what the log is to be
// told. A server that ramps has its whole limit if none is there to make up for what
// it leaves.
func (u *upstream) followLocked(now time.Time) (changes []change) {
	if !u.anyLocked((*health).serves) {
		for i := range u.minded {
			u.minded[i].recall(now)
		}
	}
	anyUp := u.anyLocked(func(h *health) bool { return h.standing == serverUp })
	for i := range u.minded {
		m := &u.minded[i]
		share := rampSteps
		if anyUp {
			share = m.health.share(now)
		}
		if share != m.share {
			m.share = share
			u.scheduler.SetShare(i, scheduler.BasisPoints(share*10_000/rampSteps))
		}
		if m.standing == m.told {
			continue
		}
		u.scheduler.SetDown(i, !m.serves())
		changes = append(changes, change{i, m.health, m.told, !u.anyLocked((*health).serves)})
		m.told = m.standing
		select {
		case m.look <- struct{}{}:
		default:
		}
	}
	return changes
}

// anyLocked reports whether f holds for a server.
func (u *upstream) anyLocked(f func(*health) bool) bool {
	for i := range u.minded {
		if f(&u.minded[i].health) {
			return true
		}
	}
	return false
}

// leaves reports whether requests go to a server that has not been tried: to those in
// use, or to all of them if none is.
func (u *upstream) leaves(tried []bool) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	none := true
	for i := range u.minded {
		if !u.minded[i].serves() {
			continue
		}
		if !tried[i] {
			return true
		}
		none = false
	}
	return none
}

// change is what the log is told of a server whose standing has changed.
type change struct {
	server int
	health
	before standing
	alone  bool // no server is in use
}

func (c *change) log(u *upstream) {
	log := u.log.With("server", u.servers[c.server].name)
	switch {
	case c.standing == serverDown && c.alone:
		log.Warn("upstream can't be reached; its requests get 502 until it can: is it running there?", "error", c.why)
	case c.standing == serverDown:
		log.Warn("server is down; it is tried until it is fit for requests again", "error", c.why)
	case c.standing == serverEjected:
		log.Warn("server is ejected for a while: its answers failed", "for", c.until.Sub(c.since), "error", c.why)
	case c.standing == serverRamping:
		log.Info("server is back, with a share of its limit that grows", "after", c.before.String(), "within", c.rules.ramp)
	default:
		log.Info("server is back, with its whole limit", "after", c.before.String())
	}
}

// blame notes that a server failed a request that it got at began. That a connection
// took longer than this request had does not mean that none can be made; and that a
// hurried try, see call, had too little time says nothing of the server.
func (u *upstream) blame(on int, began time.Time, hurried bool, f *failure) {
	var timeout net.Error
	impatient := errors.As(f.err, &timeout) && timeout.Timeout() && time.Since(began) < dialTimeout
	switch {
	case u.unrouted, hurried && (impatient || f.reason == reasonUpstreamTimeout):
	case f.reason == reasonConnectFailed && !impatient:
		u.note(on, func(h *health, now time.Time, _ bool) { h.unreachable(now, began, f.err) })
	case f.reason == reasonConnectFailed, f.reason == reasonUpstreamTimeout, f.reason == reasonUpstreamFailed && !errors.Is(f.err, errStale):
		u.note(on, func(h *health, now time.Time, last bool) { h.answerFailed(now, began, last, f.err) })
	}
}

// standings returns what is known of all servers.
func (u *upstream) standings() []health {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := make([]health, len(u.minded))
	for i := range all {
		all[i] = u.minded[i].health
	}
	return all
}

// findDown looks which servers take no connections now.
func (u *upstream) findDown(ctx context.Context) {
	for i, s := range u.servers {
		began := time.Now()
		if err := s.knock(ctx); err != nil && ctx.Err() == nil {
			u.note(i, func(h *health, now time.Time, _ bool) { h.unreachable(now, began, err) })
		}
	}
}

// knock makes a connection for nobody in particular.
func (s *server) knock(ctx context.Context) error {
	conn, err := s.open(ctx, mostUrgent, time.Time{})
	if err != nil {
		return err
	}
	return conn.Close()
}

// mostUrgent is the class of connections for nobody in particular: if it can't get
// through, nobody can.
const mostUrgent = 0
