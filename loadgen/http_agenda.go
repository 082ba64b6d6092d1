package loadgen

import "time"

// agenda has connections in the order of their deadlines, each of which is in one agenda
// at most. It is for one kind of deadline: as those are about as far away for each that is
// added, the place of a connection is at the end or near it. The zero value is empty.
type agenda struct{ first, last *conn }

// add moves c to a, with a deadline.
func (a *agenda) add(c *conn, deadline time.Duration) {
	c.leave()
	before := a.last
	for before != nil && before.deadline > deadline {
		before = before.earlier
	}
	c.agenda, c.deadline, c.earlier = a, deadline, before
	if before == nil {
		c.later, a.first = a.first, c
	} else {
		c.later, before.later = before.later, c
	}
	if c.later == nil {
		a.last = c
	} else {
		c.later.earlier = c
	}
}

// leave takes c out of its agenda, if it is in one.
func (c *conn) leave() {
	a := c.agenda
	if a == nil {
		return
	}
	if c.earlier == nil {
		a.first = c.later
	} else {
		c.earlier.later = c.later
	}
	if c.later == nil {
		a.last = c.earlier
	} else {
		c.later.earlier = c.earlier
	}
	c.agenda, c.earlier, c.later = nil, nil, nil
}

// due returns when the first deadline is over.
func (a *agenda) due() time.Duration {
	if a.first == nil {
		return never
	}
	return a.first.deadline
}

// expire ends the connections whose deadline is over.
func (a *agenda) expire(now time.Duration) {
	for c := a.first; c != nil && c.deadline <= now; c = a.first {
		c.expire()
	}
}
