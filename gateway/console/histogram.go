package console

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// The buckets: 16 for each power of two, as the bits behind the first one say. The
// first bucket is for what is shorter than 2^13 ns, the last one also for what is
// longer than 2^40 ns.
const (
	subBits  = 4
	firstLen = 14 // of 8.2 µs in nanoseconds, in bits
	lastLen  = 40 // up to 18 minutes
	buckets  = (lastLen-firstLen+1)<<subBits + 1
)

// bucketOf returns the bucket of a duration.
func bucketOf(d time.Duration) int {
	n := bits.Len64(uint64(max(d, 0)))
	switch {
	case n < firstLen:
		return 0
	case n > lastLen:
		return buckets - 1
	}
	sub := int(uint64(d)>>(n-1-subBits)) & (1<<subBits - 1)
	return (n-firstLen)<<subBits + sub + 1
}

// middle returns the duration in the middle of a bucket.
func middle(bucket int) time.Duration {
	if bucket == 0 {
		return 0
	}
	octave, sub := (bucket-1)>>subBits, (bucket-1)&(1<<subBits-1)
	width := time.Duration(1) << (octave + firstLen - 1 - subBits)
	return time.Duration(1<<subBits+sub)*width + width/2
}

// live counts durations from many goroutines.
type live struct {
	counts [buckets]atomic.Uint32
	max    atomic.Int64
}

// add counts d, after the longest is known, which is read the other way round: what is
// counted is seldom longer than what is known.
func (l *live) add(d time.Duration) {
	for most := l.max.Load(); int64(d) > most; most = l.max.Load() {
		if l.max.CompareAndSwap(most, int64(d)) {
			break
		}
	}
	l.counts[bucketOf(d)].Add(1)
}

// longest is the longest of what was counted in buckets up to last: known, unless it
// became known just before another step began, and was counted in this one.
func longest(known time.Duration, last int) time.Duration {
	if last > bucketOf(known) {
		return middle(last)
	}
	return known
}

// take returns what was counted since the last time, without gaps: what is added
// meanwhile is in this one or the next.
func (l *live) take() (s sealed) {
	var counts [buckets]uint32
	first, last := buckets, -1
	for i := range l.counts {
		if l.counts[i].Load() == 0 {
			continue
		}
		counts[i] = l.counts[i].Swap(0)
		first, last = min(first, i), i
	}
	s.max = longest(time.Duration(l.max.Swap(0)), last)
	if last >= 0 {
		s.first, s.counts = first, append([]uint32(nil), counts[first:last+1]...)
	}
	return s
}

// sealed is what live has counted in one step.
type sealed struct {
	first  int // bucket of counts[0]
	counts []uint32
	max    time.Duration
}

// sum is a histogram of several steps.
type sum struct {
	counts [buckets]uint64
	n      uint64
	max    time.Duration
}

func (s *sum) addSealed(step *sealed) {
	for i, n := range step.counts {
		s.counts[step.first+i] += uint64(n)
		s.n += uint64(n)
	}
	s.max = max(s.max, step.max)
}

// addLive adds what is being counted.
func (s *sum) addLive(l *live) {
	last := -1
	for i := range l.counts {
		n := uint64(l.counts[i].Load())
		if n > 0 {
			last = i
		}
		s.counts[i] += n
		s.n += n
	}
	s.max = max(s.max, longest(time.Duration(l.max.Load()), last))
}

// quantile returns the q-th quantile, the smallest value that a share of q is not
// above; nil without any value. It is never above the largest value.
func (s *sum) quantile(q float64) *float64 {
	if s.n == 0 {
		return nil
	}
	rank := uint64(q * float64(s.n))
	if float64(rank) < q*float64(s.n) {
		rank++
	}
	seen := uint64(0)
	for i, n := range s.counts {
		if seen += n; n > 0 && seen >= rank {
			return millis(min(middle(i), s.max))
		}
	}
	return millis(s.max)
}

// largest returns the largest value; nil without any.
func (s *sum) largest() *float64 {
	if s.n == 0 {
		return nil
	}
	return millis(s.max)
}

// millis is a duration for people: to a tenth of a microsecond.
func millis(d time.Duration) *float64 {
	ms := float64(d.Round(100)) / float64(time.Millisecond)
	return &ms
}
