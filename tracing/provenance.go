package tracing

import (
	"hash/maphash"
	"strings"
	"sync"
	"time"

	"overtake/classifier"
)

// Provenance remembers the requests that a hop let in to its app, so that what
// the app then asks of others can be told to belong to one of them, although the
// app passed only a part of the trail on. All methods are safe for concurrent use.
//
// It knows each request by three keys: the span id that was stamped for the app,
// the trace id and the x-request-id. The first is made here, at random, and
// belongs to one request. The others are chosen by clients, who may use one again:
// for what is found by them the least urgent class counts of all requests that
// have it and are not forgotten, so that nobody gains a class by it. Request ids
// are kept as a 64-bit hash under a secret seed: their length costs nothing, and two
// that collide are treated like one that is used twice.
//
// A request is remembered until it has ended, and for a while after, as apps do
// work behind the answer. Each call takes amortised O(1) whatever clients send, and
// also forgets a few requests whose time is over; there is no goroutine.
type Provenance struct {
	most int
	keep time.Duration
	seed maphash.Seed

	mu      sync.Mutex
	epoch   time.Time       // of the first call; guarded by mu
	now     time.Duration   // since shortly before epoch, never 0, never goes backwards; guarded by mu
	store   originStore     // guarded by mu
	index   originIndex     // guarded by mu
	running originQueue     // requests that have not ended, in order of arrival; guarded by mu
	ended   originQueue     // the others, in order of their end; guarded by mu
	last    uint64          // sequence of the latest; guarded by mu
	stats   ProvenanceStats // but Entries; guarded by mu
}

// Origin is what is known of the request that the app works for.
type Origin struct {
	// By is the key it was found by.
	By ProvenanceKey
	// TraceID is the trace of the request and SpanID the span that was stamped for
	// the app: the parent of what the app does.
	TraceID TraceID
	SpanID  SpanID
	Flags   byte
	Class   classifier.Class
	// Deadline is zero for none, where the request has ended, and where others have
	// the key that it was found by: it may be theirs that counts, or nobody's.
	Deadline time.Time
	// State and Baggage are those of the request, as far as they were remembered.
	State, Baggage string
}

// ProvenanceKey is what an [Origin] was found by.
type ProvenanceKey uint8

// The keys, in the order in which they are tried.
const (
	BySpan ProvenanceKey = iota
	ByTrace
	ByRequestID
	provenanceKeys
)

// String returns the key as spans name it: "span", "trace" or "request_id".
func (k ProvenanceKey) String() string {
	return [...]string{"span", "trace", "request_id"}[k]
}

// Ticket names one remembered request. The zero Ticket names none.
type Ticket struct {
	id       uint32
	sequence uint64
}

// ProvenanceStats says what a [Provenance] holds and has done since the start.
type ProvenanceStats struct {
	Entries int // requests remembered now
	Found   [provenanceKeys]uint64
	Missed  uint64 // looked for and not found
	Evicted uint64 // forgotten before their time, for lack of room
	Cut     uint64 // remembered without all of their tracestate and baggage
}

// NewProvenance returns a Provenance of at most so many requests (at least one),
// which keeps each for so long after it has ended. When it is full, it forgets the
// one that ended first, and if none has ended, the one that came first.
func NewProvenance(most int, keep time.Duration) *Provenance {
	most = max(1, min(most, maxOrigins))
	return &Provenance{
		most: most, keep: max(keep, 0), seed: maphash.MakeSeed(),
		now: 1, store: originStore{room: textShare * int64(most)}, index: newOriginIndex(most),
	}
}

const (
	// maxText is how many bytes of State and Baggage are remembered per request,
	// and textShare how many on average if there are as many requests as may be.
	maxText   = 512
	textShare = 48
	// forgotten is how many requests one call forgets at most, forgottenByStats
	// how many Stats forgets before it lets others go on.
	forgotten        = 4
	forgottenByStats = 256
)

// Remember takes in a request that is let in with trail t as class. t.SpanID has
// to be the span id that is stamped for the app, and t.RequestID the x-request-id.
// Nothing of t is kept, but copied.
func (p *Provenance) Remember(now time.Time, t *Trail, class classifier.Class) Ticket {
	request := p.hash(t.RequestID)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tick(now, forgotten)
	if p.store.used >= p.most {
		p.evict()
	}
	p.last++
	id, o := p.store.take()
	*o = origin{
		sequence: p.last, span: t.SpanID, trace: t.TraceID, request: request,
		flags: t.Flags, class: class, deadline: deadlineMicros(t.Deadline),
	}
	if !p.store.write(id, o, t.State, t.Baggage) {
		p.stats.Cut++
	}
	p.running.push(&p.store, id)
	p.index.add(&p.store, id)
	return Ticket{id, p.last}
}

// Ended says that the request has ended. It does nothing if the request is
// forgotten, or has ended before.
func (p *Provenance) Ended(now time.Time, ticket Ticket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tick(now, forgotten)
	o := p.store.get(ticket)
	if o == nil || o.expires != 0 {
		return
	}
	p.running.remove(&p.store, ticket.id)
	p.index.move(&p.store, ticket.id, func() { o.expires = p.now + p.keep })
	p.ended.push(&p.store, ticket.id)
}

// Find returns the request that a request of the app, with trail t, belongs to: the
// one whose span is t's parent, or else, of the least urgent class with t's trace id,
// the latest, or else the same with t's x-request-id. Latest is the one that came
// last of those that have not ended, or else the one that ended last. A trace that
// begins with t is not looked for, nor one that t has from a format which is not in
// t.Propagate: what was not stamped for the app, it has from a client.
func (p *Provenance) Find(now time.Time, t *Trail) (Origin, bool) {
	request := p.hash(t.RequestID)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tick(now, forgotten)
	sought := origin{request: request}
	if t.stamped() {
		sought.span, sought.trace = t.ParentID, t.TraceID
	}
	id, by, alone := p.index.find(&p.store, &sought, p.now)
	if id == 0 {
		p.stats.Missed++
		return Origin{}, false
	}
	p.stats.Found[by]++
	o := p.store.at(id)
	found := Origin{
		By: by, TraceID: o.trace, SpanID: o.span, Flags: o.flags, Class: o.class,
	}
	if alone && o.expires == 0 {
		found.Deadline = deadlineOf(o.deadline)
	}
	found.State, found.Baggage = p.store.read(id, o)
	return found, true
}

// Stats returns the present figures. It forgets all requests whose time is over, so
// that asking now and then gives memory back after the load has gone.
func (p *Provenance) Stats(now time.Time) ProvenanceStats {
	for {
		stats, done := p.statsOnce(now)
		if done {
			return stats
		}
	}
}

func (p *Provenance) statsOnce(now time.Time) (stats ProvenanceStats, done bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	done = p.tick(now, forgottenByStats) < forgottenByStats
	stats = p.stats
	stats.Entries = p.store.used
	return stats, done
}

// tick sets the clock and forgets up to most requests whose time is over. It
// returns how many those were. Called with mu held.
func (p *Provenance) tick(now time.Time, most int) int {
	if p.epoch.IsZero() {
		p.epoch = now
	}
	p.now = max(p.now, now.Sub(p.epoch)+1)
	for n := range most {
		if p.ended.first == 0 || p.store.at(p.ended.first).live(p.now) {
			return n
		}
		p.forget(&p.ended, p.ended.first)
	}
	return most
}

// evict makes room for one more. Called with mu held.
func (p *Provenance) evict() {
	from := &p.ended
	if from.first == 0 {
		from = &p.running
	}
	if p.store.at(from.first).live(p.now) {
		p.stats.Evicted++
	}
	p.forget(from, from.first)
}

// forget removes a request that is in the queue. Called with mu held.
func (p *Provenance) forget(from *originQueue, id uint32) {
	from.remove(&p.store, id)
	p.index.remove(&p.store, id)
	p.store.put(id)
}

// hash returns 0 for no request id only.
func (p *Provenance) hash(requestID string) uint64 {
	if requestID == "" {
		return 0
	}
	return max(1, maphash.String(p.seed, requestID))
}

// deadlineMicros fits all deadlines that a trail can have into 64 bits.
func deadlineMicros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func deadlineOf(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros)
}

// firstMembers returns the members of a comma-separated list that fit into n bytes.
func firstMembers(list string, n int) string {
	if len(list) <= n {
		return list
	}
	return list[:max(0, strings.LastIndexByte(list[:n+1], ','))]
}
