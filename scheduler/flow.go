package scheduler

// flows holds what waits in one class: each flow's tickets in order of arrival,
// and the flows in a ring that is served one ticket at a time.
type flows struct {
	byKey map[uint64]*flowQueue
	next  *flowQueue // whose turn it is; nil when nothing waits
	spare *flowQueue // emptied queues for reuse, linked by next
}

// flowQueue is the waiting work of one flow.
type flowQueue struct {
	key        uint64
	tickets    list
	prev, next *flowQueue // the ring
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
}

// first returns the ticket whose turn it is. It must not be called when nothing
// waits.
func (f *flows) first() *ticket { return f.next.tickets.head }

// advance gives the turn to the next flow.
func (f *flows) advance() { f.next = f.next.next }

// remove takes t out, wherever it stands.
func (f *flows) remove(t *ticket) {
	q := t.queue
	t.queue = nil
	q.tickets.remove(t, byFlow)
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
