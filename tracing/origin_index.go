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
// forgotten last, a leader that is forgotten speaks for its whole group.
type originIndex struct {
	seed    maphash.Seed
	buckets []*[chunkLen]originBucket
	n       uint32 // buckets in use
}

// originBucket holds the first of each key's chain.
type originBucket [provenanceKeys]uint32

// originLinks is an origin's place in the index by one key.
type originLinks struct {
	chain  uint32 // of a leader: the next leader in the bucket
	before uint32 // in the group; 0 for the leader
	behind uint32 // in the group
}

// has reports whether o has a key of this kind.
func (o *origin) has(by ProvenanceKey) bool {
	switch by {
	case BySpan:
		return o.span != SpanID{}
	case ByTrace:
		return o.trace != TraceID{}
	default:
		return o.request != [2]uint64{}
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
		return o.request[0]
	}
}

// head returns the head of the chain that o belongs to.
func (x *originIndex) head(by ProvenanceKey, o *origin) *uint32 {
	return &x.bucket(x.place(x.hash(by, o)))[by]
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

func (x *originIndex) bucket(at uint32) *originBucket {
	return &x.buckets[at>>chunkBits][at&(chunkLen-1)]
}

// find returns the leader of the least urgent class with the key of o, 0 for none.
func (x *originIndex) find(s *originStore, by ProvenanceKey, o *origin, now time.Duration) uint32 {
	if x.n == 0 || !o.has(by) {
		return 0
	}
	var found *origin
	var foundID uint32
	for id := *x.head(by, o); id != 0; {
		other := s.at(id)
		if other.same(by, o) && other.live(now) &&
			(found == nil || other.class > found.class || other.class == found.class && other.expires == 0) {
			found, foundID = other, id
		}
		id = other.links[by].chain
	}
	return foundID
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
	for range 2 { // to be ahead of one that is added for each that is removed
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
	head := x.head(by, o)
	for at := head; *at != 0; {
		other := s.at(*at)
		links := &other.links[by]
		if other.sameGroup(by, o) {
			o.links[by] = originLinks{chain: links.chain, behind: *at}
			links.chain, links.before = 0, id
			*at = id
			return
		}
		at = &links.chain
	}
	o.links[by] = originLinks{chain: *head}
	*head = id
}

func (x *originIndex) leave(s *originStore, id uint32) {
	o := s.at(id)
	for by := range provenanceKeys {
		if !o.has(by) {
			continue
		}
		links := o.links[by]
		if links.behind != 0 {
			s.at(links.behind).links[by].before = links.before
		}
		if links.before != 0 {
			s.at(links.before).links[by].behind = links.behind
			continue
		}
		at := x.head(by, o)
		for *at != id {
			at = &s.at(*at).links[by].chain
		}
		if links.behind != 0 {
			s.at(links.behind).links[by].chain = links.chain
			*at = links.behind
		} else {
			*at = links.chain
		}
	}
}

// grow adds a bucket, and moves to it what belongs there from the one bucket where
// that has been.
func (x *originIndex) grow(s *originStore) {
	added := x.n
	if added&(chunkLen-1) == 0 {
		x.buckets = append(x.buckets, new([chunkLen]originBucket))
	}
	x.n++
	if added == 0 {
		return
	}
	from, to := x.bucket(partner(added)), x.bucket(added)
	for by := range provenanceKeys {
		for at := &from[by]; *at != 0; {
			id := *at
			o := s.at(id)
			links := &o.links[by]
			if x.place(x.hash(by, o)) == added {
				*at = links.chain
				links.chain = to[by]
				to[by] = id
			} else {
				at = &links.chain
			}
		}
	}
}

// shrink removes the last bucket, and moves what is there to where it came from.
func (x *originIndex) shrink(s *originStore) {
	x.n--
	from, to := x.bucket(x.n), x.bucket(partner(x.n))
	for by := range provenanceKeys {
		at := &to[by]
		for *at != 0 {
			at = &s.at(*at).links[by].chain
		}
		*at = from[by]
		from[by] = 0
	}
	if x.n&(chunkLen-1) == 0 {
		x.buckets[len(x.buckets)-1] = nil
		x.buckets = x.buckets[:len(x.buckets)-1]
	}
}

// partner is the bucket that a bucket is split from: without its first bit.
func partner(bucket uint32) uint32 { return bucket &^ (1 << (bits.Len32(bucket) - 1)) }
