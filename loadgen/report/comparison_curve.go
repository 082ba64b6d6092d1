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
// came: the median over the runs, the least and the most. At 50, 90, 99 and 99.9 %
// the median is that of the figure. A run with too few successes for a percentile
// has its maximum there.
type ComparedPoint struct {
	Percentile float64        `json:"percentile"` // 100 is the maximum
	Median     loadgen.Millis `json:"median_ms"`
	Min        loadgen.Millis `json:"min_ms"`
	Max        loadgen.Millis `json:"max_ms"`
}

// figurePercentiles are those that the figures are of.
var figurePercentiles = map[float64]func(loadgen.Latency) loadgen.Millis{
	50:   func(l loadgen.Latency) loadgen.Millis { return l.P50 },
	90:   func(l loadgen.Latency) loadgen.Millis { return l.P90 },
	99:   func(l loadgen.Latency) loadgen.Millis { return l.P99 },
	99.9: func(l loadgen.Latency) loadgen.Millis { return l.P999 },
}

// compareCurve puts the curves of the runs of one file together. Runs without a
// success have none.
func compareCurve(results []loadgen.ClassResult) ComparedCurve {
	c := ComparedCurve{Points: []ComparedPoint{}}
	var latencies []loadgen.Latency
	var curves [][]loadgen.CurvePoint
	for _, r := range results {
		if r.Latency.Count <= 0 {
			continue
		}
		c.Runs, c.Count = c.Runs+1, max(c.Count, r.Latency.Count)
		latencies = append(latencies, r.Latency)
		curves = append(curves, sortedCurve(r.Curve))
	}
	for _, percentile := range percentilesOf(curves) {
		var values []float64
		figure := figurePercentiles[percentile]
		for i, curve := range curves {
			if figure != nil {
				values = append(values, float64(figure(latencies[i])))
			} else if v, ok := atPercentile(curve, percentile); ok {
				values = append(values, float64(v))
			}
		}
		slices.Sort(values)
		millis := func(v float64) loadgen.Millis { return loadgen.Millis(round3(v)) }
		c.Points = append(c.Points, ComparedPoint{Percentile: percentile,
			Median: millis(loadgen.Median(values)), Min: millis(values[0]), Max: millis(values[len(values)-1])})
	}
	return c
}

// sortedCurve leaves out what is no percentile: a report may come from anywhere.
func sortedCurve(curve []loadgen.CurvePoint) []loadgen.CurvePoint {
	var sorted []loadgen.CurvePoint
	for _, p := range curve {
		if p.Percentile >= 0 && p.Percentile <= 100 {
			sorted = append(sorted, p)
		}
	}
	slices.SortStableFunc(sorted, func(a, b loadgen.CurvePoint) int { return cmp.Compare(a.Percentile, b.Percentile) })
	return sorted
}

// percentilesOf returns the percentiles of all curves, and those of the figures as
// far as the curves go.
func percentilesOf(curves [][]loadgen.CurvePoint) []float64 {
	var all []float64
	last := math.Inf(-1)
	for _, curve := range curves {
		for _, p := range curve {
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

// atPercentile returns the least latency of a curve that is known to hold for so
// many percent; ok is false beyond its end.
func atPercentile(curve []loadgen.CurvePoint, percentile float64) (v loadgen.Millis, ok bool) {
	i, _ := slices.BinarySearchFunc(curve, percentile, func(p loadgen.CurvePoint, at float64) int { return cmp.Compare(p.Percentile, at) })
	if i == len(curve) {
		return 0, false
	}
	return curve[i].Latency, true
}
