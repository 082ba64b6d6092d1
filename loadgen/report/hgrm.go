package report

import (
	"fmt"
	"io"
	"math"
	"strings"

	"overtake/loadgen"
)

// The layout of the load generator's histograms, as the footer of an .hgrm file
// tells it: 1 µs to 1 h with 3 significant digits.
const (
	hgrmBuckets    = 22
	hgrmSubBuckets = 2048
)

// WriteHGRM writes the latencies of one class in one run as a percentile
// distribution in the text format of HdrHistogram, which its plotter and
// hdr-plot read. Values are in milliseconds.
//
// The rows are the points of [loadgen.ClassResult.Curve], and a last one for the
// maximum. The standard deviation is estimated from them.
func WriteHGRM(w io.Writer, c loadgen.ClassResult) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")
	total := c.Latency.Count
	for _, p := range c.Curve {
		share := p.Percentile / 100
		if share < 0 || share >= 1 {
			continue // 100 % has a row of its own
		}
		count := max(int64(share*float64(total)+0.5), 1) // the rank that HdrHistogram takes for a percentile
		fmt.Fprintf(&b, "%12.3f %14.12f %10d %14.2f\n", float64(p.Latency), share, count, 1/(1-share))
	}
	if total > 0 {
		fmt.Fprintf(&b, "%12.3f %14.12f %10d\n", float64(c.Latency.Max), 1.0, total)
	}
	fmt.Fprintf(&b, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", float64(c.Latency.Mean), deviation(c))
	fmt.Fprintf(&b, "#[Max     = %12.3f, Total count    = %12d]\n", float64(c.Latency.Max), total)
	fmt.Fprintf(&b, "#[Buckets = %12d, SubBuckets     = %12d]\n", hgrmBuckets, hgrmSubBuckets)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("report: hgrm: %w", err)
	}
	return nil
}

// deviation estimates the standard deviation: between two points of the curve,
// latencies are taken to be spread evenly.
func deviation(c loadgen.ClassResult) float64 {
	if len(c.Curve) == 0 {
		return 0
	}
	points := append(append([]loadgen.CurvePoint{}, c.Curve...), loadgen.CurvePoint{Percentile: 100, Latency: c.Latency.Max})
	mean, variance := float64(c.Latency.Mean), 0.0
	for i, p := range points[1:] {
		from, to := float64(points[i].Latency)-mean, float64(p.Latency)-mean
		variance += (p.Percentile - points[i].Percentile) / 100 * (from*from + from*to + to*to) / 3
	}
	return math.Sqrt(max(variance, 0))
}
