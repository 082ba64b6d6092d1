package arrival

import (
	"math"
	"slices"
	"testing"
	"time"
)

func intendedTimes(seed uint64, class string, rate float64, n int) []time.Duration {
	s := Steady(rate).Open(seed, class)
	times := make([]time.Duration, n)
	for i := range times {
		a, _ := s.Next()
		times[i] = a.At
	}
	return times
}

func TestSameSeedSameTimes(t *testing.T) {
	a := intendedTimes(7, "batch", 140, 1000)
	if !slices.Equal(a, intendedTimes(7, "batch", 140, 1000)) {
		t.Error("same seed and class, other times")
	}
	if slices.Equal(a, intendedTimes(8, "batch", 140, 1000)) {
		t.Error("other seed, same times")
	}
	if slices.Equal(a, intendedTimes(7, "interactive", 140, 1000)) {
		t.Error("two classs move in step")
	}
	if !slices.IsSorted(a) {
		t.Error("times go back")
	}
}

// Gaps of a Poisson process have mean 1/rate and a standard deviation equal to
// their mean.
func TestScheduleIsPoisson(t *testing.T) {
	const rate, n = 200.0, 200_000
	times := intendedTimes(1, "interactive", rate, n)
	var sum, squares float64
	before := time.Duration(0)
	for _, at := range times {
		gap := (at - before).Seconds()
		sum, squares, before = sum+gap, squares+gap*gap, at
	}
	mean := sum / n
	deviation := math.Sqrt(squares/n - mean*mean)
	if math.Abs(mean*rate-1) > 0.01 || math.Abs(deviation*rate-1) > 0.02 {
		t.Errorf("mean %.6f s, deviation %.6f s; want both near %.6f s", mean, deviation, 1/rate)
	}
}
