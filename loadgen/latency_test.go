package loadgen

import (
	"testing"
	"time"
)

// The percentile of a few values is the one of them that docs/report.md says.
func TestRankOfPercentile(t *testing.T) {
	for _, c := range []struct {
		values int
		q      float64
		rank   time.Duration
	}{
		{1, 0, 1}, {1, 0.5, 1}, {2, 0.5, 1}, {3, 0.5, 2}, {5, 0.5, 3}, {6, 0.5, 3},
		{5, 0.9, 5}, {6, 0.9, 5}, {9, 0.9, 8}, {10, 0.9, 9}, {50, 0.99, 50}, {51, 0.99, 50}, {100, 0.99, 99}, {500, 0.999, 500}, {501, 0.999, 500},
	} {
		h := newHistogram()
		for i := range c.values {
			h.record(time.Duration(i+1) * time.Microsecond) // few enough to be counted exactly
		}
		if got := h.quantile(c.q) / time.Microsecond; got != c.rank {
			t.Errorf("quantile %v of %d values is number %d, want %d", c.q, c.values, got, c.rank)
		}
	}
}
