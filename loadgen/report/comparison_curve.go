package report

import (
	"cmp"
	"math"
	"slices"

	"overtake/loadgen"
)

// ComparedCurve is the latency of a class in one file, by percentile.
type ComparedCurve struct {
	Runs int `json:"runs"` // with a success; 0 if the file has none
	// Count is that of the run with the most successes: the maximum lies where the
	// last of so many is.
	Count  int64           `json:"count"`
	Points []ComparedPoint `json:"points"`
}

// ComparedPoint says within which time Percentile percent of the successes of a run
// came: the median over the runs, the least and the most. None of them falls from one
// point to the next. At 50, 90, 99 and 99.9 % the median is that of the figure. Between
// the percentiles that a run has, and beyond them, it has what it has at the one below.
type ComparedPoint struct {
	Percentile float64        `json:"percentile"` // 100 is the maximum
	Median     loadgen.Millis `json:"median_ms"`
	Min        loadgen.Millis `json:"min_ms"`
	Max        loadgen.Millis `json:"max_ms"`
}

// figurePercentiles are those that the figures are of, and the maximum.
var figurePercentiles = map[float64]func(loadgen.Latency) loadgen.Millis{
	50:   func(l loadgen.Latency) loadgen.Millis { return l.P50 },
	90:   func(l loadgen.Latency) loadgen.Millis { return l.P90 },
	99:   func(l loadgen.Latency) loadgen.Millis { return l.P99 },
	99.9: func(l loadgen.Latency) loadgen.Millis { return l.P999 },
	100:  func(l loadgen.Latency) loadgen.Millis { return l.Max },
}

// compareCurve puts the curves of the runs of one file together. Runs without a
// success have none.
func compareCurve(results []loadgen.ClassResult) ComparedCurve {
	c := ComparedCurve{Points: []ComparedPoint{}}
	var curves [][]loadgen.CurvePoint
	for _, r := range results {
		if r.Latency.Count > 0 {
			c.Runs, c.Count = c.Runs+1, max(c.Count, r.Latency.Count)
			curves = append(curves, risingCurve(r))
		}
	}
	for _, percentile := range percentilesOf(results) {
		var values []float64
		for _, curve := range curves {
			values = append(values, float64(atPercentile(curve, percentile)))
		}
		slices.Sort(values)
		millis := func(v float64) loadgen.Millis { return loadgen.Millis(round3(v)) }
		c.Points = append(c.Points, ComparedPoint{Percentile: percentile,
			Median: millis(loadgen.Median(values)), Min: millis(values[0]), Max: millis(values[len(values)-1])})
	}
	return c
}

// isPercentile says whether a point is of a percentile: a report may come from
// anywhere.
func isPercentile(p loadgen.CurvePoint) bool { return p.Percentile >= 0 && p.Percentile <= 100 }

// risingCurve is the curve of a run with its figures in it. A figure and a point of the
// curve are of the same histogram, so that none of them falls; where those of a report
// from elsewhere do, the largest so far holds.
func risingCurve(r loadgen.ClassResult) []loadgen.CurvePoint {
	var all []loadgen.CurvePoint
	for _, p := range r.Curve {
		if isPercentile(p) && figurePercentiles[p.Percentile] == nil {
			all = append(all, p)
		}
	}
	for percentile, figure := range figurePercentiles {
		all = append(all, loadgen.CurvePoint{Percentile: percentile, Latency: figure(r.Latency)})
	}
	slices.SortStableFunc(all, func(a, b loadgen.CurvePoint) int { return cmp.Compare(a.Percentile, b.Percentile) })
	for i := range all[1:] {
		all[i+1].Latency = max(all[i+1].Latency, all[i].Latency)
	}
	return all
}

// percentilesOf returns the percentiles of the curves of all runs with a success, and
// those of the figures as far as the curves go.
func percentilesOf(results []loadgen.ClassResult) []float64 {
	var all []float64
	last := math.Inf(-1)
	for _, r := range results {
		for _, p := range r.Curve {
			if r.Latency.Count <= 0 || !isPercentile(p) {
				continue
			}
			all = append(all, p.Percentile)
			if p.Percentile < 100 {
				last = max(last, p.Percentile)
			}
		}
	}
	for percentile := range figurePercentiles {
		if percentile <= last {
			all = append(all, percentile)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// atPercentile returns the latency of the last point up to a percentile; below the
// first point, that of the first.
func atPercentile(curve []loadgen.CurvePoint, percentile float64) loadgen.Millis {
	above, found := slices.BinarySearchFunc(curve, percentile, func(p loadgen.CurvePoint, at float64) int { return cmp.Compare(p.Percentile, at) })
	if found {
		return curve[above].Latency
	}
	return curve[max(above-1, 0)].Latency
}
