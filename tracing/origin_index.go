package tracing

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"time"
)

// originIndex finds origins by each of their keys. It is a hash table by linear
// hashing (Litwin 1980): it grows and shrinks by one bucket at a time, as there are
// more or fewer origins, so that no call has to rebuild it.
//
// Clients can give one id to any number of requests. So origins that agree in the
// key, in the class, and in whether they have ended form a group, and only its
// latest, the leader, is in the bucket's chain; the others are a list behind it. In
// the chain, an id occurs at most twice per class, and since what ended last is
// forgotten last, a leader whose time is over speaks for its whole group.
//
// With a million origins, each that has to be looked at is a cache miss or two.
// Links therefore carry a part of the hash, and whether there is another after
// them: an id that is not known costs the look at its bucket, as a rule.
type originIndex struct {
	seed maphash.Seed
	// tables hold the first link of each bucket, by key.
	tables [provenanceKeys][]*[chunkLen]originLink
	n      uint32 // buckets in use
}

// originLink leads to an origin in a chain.
type originLink struct {
	id  uint32 // 0 for none
	tag uint32 // of the origin's hash, and the bit hasNext
}

// hasNext is set in the tag of a link whose origin has a next in the chain.
const hasNext = 1

func tagOf(hash uint64) uint32 { return uint32(hash>>32) &^ hasNext }

// originPlace is an origin's place in the index by one key.
type originPlace struct {
	next   originLink // of a leader: the next leader in the bucket
	before uint32     // in the group; 0 for the leader
	behind uint32     // in the group
}

// has reports whether o has a key of this kind.
func (o *origin) has(by ProvenanceKey) bool {
	switch by {
	case BySpan:
		return o.span != SpanID{}
	case ByTrace:
		return o.trace != TraceID{}
	default:
		return o.request != 0
	}
}

// same reports whether two origins agree in the key.
func (o *origin) same(by ProvenanceKey, other *origin) bool {
	switch by {
	case BySpan:
		return o.span == other.span
	case ByTrace:
		return o.trace == other.trace
	default:
		return o.request == other.request
	}
}

func (o *origin) sameGroup(by ProvenanceKey, other *origin) bool {
	return o.same(by, other) && o.class == other.class && (o.expires == 0) == (other.expires == 0)
}

func (x *originIndex) hash(by ProvenanceKey, o *origin) uint64 {
	switch by {
	case BySpan:
		return binary.NativeEndian.Uint64(o.span[:]) // at random, and not by a client
	case ByTrace:
		return maphash.Bytes(x.seed, o.trace[:])
	default:
		return o.request
	}
}

// place returns the number of the bucket for a hash: its last bits, as many as it
// takes to count the buckets, or one less where that bucket is not there yet.
func (x *originIndex) place(hash uint64) uint32 {
	mask := uint32(1)<<bits.Len32(x.n-1) - 1
	at := uint32(hash) & mask
	if at >= x.n {
		at &= mask >> 1
	}
	return at
}

func (x *originIndex) bucket(by ProvenanceKey, at uint32) *originLink {
	return &x.tables[by][at>>chunkBits][at&(chunkLen-1)]
}

// first returns the first link of the chain for a hash.
func (x *originIndex) first(by ProvenanceKey, hash uint64) *originLink {
	return x.bucket(by, x.place(hash))
}

// find returns for the first key that is known the leader of its least urgent
// class; 0 for none.
func (x *originIndex) find(s *originStore, sought *origin, now time.Duration) (id uint32, by ProvenanceKey) {
	if x.n == 0 {
		return 0, 0
	}
	if sought.has(BySpan) {
		hash := x.hash(BySpan, sought)
		if id := s.leader(BySpan, *x.first(BySpan, hash), tagOf(hash), sought, now); id != 0 {
			return id, BySpan
		}
	}
	// Both links are loaded before one is needed, so that two misses overlap.
	traceHash, requestHash := x.hash(ByTrace, sought), x.hash(ByRequestID, sought)
	trace, request := *x.first(ByTrace, traceHash), *x.first(ByRequestID, requestHash)
	if sought.has(ByTrace) {
		if id := s.leader(ByTrace, trace, tagOf(traceHash), sought, now); id != 0 {
			return id, ByTrace
		}
	}
	if sought.has(ByRequestID) {
		if id := s.leader(ByRequestID, request, tagOf(requestHash), sought, now); id != 0 {
			return id, ByRequestID
		}
	}
	return 0, 0
}

// leader goes through a chain for the least urgent class, and for what runs
// before what has ended.
func (s *originStore) leader(by ProvenanceKey, link originLink, tag uint32, sought *origin, now time.Duration) uint32 {
	var found *origin
	var id uint32
	for link.id != 0 {
		matches := link.tag&^hasNext == tag
		if !matches && link.tag&hasNext == 0 {
			break
		}
		o := s.at(link.id)
		if matches && o.same(by, sought) && o.live(now) &&
			(found == nil || o.class > found.class || o.class == found.class && o.expires == 0) {
			found, id = o, link.id
		}
		link = o.places[by].next
	}
	return id
}

// add enters an origin under all of its keys.
func (x *originIndex) add(s *originStore, id uint32) {
	if x.n < uint32(s.used) {
		x.grow(s)
	}
	x.enter(s, id)
}

// remove takes an origin out, which must still be in the store.
func (x *originIndex) remove(s *originStore, id uint32) {
	x.leave(s, id)
	for range 2 { // more than are added for one
		if x.n > chunkLen && x.n/2 > uint32(s.used) {
			x.shrink(s)
		}
	}
}

// move takes an origin from its groups into those that it belongs to after change.
func (x *originIndex) move(s *originStore, id uint32, change func()) {
	x.leave(s, id)
	change()
	x.enter(s, id)
}

func (x *originIndex) enter(s *originStore, id uint32) {
	o := s.at(id)
	for by := range provenanceKeys {
		if o.has(by) {
			x.lead(s, by, id, o)
		}
	}
}

// lead makes an origin the leader of its group.
func (x *originIndex) lead(s *originStore, by ProvenanceKey, id uint32, o *origin) {
	hash := x.hash(by, o)
	first, tag := x.first(by, hash), tagOf(hash)
	for link := first; link.id != 0; {
		if link.tag&^hasNext == tag {
			other := s.at(link.id)
			if place := &other.places[by]; other.sameGroup(by, o) {
				o.places[by] = originPlace{next: place.next, behind: link.id}
				*place = originPlace{before: id, behind: place.behind}
				link.id = id
				return
			}
		}
		if link.tag&hasNext == 0 {
			break
		}
		link = &s.at(link.id).places[by].next
	}
	o.places[by] = originPlace{}
	s.push(by, first, id, tag)
}

// push enters a leader as the first of a chain.
func (s *originStore) push(by ProvenanceKey, first *originLink, id, tag uint32) {
	s.at(id).places[by].next = *first
	if first.id != 0 {
		tag |= hasNext
	}
	*first = originLink{id, tag}
}

func (x *originIndex) leave(s *originStore, id uint32) {
	o := s.at(id)
	for by := range provenanceKeys {
		if !o.has(by) {
			continue
		}
		place := o.places[by]
		if place.behind != 0 {
			s.at(place.behind).places[by].before = place.before
		}
		if place.before != 0 {
			s.at(place.before).places[by].behind = place.behind
			continue
		}
		var last *originLink
		link := x.first(by, x.hash(by, o))
		for link.id != id {
			last, link = link, &s.at(link.id).places[by].next
		}
		if place.behind != 0 {
			s.at(place.behind).places[by].next = place.next
			link.id = place.behind
			continue
		}
		*link = place.next
		if last != nil && place.next.id == 0 {
			last.tag &^= hasNext
		}
	}
}

// grow adds a bucket, and moves to it what belongs there from the one bucket where
// that has been.
func (x *originIndex) grow(s *originStore) {
	added := x.n
	if added&(chunkLen-1) == 0 {
		for by := range x.tables {
			x.tables[by] = append(x.tables[by], new([chunkLen]originLink))
		}
	}
	x.n++
	if added > 0 {
		x.scatter(s, partner(added))
	}
}

// shrink removes the last bucket, and moves what is there to where it came from.
func (x *originIndex) shrink(s *originStore) {
	x.n--
	x.scatter(s, x.n)
	if x.n&(chunkLen-1) == 0 {
		for by, table := range x.tables {
			table[len(table)-1] = nil
			x.tables[by] = table[:len(table)-1]
		}
	}
}

// scatter moves all of a bucket to where it belongs.
func (x *originIndex) scatter(s *originStore, from uint32) {
	for by := range provenanceKeys {
		bucket := x.bucket(by, from)
		link := *bucket
		*bucket = originLink{}
		for link.id != 0 {
			o := s.at(link.id)
			next := o.places[by].next
			hash := x.hash(by, o)
			s.push(by, x.first(by, hash), link.id, tagOf(hash))
			link = next
		}
	}
}

// partner is the bucket that a bucket is split from: without its first bit.
func partner(bucket uint32) uint32 { return bucket &^ (1 << (bits.Len32(bucket) - 1)) }
