package scheduler

import "time"

// ticket is one piece of waiting work. It is intrusive: the lists below link
// tickets without allocating.
type ticket struct {
	// What the work is; set before it arrives and constant while it waits.
	class   int
	flow    uint64
	bytes   int64
	kept    bool          // its place is elsewhere: not bounded, displaced or timed out
	expires time.Duration // when it is shed if it still waits; 0: never
	due     time.Duration // when it must be done; 0: whenever
	avoid   []bool        // see Work
	waiter  *waiter       // the shell's; nothing to the core

	// Owned by the core.
	state   state
	reason  Reason // when shed
	late    Reason // the reason when it expires
	seq     uint64 // order of arrival
	place   int    // the same among those that wait, see arrivals
	facts   Wait
	arrived time.Duration
	decided time.Duration // when started or shed
	slot    slotID        // when started
	server  int           // when started
	queue   *flowQueue
	inFlow  links // place in the queue of its flow
	inClass links // place among all that wait in its class
}

type state uint8

const (
	idle    state = iota // not known to the core
	waiting              // in the lists of its class
	started              // has a slot
	shed                 // refused, see reason
)

type links struct{ prev, next *ticket }

// expired reports whether the ticket may no longer be dispatched at now.
func (t *ticket) expired(now time.Duration) bool {
	return t.expires != 0 && now >= t.expires
}

// hopeless reports whether the ticket would not be done in time if it were
// dispatched at now, judging by the durations of its class.
func (t *ticket) hopeless(d *durations, now time.Duration) bool {
	return t.due != 0 && now+d.short(now) >= t.due
}

// list is a doubly linked list of tickets through the links that of selects.
type list struct {
	head, tail *ticket
	n          int
}

// byFlow and byClass are the two lists that a waiting ticket is in.
func byFlow(t *ticket) *links  { return &t.inFlow }
func byClass(t *ticket) *links { return &t.inClass }

func (l *list) push(t *ticket, of func(*ticket) *links) {
	*of(t) = links{prev: l.tail}
	if l.tail == nil {
		l.head = t
	} else {
		of(l.tail).next = t
	}
	l.tail = t
	l.n++
}

func (l *list) remove(t *ticket, of func(*ticket) *links) {
	at := of(t)
	if at.prev == nil {
		l.head = at.next
	} else {
		of(at.prev).next = at.next
	}
	if at.next == nil {
		l.tail = at.prev
	} else {
		of(at.next).prev = at.prev
	}
	*at = links{}
	l.n--
}
