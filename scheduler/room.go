package scheduler

import "time"

// fit keeps the waiting room within its bounds after t, which is not kept, had
// to enter it. If there is no room for t, the newest work of less urgent classes
// is pushed out, or that of the flow which crowds the class, or else t itself is
// refused.
func (c *core) fit(t *ticket, now time.Duration) {
	class := &c.classes[t.class]
	// Work without bytes takes no bytes from anybody, even where more urgent
	// work holds more than the bound.
	lackCount := class.bounded > class.maxWaiting || c.bounded > c.maxWaiting
	lackBytes := t.bytes > 0 && (class.bytes > class.maxBytes || c.bytes > c.maxBytes)
	full, need := QueueFull, int64(0)
	if !lackCount {
		full = QueueBytes
	}
	if lackBytes {
		need = t.bytes
	}
	switch {
	case t.bytes > class.maxBytes:
		c.shed(t, QueueBytes, now)
	case !lackCount && !lackBytes:
		// There is room.
	case class.maxWaiting == 0:
		c.shed(t, QueueFull, now)
	case c.displace(t.class, need, now):
		// There is room now.
	case lackCount && !lackBytes:
		victim := t
		if q := class.flows.crowding(t.queue); q != nil {
			victim = newestBounded(q.tickets.tail, byFlow)
		}
		c.shed(victim, QueueFull, now)
	default:
		c.shed(t, full, now)
	}
}

// displace pushes out the newest work of the least urgent class below class, and
// goes on until what it pushed out held need bytes. It reports whether the work
// below class that may be pushed out held so much; otherwise it pushes nothing
// out. Each class keeps the share of its places that is its floor: it could not
// be served by its floor if it were not there.
func (c *core) displace(class int, need int64, now time.Duration) bool {
	c.victims = c.victims[:0]
	for i := len(c.classes) - 1; i > class; i-- {
		below := &c.classes[i]
		t := below.waiting.tail
		for n := below.bounded - below.keeps; n > 0; n-- {
			t = newestBounded(t, byClass)
			c.victims = append(c.victims, t)
			if need -= t.bytes; need <= 0 {
				for _, victim := range c.victims {
					c.shed(victim, Displaced, now)
				}
				clear(c.victims)
				return true
			}
			t = t.inClass.prev
		}
	}
	clear(c.victims)
	return false
}

// newestBounded returns the last ticket of the list that ends with t which may be
// pushed out. There must be one.
func newestBounded(t *ticket, of func(*ticket) *links) *ticket {
	for t.kept {
		t = of(t).prev
	}
	return t
}
