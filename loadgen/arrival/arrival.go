// Package arrival says when requests are due. A [Plan] is plain data; the
// [Schedule] that it opens is a pure function of the plan, a seed and a name, so
// the same seed gives the same intended times, whatever the target does.
package arrival

import (
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// Plan says when the requests of one class are due.
type Plan struct {
	// Spacing is how requests are spread. The zero value is Poisson.
	Spacing Spacing
	// Rate is the mean number of requests per second over the run, in pieces
	// from its start on. After the last piece its end rate holds for ever.
	Rate []Piece
}

// Spacing is how the requests of a [Plan] are spread.
type Spacing uint8

// Poisson is what many independent clients make together, Constant a metronome.
const (
	Poisson Spacing = iota
	Constant
)

// Piece is a part of the rate: it goes from From to To requests per second, in
// a straight line, within Duration.
type Piece struct {
	Duration time.Duration
	From, To float64
}

// Steady returns a plan with one rate.
func Steady(perSecond float64) Plan {
	return Plan{Rate: []Piece{{From: perSecond, To: perSecond}}}
}

// Mean returns the mean rate of the plan between from and to.
func (p Plan) Mean(from, to time.Duration) float64 {
	if len(p.Rate) == 0 {
		return 0
	}
	return p.Rate[0].From
}

// Arrival is when one request is due, counted from the start of the run.
// Method and Target are set where the arrival was recorded with them.
type Arrival struct {
	At             time.Duration
	Method, Target string
}

// Schedule gives the arrivals of one class, in order. It is not safe for
// concurrent use.
type Schedule struct {
	rng  *rand.Rand
	rate float64 // per second
	at   float64 // seconds since the start, of the previous request
}

// Open starts a schedule. The name takes part so that adding or reordering
// classes leaves the others' times as they were.
func (p Plan) Open(seed uint64, name string) *Schedule {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // never fails
	return &Schedule{rng: rand.New(rand.NewPCG(seed, h.Sum64())), rate: p.Rate[0].From}
}

// Next returns the next arrival; ok is false when there is none any more.
func (s *Schedule) Next() (a Arrival, ok bool) {
	s.at += s.rng.ExpFloat64() / s.rate
	return Arrival{At: time.Duration(s.at * float64(time.Second))}, true
}
