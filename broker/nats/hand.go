package nats

import (
	"sync"

	natsgo "github.com/nats-io/nats.go"
)

// maxRemembered is how many of the messages that were done a lane remembers. What
// may come again is what was on its way meanwhile, or what a server whose machine
// has crashed does not know any more.
const maxRemembered = 1 << 14

// position is where a message is in its stream: the sequence, and when it was
// stored, as a stream that was made anew counts anew.
type position struct {
	sequence uint64
	stored   int64
}

func positionOf(meta *natsgo.MsgMetadata) position {
	return position{meta.Sequence.Stream, meta.Timestamp.UnixNano()}
}

// hand is what a lane has in hand, and what it has done last. It knows repetitions
// by them: a server that was killed has forgotten what it has delivered in the last
// moment, and delivers it again to those who still work on it.
type hand struct {
	mu     sync.Mutex
	held   map[position]*delivery // neither settled nor being settled
	done   map[position]struct{}
	order  []position // of done; a ring when it is full
	oldest int        // in that ring
}

func newHand() hand {
	return hand{held: make(map[position]*delivery), done: make(map[position]struct{})}
}

// hold takes d. If it is a repetition of one that is held or done, hold does not
// take it, and returns the one that is held, or nil.
func (h *hand) hold(d *delivery) (held *delivery, taken bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := positionOf(d.meta)
	if _, ok := h.done[p]; ok {
		return nil, false
	}
	if before, ok := h.held[p]; ok {
		return before, false
	}
	h.held[p] = d
	return nil, true
}

func (h *hand) release(d *delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := positionOf(d.meta); h.held[p] == d {
		delete(h.held, p)
	}
}

// finish remembers that the server has confirmed that d is done.
func (h *hand) finish(d *delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := positionOf(d.meta)
	if len(h.order) < maxRemembered {
		h.order = append(h.order, p)
	} else {
		delete(h.done, h.order[h.oldest])
		h.order[h.oldest] = p
		h.oldest = (h.oldest + 1) % maxRemembered
	}
	h.done[p] = struct{}{}
}

// finished reports whether the message of d is done.
func (h *hand) finished(d *delivery) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.done[positionOf(d.meta)]
	return ok
}

func (h *hand) all() []*delivery {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*delivery, 0, len(h.held))
	for _, d := range h.held {
		all = append(all, d)
	}
	return all
}
