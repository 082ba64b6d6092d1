package scheduler

// flows holds what waits in one class: each flow's tickets in order of arrival,
// and the flows in a ring that is served one ticket at a time.
type flows struct {
	byKey map[uint64]*flowQueue
	next  *flowQueue // whose turn it is; nil when nothing waits
	spare *flowQueue // emptied queues for reuse, linked by next

	// byLength holds the flows with n bounded tickets at n, the last to come to
	// this length first. Lengths change by one, so that the longest is at hand.
	byLength []*flowQueue
	longest  int

	// lengths counts at n the flows with n tickets or more.
	lengths fenwick
}

// flowQueue is the waiting work of one flow.
type flowQueue struct {
	key        uint64
	tickets    list
	bounded    int        // of the tickets, those that count towards the bounds
	prev, next *flowQueue // the ring
	// The flows of the same length.
	moreRecent, lessRecent *flowQueue
}

// push adds t behind its flow's others. A flow that had nothing waiting takes
// its turn after all flows that are waiting now.
func (f *flows) push(t *ticket) {
	q := f.byKey[t.flow]
	if q == nil {
		q = f.enter(t.flow)
	}
	t.queue = q
	q.tickets.push(t, byFlow)
	f.lengths = f.lengths.grown(q.tickets.n)
	f.lengths.add(q.tickets.n, 1)
	if !t.kept {
		f.measure(q, 1)
	}
}

// first returns the ticket whose turn it is: of the flow whose turn it is, the
// newest or the oldest. It must not be called when nothing waits.
func (f *flows) first(newest bool) *ticket {
	if newest {
		return f.next.tickets.tail
	}
	return f.next.tickets.head
}

// advance gives the turn to the next flow.
func (f *flows) advance() { f.next = f.next.next }

// ahead returns how many have their turn before the next ticket of a flow, if that
// flow's turn comes after those of all others.
func (f *flows) ahead(key uint64, newest bool) int {
	own := 0
	if q := f.byKey[key]; q != nil {
		own = q.tickets.n
	}
	if newest {
		return f.lengths.sum(1) - min(own, 1)
	}
	return f.lengths.sum(own + 1) // of each flow, at most so many
}

// remove takes t out, wherever it stands.
func (f *flows) remove(t *ticket) {
	q := t.queue
	t.queue = nil
	f.lengths.add(q.tickets.n, -1)
	q.tickets.remove(t, byFlow)
	if !t.kept {
		f.measure(q, -1)
	}
	if q.tickets.n == 0 {
		f.leave(q)
	}
}

func (f *flows) enter(key uint64) *flowQueue {
	q := f.spare
	if q == nil {
		q = new(flowQueue)
	} else {
		f.spare = q.next
	}
	q.key = key
	if f.next == nil {
		q.prev, q.next = q, q
		f.next = q
	} else {
		q.next, q.prev = f.next, f.next.prev
		q.prev.next, q.next.prev = q, q
	}
	f.byKey[key] = q
	return q
}

func (f *flows) leave(q *flowQueue) {
	delete(f.byKey, q.key)
	if q.next == q {
		f.next = nil
	} else {
		q.prev.next, q.next.prev = q.next, q.prev
		if f.next == q {
			f.next = q.next
		}
	}
	*q = flowQueue{next: f.spare}
	f.spare = q
}

// measure changes q's length by one.
func (f *flows) measure(q *flowQueue, by int) {
	if q.bounded > 0 {
		if q.moreRecent != nil {
			q.moreRecent.lessRecent = q.lessRecent
		} else {
			f.byLength[q.bounded] = q.lessRecent
		}
		if q.lessRecent != nil {
			q.lessRecent.moreRecent = q.moreRecent
		}
		q.moreRecent, q.lessRecent = nil, nil
	}
	q.bounded += by
	for q.bounded >= len(f.byLength) {
		f.byLength = append(f.byLength, nil)
	}
	if q.bounded > 0 {
		if q.lessRecent = f.byLength[q.bounded]; q.lessRecent != nil {
			q.lessRecent.moreRecent = q
		}
		f.byLength[q.bounded] = q
	}
	f.longest = max(f.longest, q.bounded)
	if f.longest > 0 && f.byLength[f.longest] == nil {
		f.longest-- // to where q went
	}
}

// crowding returns the longest flow if it is longer than q, else nil. Of several,
// it is the one that came to this length last.
func (f *flows) crowding(q *flowQueue) *flowQueue {
	if f.longest <= q.bounded {
		return nil
	}
	return f.byLength[f.longest]
}
