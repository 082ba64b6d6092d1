package arrival

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"time"
)

// maxTime is the last time of a schedule, in nanoseconds: 146 years. It is far from
// where a [time.Duration] ends, so sums of two don't run over.
const maxTime = float64(math.MaxInt64 / 2)

// Schedule gives the arrivals of one class, in order. It is not safe for
// concurrent use.
type Schedule struct {
	rng  *rand.Rand
	plan Plan

	// Of the rate: how much of it was cumulated since the piece began at start, and
	// when that was passed. over says that it will pass nothing any more.
	piece int
	start time.Duration
	since float64
	rate  time.Duration
	over  bool
	// Of the bursts: when the next is due, and how many requests of it are left.
	burst time.Duration
	left  int
	// Of the replay.
	replayed int
}

// Open starts a schedule. The name takes part so that adding or reordering
// classes leaves the others' times as they were. The plan must pass [Plan.Check].
func (p Plan) Open(seed uint64, name string) *Schedule {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // never fails
	s := &Schedule{
		rng: rand.New(rand.NewPCG(seed, h.Sum64())), plan: p,
		burst: p.Bursts.First, left: p.Bursts.Size,
	}
	if p.Spacing == Constant {
		s.since = -s.rng.Float64()
	}
	s.advance()
	return s
}

// Next returns the next arrival; ok is false when there is none any more.
func (s *Schedule) Next() (a Arrival, ok bool) {
	const (
		none = iota
		ofRate
		ofBurst
		ofReplay
	)
	from, at := none, time.Duration(math.MaxInt64)
	if !s.over {
		from, at = ofRate, s.rate
	}
	if s.left > 0 && s.burst < at {
		from, at = ofBurst, s.burst
	}
	if s.replayed < len(s.plan.Replay.Arrivals) {
		if due, ok := s.plan.Replay.due(s.replayed); ok && due < at {
			from = ofReplay
			a = s.plan.Replay.Arrivals[s.replayed]
			at = due
		}
	}
	switch from {
	case none:
		return Arrival{}, false
	case ofRate:
		s.advance()
	case ofBurst:
		s.left--
		if every := s.plan.Bursts.Every; s.left == 0 && every > 0 && s.burst < time.Duration(maxTime)-every {
			s.burst += every
			s.left = s.plan.Bursts.Size
		}
	case ofReplay:
		s.replayed++
	}
	a.At = at
	return a, true
}

// advance moves to the next arrival of the rate.
func (s *Schedule) advance() {
	if s.plan.Spacing == Constant {
		s.since++
	} else {
		s.since += s.rng.ExpFloat64()
	}
	for ; s.piece < len(s.plan.Rate)-1; s.piece++ {
		piece := s.plan.Rate[s.piece]
		if expected := piece.expected(); s.since > expected {
			s.since -= expected
			s.start += piece.Duration
			continue
		}
		s.pass(piece.after(s.since), piece.Duration)
		return
	}
	s.last()
}

// last is advance within the last piece and in what follows it.
func (s *Schedule) last() {
	var piece Piece
	if len(s.plan.Rate) > 0 {
		piece = s.plan.Rate[len(s.plan.Rate)-1]
	}
	expected := piece.expected()
	switch {
	case piece.Duration > 0 && s.since <= expected:
		s.pass(piece.after(s.since), piece.Duration)
	case piece.To > 0:
		s.pass(piece.Duration.Seconds()+(s.since-expected)/piece.To, time.Duration(maxTime))
	default:
		s.over = true
	}
}

// pass sets the next time of the rate: so many seconds into the piece, which is at
// most as long as longest. Rounding never takes it back.
func (s *Schedule) pass(seconds float64, longest time.Duration) {
	nanos := math.Round(seconds * 1e9)
	if float64(s.start)+nanos > maxTime {
		s.over = true
		return
	}
	s.rate = max(s.rate, s.start+min(time.Duration(nanos), longest))
}
