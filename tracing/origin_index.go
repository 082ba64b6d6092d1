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
// them: an id that is not known costs the look at its bucket, as a rule. Both fit
// beside the number of the origin into 32 bits, so that the tables are small.
type originIndex struct {
	seed maphash.Seed
	ids  uint32 // the bits of a link that are the number of the origin
	// tables hold the first link of each bucket, by key.
	tables [provenanceKeys][]*[chunkLen]originLink
	n      uint32 // buckets in use
}

// originLink leads to an origin in a chain: its number, 0 for none, with a part of
// its hash, the tag, and the bit hasNext above it.
type originLink uint32

// hasNext is set in a link whose origin has a next in the chain.
const hasNext originLink = 1 << 31

// newOriginIndex returns an index of at most so many origins.
func newOriginIndex(most int) originIndex {
	last := uint32(most>>chunkBits)<<chunkBits | (chunkLen - 1) // the greatest number that the store gives
	return originIndex{seed: maphash.MakeSeed(), ids: 1<<bits.Len32(last) - 1}
}

func (x *originIndex) id(link originLink) uint32 { return uint32(link) & x.ids }

// tag returns the tag for a hash, as a link to no origin.
func (x *originIndex) tag(hash uint64) originLink {
	return originLink(uint32(hash>>32)&^x.ids) &^ hasNext
}

func (x *originIndex) hasTag(link, tag originLink) bool {
	return link&^originLink(x.ids)&^hasNext == tag
}

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
	case BySpan: // old libraries cut a trace id to its last 64 bits
		return o.span == other.span && [8]byte(o.trace[8:]) == [8]byte(other.trace[8:])
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
// class, and whether nobody else has the key; id is 0 for none.
func (x *originIndex) find(s *originStore, sought *origin, now time.Duration) (id uint32, by ProvenanceKey, alone bool) {
	if x.n == 0 {
		return 0, 0, false
	}
	if sought.has(BySpan) {
		hash := x.hash(BySpan, sought)
		if id, alone = x.leader(s, BySpan, *x.first(BySpan, hash), hash, sought, now); id != 0 {
			return id, BySpan, alone
		}
	}
	// Both links are loaded before one is needed, so that two misses overlap.
	var trace, request originLink
	var traceHash, requestHash uint64
	if sought.has(ByTrace) {
		traceHash = x.hash(ByTrace, sought)
		trace = *x.first(ByTrace, traceHash)
	}
	if sought.has(ByRequestID) {
		requestHash = x.hash(ByRequestID, sought)
		request = *x.first(ByRequestID, requestHash)
	}
	if id, alone = x.leader(s, ByTrace, trace, traceHash, sought, now); id != 0 {
		return id, ByTrace, alone
	}
	id, alone = x.leader(s, ByRequestID, request, requestHash, sought, now)
	return id, ByRequestID, alone
}

// leader goes through a chain for the least urgent class, and for what runs
// before what has ended. It also returns whether no other origin has the key.
func (x *originIndex) leader(s *originStore, by ProvenanceKey, link originLink, hash uint64, sought *origin, now time.Duration) (id uint32, alone bool) {
	var found *origin
	for tag := x.tag(hash); x.id(link) != 0; {
		matches := x.hasTag(link, tag)
		if !matches && link&hasNext == 0 {
			break
		}
		o := s.at(x.id(link))
		if matches && o.same(by, sought) && o.live(now) {
			alone = found == nil && o.places[by].behind == 0
			if found == nil || o.class > found.class || o.class == found.class && o.expires == 0 {
				found, id = o, x.id(link)
			}
		}
		link = o.places[by].next
	}
	return id, alone
}

// add enters an origin under all of its keys.
func (x *originIndex) add(s *originStore, id uint32) {
	for range 3 { // until there are two for each origin
		if x.n/2 < uint32(s.used) {
			x.grow(s)
		}
	}
	x.enter(s, id)
}

// remove takes an origin out, which must still be in the store.
func (x *originIndex) remove(s *originStore, id uint32) {
	x.leave(s, id)
	for range 6 { // more than are added for one
		if x.n > chunkLen && x.n/4 > uint32(s.used) {
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
	first, tag := x.first(by, hash), x.tag(hash)
	for link := first; x.id(*link) != 0; {
		if x.hasTag(*link, tag) {
			other := s.at(x.id(*link))
			if place := &other.places[by]; other.sameGroup(by, o) {
				o.places[by] = originPlace{next: place.next, behind: x.id(*link)}
				*place = originPlace{before: id, behind: place.behind}
				x.redirect(link, id)
				return
			}
		}
		if *link&hasNext == 0 {
			break
		}
		link = &s.at(x.id(*link)).places[by].next
	}
	o.places[by] = originPlace{}
	x.push(by, first, o, tag|originLink(id))
}

// redirect makes a link lead to another origin with the same hash.
func (x *originIndex) redirect(link *originLink, id uint32) {
	*link = *link&^originLink(x.ids) | originLink(id)
}

// push enters a leader, which link leads to, as the first of a chain.
func (x *originIndex) push(by ProvenanceKey, first *originLink, o *origin, link originLink) {
	o.places[by].next = *first
	if *first != 0 {
		link |= hasNext
	}
	*first = link
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
		for x.id(*link) != id {
			last, link = link, &s.at(x.id(*link)).places[by].next
		}
		if place.behind != 0 {
			s.at(place.behind).places[by].next = place.next
			x.redirect(link, place.behind)
			continue
		}
		*link = place.next
		if last != nil && place.next == 0 {
			*last &^= hasNext
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
		*bucket = 0
		for link != 0 {
			o := s.at(x.id(link))
			next := o.places[by].next
			x.push(by, x.first(by, x.hash(by, o)), o, link&^hasNext)
			link = next
		}
	}
}

// partner is the bucket that a bucket is split from: without its first bit.
func partner(bucket uint32) uint32 { return bucket &^ (1 << (bits.Len32(bucket) - 1)) }
