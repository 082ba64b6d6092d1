package report

import (
	"math"
	"slices"
	"sort"

	"golang.org/x/perf/benchmath"

	"overtake/loadgen"
)

// compareValue compares the sorted runs of one file with those of the first.
func compareValue(base, values []float64, first bool) ComparedValue {
	v := ComparedValue{Runs: len(values), Median: round3(loadgen.Median(values)), Difference: DifferenceBase}
	if first || len(base) == 0 || len(values) == 0 {
		return v
	}
	v.Ratio = roundRatio(ratio(loadgen.Median(values), loadgen.Median(base)))
	if len(base) < fewestRuns || len(values) < fewestRuns {
		v.Difference = DifferenceUnknown
		return v
	}
	test := rankTest(base, values)
	v.P, v.Difference = test.P, DifferenceNoise
	if test.P < test.Alpha {
		v.Difference = DifferenceReal
	}
	v.RatioLow, v.RatioHigh = ratioInterval(base, values)
	return v
}

func rankTest(base, values []float64) benchmath.Comparison {
	return benchmath.AssumeNothing.Compare(
		benchmath.NewSample(slices.Clone(base), &benchmath.DefaultThresholds),
		benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds))
}

// ratioInterval returns between which ratios the runs, which are sorted, leave the
// true one: those by which the first file's runs can be multiplied so that the test
// of [compareValue] calls what is left noise. (It is the interval of Hodges and
// Lehmann, of ratios instead of differences.) The ratio of two runs is where the ranks
// change, so only those can be its ends. Both are 0 if a run has nothing that it could
// be a multiple of.
func ratioInterval(base, values []float64) (low, high float64) {
	if base[0] <= 0 || values[0] <= 0 {
		return 0, 0
	}
	var ratios []float64
	for _, b := range base {
		for _, v := range values {
			ratios = append(ratios, v/b)
		}
	}
	slices.Sort(ratios)
	middle := ratios[len(ratios)/2]
	ratios = slices.Compact(ratios)
	noise := func(i int) bool { // of the ratios between the i-th and the next
		multiple := make([]float64, len(base))
		for j, b := range base {
			multiple[j] = b * math.Sqrt(ratios[i]) * math.Sqrt(ratios[i+1])
		}
		test := rankTest(multiple, values)
		return test.P >= test.Alpha
	}
	at, _ := slices.BinarySearch(ratios, middle)
	first := sort.Search(at, noise)
	last := at + sort.Search(len(ratios)-1-at, func(i int) bool { return !noise(at + i) })
	return significant(ratios[first], 6), significant(ratios[last], 6)
}

// roundRatio keeps 3 decimals, and of what is small 4 digits.
func roundRatio(r float64) float64 {
	if r >= 0.1 && r <= mostRatio {
		return round3(r)
	}
	return significant(r, 4)
}

// mostRatio and 1/mostRatio bound what can be the ratio of two measurements: what is
// beyond is none.
const mostRatio = 1e12

func significant(r float64, digits int) float64 {
	if r < 1/mostRatio || r > mostRatio {
		return 0
	}
	scale := math.Pow(10, float64(digits-1)-math.Floor(math.Log10(r)))
	return math.Round(r*scale) / scale
}
