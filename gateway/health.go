package gateway

import "time"

// standing says what a server is to its upstream.
type standing uint8

const (
	serverUp      standing = iota // gets requests
	serverDown                    // takes no connections, or its checks fail
	serverEjected                 // takes them, and its answers failed; out of use for a while
	serverRamping                 // gets some requests: it is just back
)

// String is the standing's name in /debug/queues and in the log.
func (s standing) String() string { return [...]string{"up", "down", "ejected", "ramping"}[s] }

// healthRules say when a server's standing changes. Durations of 0 are none.
type healthRules struct {
	failures int           // answers in a row that must fail; 0 ejects nothing
	ejectFor time.Duration // the first time
	ramp     time.Duration

	// Of active checks; without, that is with interval 0, only a server that is down
	// is tried, and one success is enough.
	interval                    time.Duration
	checkFailures, checksPassed int // in a row
}

const (
	// A server that is down is tried every firstProbe at first, and more and more
	// seldom up to every lastProbe, or as often as it is checked.
	firstProbe = 250 * time.Millisecond
	lastProbe  = 2 * time.Second
	// longestEjection is how many times as long an ejection gets for a server whose
	// answers fail again each time.
	longestEjection = 8
	// rampSteps is in how many steps a server that is back gets its limit again.
	rampSteps = 10
)

// health is what is known of one server, and what follows from it. It is a state
// machine without lock and clock:
//
//	up, ramping    no connection can be made, or checks fail          down
//	up             answers fail, and another server is in use         ejected
//	ramping        one answer fails, and another server is in use     ejected
//	down           a connection can be made, or checks succeed        ramping
//	ejected        its time is over                                   ramping
//	ejected        no connection can be made, or checks fail          down
//	ejected        no other server is in use any more                 up
//	ramping        all steps are done                                 up
type health struct {
	rules    *healthRules
	standing standing
	since    time.Time // when it came to its standing
	why      error     // that it came to it, where something failed

	failed    int           // answers in a row
	ejections int           // in quick succession
	until     time.Time     // the end of the ejection
	contrary  int           // checks in a row that say otherwise than the standing
	checkAt   time.Time     // when it is to be checked; zero for never
	pause     time.Duration // before the next check of a server that is down
}

// serves reports whether the server is in use.
func (h *health) serves() bool { return h.standing == serverUp || h.standing == serverRamping }

// answered notes an answer that did not fail.
func (h *health) answered() { h.failed = 0 }

// answerFailed notes an answer that failed, to a request that was sent at began: what
// began before the standing says nothing against it. last says that no other server
// is in use.
func (h *health) answerFailed(now, began time.Time, last bool, why error) {
	if !h.serves() || began.Before(h.since) {
		return
	}
	h.failed++
	enough := h.failed >= h.rules.failures || h.standing == serverRamping
	if h.rules.failures == 0 || !enough || last {
		return
	}
	if h.standing == serverUp && now.Sub(h.since) > h.rules.ejectFor {
		h.ejections = 0
	}
	h.become(serverEjected, now, why)
	h.until = now.Add(h.rules.ejectFor * time.Duration(min(1<<min(h.ejections, 8), longestEjection)))
	h.ejections++
}

// unreachable notes that no connection could be made, by who tried since began.
func (h *health) unreachable(now, began time.Time, why error) {
	if h.standing == serverDown || began.Before(h.since) {
		return
	}
	h.fall(now, why)
}

// checked notes the result of a check, nil for success.
func (h *health) checked(now time.Time, err error) {
	active := h.rules.interval > 0
	if (err == nil) == (h.standing != serverDown) {
		h.contrary = 0
	} else {
		h.contrary++
	}
	switch {
	case h.contrary == 0:
	case err == nil && h.contrary >= max(1, h.rules.checksPassed):
		h.back(now)
	case err != nil && active && h.contrary >= h.rules.checkFailures:
		h.fall(now, err)
		return
	}
	switch {
	case h.standing == serverDown && !active:
		h.pause = min(2*h.pause, lastProbe)
		h.checkAt = now.Add(h.pause)
	case h.standing == serverDown:
		h.pause = min(2*h.pause, h.rules.interval)
		h.checkAt = now.Add(h.pause)
	case active:
		h.checkAt = now.Add(h.rules.interval)
	default:
		h.checkAt = time.Time{}
	}
}

// fall makes the server one that is down.
func (h *health) fall(now time.Time, why error) {
	h.become(serverDown, now, why)
	h.pause = firstProbe
	if h.rules.interval > 0 {
		h.pause = min(firstProbe, h.rules.interval)
	}
	h.checkAt = now.Add(h.pause)
}

// back takes the server into use again, step by step.
func (h *health) back(now time.Time) {
	if h.rules.ramp > 0 {
		h.become(serverRamping, now, nil)
	} else {
		h.become(serverUp, now, nil)
	}
}

// recall ends an ejection before its time.
func (h *health) recall(now time.Time) {
	if h.standing == serverEjected {
		h.become(serverUp, now, nil)
	}
}

func (h *health) become(s standing, now time.Time, why error) {
	h.standing, h.since, h.why = s, now, why
	h.failed, h.contrary = 0, 0
}

// tick does what time alone does.
func (h *health) tick(now time.Time) {
	switch {
	case h.standing == serverEjected && !now.Before(h.until):
		h.back(now)
	case h.standing == serverRamping && h.step(now) >= rampSteps:
		h.become(serverUp, now, nil)
	}
}

// step returns how many steps of its ramp the server has done.
func (h *health) step(now time.Time) int {
	return int(now.Sub(h.since) * rampSteps / h.rules.ramp)
}

// share returns how much of its limit the server gets, in tenths.
func (h *health) share(now time.Time) int {
	if h.standing != serverRamping {
		return rampSteps
	}
	return min(max(h.step(now), 0)+1, rampSteps)
}

// next returns when to tick or to check, zero for never.
func (h *health) next(now time.Time) time.Time {
	at := h.checkAt
	var change time.Time
	switch h.standing {
	case serverEjected:
		change = h.until
	case serverRamping:
		// Rounded up, so that the step is done by then.
		change = h.since.Add((h.rules.ramp*time.Duration(h.step(now)+1) + rampSteps - 1) / rampSteps)
	}
	if at.IsZero() || !change.IsZero() && change.Before(at) {
		return change
	}
	return at
}
