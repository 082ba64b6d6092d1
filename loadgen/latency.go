package loadgen

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Range of every histogram: 1 µs to 1 h with 3 significant digits. Longer
// values are recorded as 1 h.
const (
	histogramMin = 1
	histogramMax = int64(time.Hour / time.Microsecond)
)

// histogram counts durations. It is not safe for concurrent use.
type histogram struct{ hdr *hdrhistogram.Histogram }

func newHistogram() histogram {
	return histogram{hdr: hdrhistogram.New(histogramMin, histogramMax, 3)}
}

func (h histogram) record(d time.Duration) {
	us := min(max(d.Microseconds(), 0), histogramMax)
	_ = h.hdr.RecordValue(us) // can't fail: us is in range
}

func (h histogram) count() int64 { return h.hdr.TotalCount() }
func (h histogram) reset()       { h.hdr.Reset() }

// quantile returns the duration that the share q (0 to 1) of values does not
// exceed; 0 if there are none.
func (h histogram) quantile(q float64) time.Duration {
	return time.Duration(h.hdr.ValueAtQuantile(q*100)) * time.Microsecond
}

// FewestAnswers returns how many values a percentile, 50 to below 100, takes to be
// more than their maximum: 2 for 50, 100 for 99.
func FewestAnswers(percentile float64) int64 {
	return int64(math.Round(100 / (100 - percentile)))
}

// summary condenses the histogram for the report.
func (h histogram) summary() Latency {
	return Latency{
		Count: h.count(),
		Mean:  Millis(h.hdr.Mean() / 1000),
		P50:   millis(h.quantile(0.50)),
		P75:   millis(h.quantile(0.75)),
		P90:   millis(h.quantile(0.90)),
		P95:   millis(h.quantile(0.95)),
		P99:   millis(h.quantile(0.99)),
		P999:  millis(h.quantile(0.999)),
		P9999: millis(h.quantile(0.9999)),
		Max:   Millis(float64(h.hdr.Max()) / 1000),
	}
}

// curve samples the percentiles on the HDR scale: curvePerDecade points for
// each further nine, up to the last one that count values can tell apart, and the
// maximum.
func (h histogram) curve() []CurvePoint {
	const curvePerDecade = 20
	if h.count() == 0 {
		return nil
	}
	last := int(math.Ceil(math.Log10(float64(h.count())) * curvePerDecade))
	points := make([]CurvePoint, 0, last+2)
	for i := range last + 1 {
		q := 1 - math.Pow(10, -float64(i)/curvePerDecade)
		points = append(points, CurvePoint{
			Percentile: math.Round(q*1e8) / 1e6,
			Latency:    millis(h.quantile(q)),
		})
	}
	return append(points, CurvePoint{Percentile: 100, Latency: Millis(float64(h.hdr.Max()) / 1000)})
}

// distribution counts values in buckets of equal width on a log scale, from
// the first to the last that holds any.
func (h histogram) distribution() []Bucket {
	const bucketsPerDecade = 10
	var counts []int64
	for _, bar := range h.hdr.Distribution() {
		if bar.Count == 0 {
			continue
		}
		i := int(math.Ceil(math.Log10(float64(max(bar.To, 1))) * bucketsPerDecade))
		for len(counts) <= i {
			counts = append(counts, 0)
		}
		counts[i] += bar.Count
	}
	var buckets []Bucket
	for i, n := range counts {
		if n == 0 && len(buckets) == 0 {
			continue
		}
		upper := math.Pow(10, float64(i)/bucketsPerDecade) / 1000
		buckets = append(buckets, Bucket{UpTo: Millis(upper), Count: n})
	}
	return buckets
}
