package content

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Sizes is a distribution of lengths, in bytes. One of its fields is set; the zero
// value is none. No draw is above [MaxBody]: the exponential and the lognormal
// distribution are cut off there, and what is left of them is drawn from.
type Sizes struct {
	// Uniform draws each length from Min to Max alike.
	Uniform Uniform
	// Exponential has many small ones and few large ones: 5 % are above 3 means.
	Exponential Exponential
	// Lognormal is what sizes of files and answers often look like: half are below
	// the median and 1 % above P99, some of those far.
	Lognormal Lognormal
	// Choice draws one of a few lengths.
	Choice []Choice
}

// Uniform is a distribution from Min to Max, both included.
type Uniform struct{ Min, Max int64 }

// Exponential is a distribution with a mean.
type Exponential struct{ Mean int64 }

// Lognormal is a distribution with a median and a 99th percentile.
type Lognormal struct{ Median, P99 int64 }

// Choice is a length that is drawn in proportion to its weight.
type Choice struct {
	Size   int64
	Weight float64
}

// IsZero says whether nothing is set.
func (s Sizes) IsZero() bool { return s.kinds() == 0 }

func (s Sizes) kinds() (n int) {
	for _, set := range []bool{s.Uniform != Uniform{}, s.Exponential != Exponential{}, s.Lognormal != Lognormal{}, len(s.Choice) > 0} {
		if set {
			n++
		}
	}
	return n
}

func (s Sizes) check() *wrong {
	outside := func(sizes ...int64) bool {
		return slices.Min(sizes) < 0 || slices.Max(sizes) > MaxBody
	}
	u, e, l := s.Uniform, s.Exponential, s.Lognormal
	switch {
	case s.kinds() > 1:
		return &wrong{"has several distributions", "keep one of uniform, exponential, lognormal and choice"}
	case outside(u.Min, u.Max, e.Mean, l.Median, l.P99):
		return &wrong{"has a size out of range", "want 0 to 1GiB"}
	case u.Min > u.Max:
		return &wrong{fmt.Sprintf("has a min of %d bytes above its max of %d", u.Min, u.Max), "exchange them"}
	case l != Lognormal{} && (l.Median <= 0 || l.P99 < l.Median):
		return &wrong{fmt.Sprintf("has a median of %d bytes and a p99 of %d", l.Median, l.P99), "want a median above 0 and a p99 no less"}
	}
	sum := 0.0
	for _, c := range s.Choice {
		switch {
		case outside(c.Size):
			return &wrong{"has a size out of range", "want 0 to 1GiB"}
		case !(c.Weight >= 0 && c.Weight <= 1e9):
			return &wrong{fmt.Sprintf("has the weight %v", c.Weight), "want 0 to 1000000000"}
		}
		sum += c.Weight
	}
	if len(s.Choice) > 0 && sum == 0 {
		return &wrong{"has no weight above 0", "leave the weights out, or give one"}
	}
	return nil
}

// open returns what draws the next length.
func (s Sizes) open(random *rand.Rand) func() int64 {
	rounded := func(f float64) int64 { return int64(math.Round(min(max(f, 0), MaxBody))) }
	switch {
	case s.Exponential.Mean > 0:
		mean := float64(s.Exponential.Mean)
		below := -math.Expm1(-MaxBody / mean) // the share below the end
		return func() int64 { return rounded(-mean * math.Log1p(-random.Float64()*below)) }
	case s.Lognormal.Median > 0:
		median := float64(s.Lognormal.Median)
		// A normal variable is above this with a probability of 1 %.
		const z99 = 2.3263478740408408
		sigma := math.Log(float64(s.Lognormal.P99)/median) / z99
		below := 1.0
		if sigma > 0 {
			below = (1 + math.Erf(math.Log(MaxBody/median)/sigma/math.Sqrt2)) / 2
		}
		return func() int64 {
			z := math.Sqrt2 * math.Erfinv(2*random.Float64()*below-1)
			return rounded(median * math.Exp(sigma*z))
		}
	case len(s.Choice) > 0:
		ends := make([]float64, len(s.Choice)) // sums of weights
		sum := 0.0
		for i, c := range s.Choice {
			sum += c.Weight
			ends[i] = sum
		}
		return func() int64 {
			at := random.Float64() * sum
			i := slices.IndexFunc(ends, func(end float64) bool { return at < end })
			if i < 0 { // rounded up to the very end
				i = len(ends) - 1
			}
			return s.Choice[i].Size
		}
	}
	low, high := s.Uniform.Min, s.Uniform.Max
	return func() int64 { return low + random.Int64N(high-low+1) }
}
