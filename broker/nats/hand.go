package nats

import (
	"sync"

	natsgo "github.com/nats-io/nats.go"
)

// remembered is how many of the messages that were done a lane remembers, for what
// comes again because it was on its way meanwhile, or a server whose machine has
// crashed does not know any more.
const remembered = 1 << 13

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
	mu   sync.Mutex
	held map[position]*delivery // neither settled nor being settled
	done []position             // by the sequence modulo remembered; nil before the first
}

// hold takes d. If it is a repetition of one that is held or done, hold does not
// take it, and returns the one that is held, or nil.
func (h *hand) hold(d *delivery) (held *delivery, taken bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := positionOf(d.meta)
	if h.finishedLocked(p) {
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
	if h.done == nil {
		h.done = make([]position, remembered)
	}
	p := positionOf(d.meta)
	h.done[p.sequence%remembered] = p
}

// finished reports whether the message of d is done.
func (h *hand) finished(d *delivery) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.finishedLocked(positionOf(d.meta))
}

func (h *hand) finishedLocked(p position) bool {
	return h.done != nil && h.done[p.sequence%remembered] == p
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
