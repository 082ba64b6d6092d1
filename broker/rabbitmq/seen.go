package rabbitmq

import (
	"sync"
	"time"
)

// maxSeen bounds how many settled messages a lane remembers.
const maxSeen = 1 << 16

// stay identifies one stay of a message in its lane: a delayed retry begins
// another one, and so does a replay. Two deliveries of the same stay are
// repetitions: the message was published twice, or came again after its
// acknowledgement was lost.
type stay struct {
	id       string
	attempts int    // before this stay
	replayed string // its [broker.HeaderReplayed]
}

// seen remembers the stays that were settled here. It needs a lock from outside.
type seen struct {
	keep  time.Duration
	since map[stay]time.Time
	order []stay // oldest first
}

// add remembers s from now on, and forgets what is older than keep, or too much.
func (w *seen) add(s stay, now time.Time) {
	if w.since == nil {
		w.since = make(map[stay]time.Time)
	}
	if _, ok := w.since[s]; !ok {
		w.order = append(w.order, s)
	}
	w.since[s] = now
	for len(w.order) > 0 && (len(w.order) > maxSeen || now.Sub(w.since[w.order[0]]) > w.keep) {
		delete(w.since, w.order[0])
		w.order = w.order[1:]
	}
}

// has reports whether s was added less than keep ago.
func (w *seen) has(s stay, now time.Time) bool {
	since, ok := w.since[s]
	return ok && now.Sub(since) <= w.keep
}

// repeats are deliveries to be acknowledged unseen.
type repeats struct {
	mu   sync.Mutex
	list []*delivery
}

func (r *repeats) put(d *delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, d)
}

func (r *repeats) take() []*delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.list
	r.list = nil
	return list
}
