// Package arrival says when requests are due. A [Plan] is plain data; the
// [Schedule] that it opens is a pure function of the plan, a seed and a name, so
// the same seed gives the same intended times, whatever the target does.
//
// A rate that changes is followed exactly. A process with one arrival per unit is
// drawn, and its times are those at which the cumulated rate passes them:
//
//	cumulated
//	arrivals  3 |- - - - - - - - - - .      the k-th arrival of the unit
//	          2 |- - - - - - -.-'    |      process is due where the curve
//	          1 |- - - -.-'   |      |      passes its time
//	            +-------+-----+------+--> time
//
// With a straight line as the rate the curve is a parabola, and the time comes from
// the quadratic formula: nothing is stepped through, so a rate of 0 costs nothing,
// and nothing is thrown away.
package arrival

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// MaxRate is the highest rate of a [Plan], per second. It is far above what one
// process can send; it catches typing errors.
const MaxRate = 1e6

// MaxBurst is the largest [Bursts.Size].
const MaxBurst = 1_000_000

// longest bounds durations, so that none run over when they are added up.
const longest = 100 * 365 * 24 * time.Hour

// Plan says when the requests of one class are due: those of its rate, its bursts
// and its replay together.
type Plan struct {
	// Spacing is how requests of the rate are spread. The zero value is Poisson.
	Spacing Spacing
	// Rate is the mean number of requests per second over the run, in pieces
	// from its start on. After the last piece its end rate holds for ever. None is
	// a rate of 0.
	Rate []Piece
	// Bursts come on top of the rate.
	Bursts Bursts
	// Replay comes on top of both.
	Replay Replay
}

// Spacing is how the requests of a rate are spread.
type Spacing uint8

// Poisson is what many independent clients make together. Constant is a metronome
// that begins at a random place in its first interval, so that classes of the same
// rate don't tick together.
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

// Bursts are requests that are due at the same moment.
type Bursts struct {
	// Size is how many there are in each. 0 is no bursts.
	Size int
	// First is when the first is due, counted from the start of the run, and Every
	// the time between two. 0 is a single burst.
	First, Every time.Duration
}

// Replay is arrivals that were recorded.
type Replay struct {
	// Arrivals are sorted by time and are only read, so that plans may share them.
	Arrivals []Arrival
	// Start is when their time 0 is, counted from the start of the run.
	Start time.Duration
	// Speed is how much faster than recorded they are due: 2 is in half the time.
	// 0 is 1.
	Speed float64
}

// Arrival is when one request is due, counted from the start of the run.
// Method and Target are set where the arrival was recorded with them.
type Arrival struct {
	At             time.Duration
	Method, Target string
}

// Steady returns a plan with one rate.
func Steady(perSecond float64) Plan {
	return Plan{Rate: []Piece{{From: perSecond, To: perSecond}}}
}

// Check returns the first thing wrong with the plan, without a package prefix.
func (p Plan) Check() error {
	var highest float64
	var total time.Duration
	for _, piece := range p.Rate {
		if piece.Duration < 0 || piece.Duration > longest-total {
			return fmt.Errorf("a rate holds for %v, want 0 or more, and in all up to %v", piece.Duration, longest)
		}
		total += piece.Duration
		for _, rate := range []float64{piece.From, piece.To} {
			if !(rate >= 0 && rate <= MaxRate) {
				return fmt.Errorf("rate %v is not from 0 to %.0f per second", rate, float64(MaxRate))
			}
			highest = max(highest, rate)
		}
	}
	b, r := p.Bursts, p.Replay
	switch {
	case p.Spacing > Constant:
		return fmt.Errorf("spacing %d is not known", p.Spacing)
	case b.Size < 0 || b.Size > MaxBurst:
		return fmt.Errorf("bursts of %d, want 0 to %d", b.Size, MaxBurst)
	case b.Size > 0 && b.Every > 0 && float64(b.Size) > MaxRate*b.Every.Seconds():
		return fmt.Errorf("bursts of %d every %v are more than %.0f per second", b.Size, b.Every, float64(MaxRate))
	case outside(b.First) || outside(b.Every):
		return fmt.Errorf("bursts every %v from %v on, want 0 to %v", b.Every, b.First, longest)
	case outside(r.Start):
		return fmt.Errorf("replay from %v on, want 0 to %v", r.Start, longest)
	case !(r.Speed >= 0) || math.IsInf(r.Speed, 0):
		return fmt.Errorf("replay at speed %v, want above 0", r.Speed)
	case !slices.IsSortedFunc(r.Arrivals, byTime) || len(r.Arrivals) > 0 && r.Arrivals[0].At < 0:
		return errors.New("the arrivals of the replay are not sorted from 0 on")
	case highest == 0 && b.Size == 0 && len(r.Arrivals) == 0:
		return errors.New("neither a rate above 0, nor bursts, nor a replay: nothing to send")
	}
	return nil
}

func outside(d time.Duration) bool { return d < 0 || d > longest }

// Times returns the plan with factor times the load: rate and size of bursts, and
// the speed of the replay. A burst keeps at least one request.
func (p Plan) Times(factor float64) Plan {
	p.Rate = Scale(p.Rate, []Factor{{By: factor}})
	if p.Bursts.Size > 0 {
		p.Bursts.Size = max(1, int(math.Round(min(float64(p.Bursts.Size)*factor, MaxBurst))))
	}
	p.Replay.Speed = p.Replay.speed() * factor
	return p
}

// Mean returns the mean rate of the plan from the one time to before the other: what
// is expected of the rate, and what is due of the others.
func (p Plan) Mean(from, to time.Duration) float64 {
	if to <= from {
		return 0
	}
	expected := p.cumulated(to) - p.cumulated(from)
	expected += float64(p.Bursts.before(to)-p.Bursts.before(from)) * float64(p.Bursts.Size)
	expected += float64(p.Replay.before(to) - p.Replay.before(from))
	return expected / (to - from).Seconds()
}

// cumulated is how many requests of the rate are expected before at.
func (p Plan) cumulated(at time.Duration) float64 {
	var sum float64
	for i, piece := range p.Rate {
		if at <= 0 {
			break
		}
		if i == len(p.Rate)-1 && at > piece.Duration {
			sum += piece.To * (at - piece.Duration).Seconds()
			at = piece.Duration
		}
		x := min(at, piece.Duration).Seconds()
		if x > 0 {
			sum += x * (piece.From + piece.slope()*x/2)
		}
		at -= piece.Duration
	}
	return sum
}

// slope is how fast the rate changes, in requests per second per second.
func (p Piece) slope() float64 {
	if p.Duration <= 0 {
		return 0
	}
	return (p.To - p.From) / p.Duration.Seconds()
}

// expected is how many requests are due in the whole piece.
func (p Piece) expected() float64 { return p.Duration.Seconds() * (p.From + p.To) / 2 }

// after is how many seconds into the piece n requests are expected.
func (p Piece) after(n float64) float64 {
	if n <= 0 {
		return 0
	}
	// Of both forms of the quadratic formula, the one that also holds without a slope
	// and loses no digits where it is small.
	root := math.Sqrt(max(0, p.From*p.From+2*p.slope()*n))
	return 2 * n / (p.From + root)
}

// before is how many bursts are due before at.
func (b Bursts) before(at time.Duration) int64 {
	switch {
	case b.Size <= 0 || at <= b.First:
		return 0
	case b.Every <= 0:
		return 1
	}
	return int64((at-b.First-1)/b.Every) + 1
}

// speed is Speed with its default.
func (r Replay) speed() float64 {
	if r.Speed == 0 {
		return 1
	}
	return r.Speed
}

// due is when the i-th arrival is, if that is a time at all.
func (r Replay) due(i int) (time.Duration, bool) {
	at := float64(r.Arrivals[i].At) / r.speed()
	if at > maxTime {
		return 0, false
	}
	return r.Start + time.Duration(at), true
}

// before is how many arrivals are due before at.
func (r Replay) before(at time.Duration) int {
	n, _ := slices.BinarySearchFunc(r.Arrivals, at, func(a Arrival, at time.Duration) int {
		if float64(a.At)/r.speed() >= float64(at-r.Start) {
			return 1
		}
		return -1
	})
	return n
}

// End is when the last arrival is due, 0 without any.
func (r Replay) End() time.Duration {
	if len(r.Arrivals) == 0 {
		return 0
	}
	at, ok := r.due(len(r.Arrivals) - 1)
	if !ok {
		return time.Duration(maxTime)
	}
	return at
}

// Beyond returns how many arrivals are due at end or later.
func (r Replay) Beyond(end time.Duration) int { return len(r.Arrivals) - r.before(end) }

func byTime(a, b Arrival) int { return cmp.Compare(a.At, b.At) }
