package tracing

import (
	"math"
	"math/bits"
	"strings"
	"time"

	"overtake/classifier"
)

// origin is one request that a [Provenance] remembers. Origins are known by number,
// from 1: they have no pointers, so that a million of them cost the garbage
// collector nothing.
type origin struct {
	sequence uint64 // of the request, never used twice; 0 for a place that is free
	span     SpanID
	trace    TraceID
	request  uint64        // hash of the request id, 0 for none
	expires  time.Duration // when it is forgotten; 0 as long as it runs
	deadline int64         // unix microseconds, 0 for none
	places   [provenanceKeys]originPlace
	earlier  uint32 // in its queue; of a free place, the next free one
	later    uint32
	state    uint16 // how many bytes of its text are the tracestate
	flags    byte
	class    classifier.Class
}

// live reports whether the origin may be found.
func (o *origin) live(now time.Duration) bool { return o.expires == 0 || now < o.expires }

const (
	chunkBits   = 10
	chunkLen    = 1 << chunkBits
	maxOrigins  = math.MaxInt32
	textReserve = 16 // what a text costs besides its bytes
)

// originStore holds origins in chunks, which are allocated when they are needed and
// given back when they are empty, but for the first. Nothing ever moves.
type originStore struct {
	chunks []originChunk
	open   []uint64 // bit set of the chunks with a free place
	used   int      // places
	room   int64    // for texts, in bytes
}

type originChunk struct {
	origins []origin // nil while none is used
	texts   []string // nil while none of them has one
	free    uint32   // number of the first free place
	used    int
}

func (s *originStore) at(id uint32) *origin {
	return &s.chunks[id>>chunkBits].origins[id&(chunkLen-1)]
}

// get returns nil for a ticket whose request is forgotten.
func (s *originStore) get(ticket Ticket) *origin {
	if at := int(ticket.id >> chunkBits); ticket.id == 0 || at >= len(s.chunks) || s.chunks[at].used == 0 {
		return nil
	}
	if o := s.at(ticket.id); o.sequence == ticket.sequence {
		return o
	}
	return nil
}

// take returns a place, of the first chunk with a free one, so that the last chunks
// become empty.
func (s *originStore) take() (uint32, *origin) {
	at := s.firstOpen()
	chunk := &s.chunks[at]
	if chunk.origins == nil {
		chunk.fill(at)
	}
	id := chunk.free
	o := s.at(id)
	chunk.free = o.earlier
	chunk.used++
	s.used++
	if chunk.free == 0 {
		s.open[at/64] &^= 1 << (at % 64)
	}
	return id, o
}

func (s *originStore) firstOpen() int {
	for i, set := range s.open {
		if set != 0 {
			return i*64 + bits.TrailingZeros64(set)
		}
	}
	at := len(s.chunks)
	s.chunks = append(s.chunks, originChunk{})
	if at%64 == 0 {
		s.open = append(s.open, 0)
	}
	s.open[at/64] |= 1 << (at % 64)
	return at
}

// fill allocates the chunk, with all places free but number 0, which none has.
func (c *originChunk) fill(at int) {
	c.origins = make([]origin, chunkLen)
	first := uint32(at) << chunkBits
	for i := range c.origins[:chunkLen-1] {
		c.origins[i].earlier = first + uint32(i) + 1
	}
	c.free = max(first, 1)
}

// put gives a place back.
func (s *originStore) put(id uint32) {
	at := int(id >> chunkBits)
	chunk := &s.chunks[at]
	if chunk.texts != nil {
		text := &chunk.texts[id&(chunkLen-1)]
		s.room += cost(*text)
		*text = ""
	}
	*s.at(id) = origin{earlier: chunk.free}
	chunk.free = id
	chunk.used--
	s.used--
	s.open[at/64] |= 1 << (at % 64)
	if chunk.used == 0 && at > 0 {
		*chunk = originChunk{}
	}
}

// write remembers as much of state and baggage as there is room for, and reports
// whether that was all.
func (s *originStore) write(id uint32, o *origin, state, baggage string) bool {
	if state == "" && baggage == "" {
		return true
	}
	room := int(min(maxText, s.room-textReserve))
	if room <= 0 {
		return false
	}
	keptState := firstMembers(state, room)
	keptBaggage := firstMembers(baggage, room-len(keptState))
	var text strings.Builder // and not a sum, which may be one of the two itself
	text.Grow(len(keptState) + len(keptBaggage))
	text.WriteString(keptState)
	text.WriteString(keptBaggage)
	chunk := &s.chunks[id>>chunkBits]
	if chunk.texts == nil {
		chunk.texts = make([]string, chunkLen)
	}
	chunk.texts[id&(chunkLen-1)] = text.String()
	s.room -= cost(text.String())
	o.state = uint16(len(keptState))
	return len(keptState) == len(state) && len(keptBaggage) == len(baggage)
}

func (s *originStore) read(id uint32, o *origin) (state, baggage string) {
	texts := s.chunks[id>>chunkBits].texts
	if texts == nil {
		return "", ""
	}
	text := texts[id&(chunkLen-1)]
	return text[:o.state], text[o.state:]
}

func cost(text string) int64 {
	if text == "" {
		return 0
	}
	return int64(len(text)) + textReserve
}

// originQueue is a list of origins, linked through themselves.
type originQueue struct{ first, last uint32 }

func (q *originQueue) push(s *originStore, id uint32) {
	o := s.at(id)
	o.earlier, o.later = q.last, 0
	if q.last == 0 {
		q.first = id
	} else {
		s.at(q.last).later = id
	}
	q.last = id
}

func (q *originQueue) remove(s *originStore, id uint32) {
	o := s.at(id)
	if o.earlier == 0 {
		q.first = o.later
	} else {
		s.at(o.earlier).later = o.later
	}
	if o.later == 0 {
		q.last = o.earlier
	} else {
		s.at(o.later).earlier = o.earlier
	}
}
