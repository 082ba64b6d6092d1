package loadgen

import (
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// schedule computes the intended starts of one stream: a Poisson process, as
// many independent clients make together. It is a pure value of seed, stream
// name and rate. The name takes part so that adding or reordering streams
// leaves the others' times as they were.
type schedule struct {
	rng  *rand.Rand
	rate float64 // per second
	at   float64 // seconds since the start, of the previous request
}

func newSchedule(seed uint64, stream string, rate float64) *schedule {
	h := fnv.New64a()
	_, _ = h.Write([]byte(stream)) // never fails
	return &schedule{rng: rand.New(rand.NewPCG(seed, h.Sum64())), rate: rate}
}

// next returns when the next request is to start, counted from the start of
// the run.
func (s *schedule) next() time.Duration {
	s.at += s.rng.ExpFloat64() / s.rate
	return time.Duration(s.at * float64(time.Second))
}
