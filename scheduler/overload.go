package scheduler

import "time"

// overloadInterval is for how long the first in line must have waited longer than
// the objective before a class is taken for overloaded. It is CoDel's interval
// (RFC 8289 section 4.3): shorter bursts are for the queue to absorb.
const overloadInterval = 100 * time.Millisecond

// overload says whether a class has been over its objective for too long, and so
// whom to serve: in an overload, whoever waits longest is the one most likely to
// have given up.
type overload struct {
	objective time.Duration // 0: always first in, first out
	since     time.Duration // when the objective was first missed; 0: it is not
	newest    bool          // serve the newest first
}

// see takes in how long the first in line has waited.
func (o *overload) see(waited, now time.Duration) {
	switch {
	case o.objective == 0:
	case waited <= o.objective:
		o.since, o.newest = 0, false
	case o.since == 0:
		o.since = now
	case now-o.since >= overloadInterval:
		o.newest = true
	}
}

// watch looks at the first in line of the class.
func (c *classState) watch(now time.Duration) {
	if first := c.waiting.head; first != nil {
		c.overload.see(now-first.arrived, now)
	}
}
