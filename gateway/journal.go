package gateway

import (
	"time"

	"overtake/scheduler"
	"overtake/tracing"
)

// journal is what happens to a request or a message on this hop, noted while it
// happens: its spans are made of it at the end, if it is recorded, and what the console
// shows, if it was slow. One that is neither costs a few stores. A nil journal notes
// nothing.
type journal struct {
	hop   tracing.SpanID // of the hop's own span
	waits []wait
	tries []try
}

// wait is one time in front of an upstream.
type wait struct {
	upstream   string
	start, end time.Time
	facts      scheduler.Wait
	reason     string // why it was shed, or left; "" if it got its slot
}

// try is one request to a server.
type try struct {
	server *server
	start  time.Time
	end    time.Time // zero while the answer's body is on its way
	status int       // 0: no answer came
	err    error
}

// maxNoted bounds what is noted of a message that is tried for hours, as its app is
// away. The last entry is always there.
const maxNoted = 16

// noted returns the journal of work for what happens to be noted in; nil when nobody
// will read it.
func (g *Gateway) noted(j *journal) *journal {
	if g.console == nil && g.tracer == nil {
		return nil
	}
	return j
}

// begin starts a journal anew, with the memory of the last one.
func (j *journal) begin(hop tracing.SpanID) {
	j.hop, j.waits, j.tries = hop, j.waits[:0], j.tries[:0]
}

// spans returns how many spans are made of what is noted.
func (j *journal) spans() int { return len(j.waits) + len(j.tries) }

// waiting notes that the work wants a slot of an upstream.
func (j *journal) waiting(upstream string) {
	if j == nil {
		return
	}
	if len(j.waits) == maxNoted {
		j.waits = j.waits[:maxNoted-1]
	}
	j.waits = append(j.waits, wait{upstream: upstream, start: time.Now()})
}

// waited notes how the work waited, and why it got no slot, if so.
func (j *journal) waited(now time.Time, facts scheduler.Wait, reason string) {
	if j != nil {
		last := &j.waits[len(j.waits)-1]
		last.end, last.facts, last.reason = now, facts, reason
	}
}

// tried notes that the work is sent to a server. The first time it is as soon as it
// has its slot: the clock need not be read again.
func (j *journal) tried(on *server) {
	if j == nil {
		return
	}
	if len(j.tries) == maxNoted {
		j.tries = j.tries[:maxNoted-1]
	}
	start := j.waits[len(j.waits)-1].end
	if len(j.tries) >= len(j.waits) {
		start = time.Now()
	}
	j.tries = append(j.tries, try{server: on, start: start})
}

// answered notes the status that the last try was answered with.
func (j *journal) answered(status int) {
	if j != nil {
		j.tries[len(j.tries)-1].status = status
	}
}

// ended notes when the last try ended, with err if that is not nil.
func (j *journal) ended(now time.Time, err error) {
	if j == nil || len(j.tries) == 0 {
		return
	}
	last := &j.tries[len(j.tries)-1]
	if last.end.IsZero() {
		last.end, last.err = now, err
	}
}
