package distribution

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"overtake/classifier/strictyaml"
)

// What is drawn has the percentiles that were asked for, to 5 %.
func TestDraw(t *testing.T) {
	const ms = time.Millisecond
	five := 5 * ms
	for _, test := range []struct {
		name              string
		d                 Duration
		mean, median, p99 time.Duration
	}{
		{"fixed", Duration{Fixed: &five}, five, five, five},
		{"uniform", Duration{Uniform: &Range[time.Duration]{10 * ms, 30 * ms}}, 20 * ms, 20 * ms, 29800 * time.Microsecond},
		{"exponential", Duration{Exponential: &Mean[time.Duration]{10 * ms}}, 10 * ms, 6931 * time.Microsecond, 46052 * time.Microsecond},
		{"lognormal", Duration{Lognormal: &Tail[time.Duration]{10 * ms, 40 * ms}}, 11943 * time.Microsecond, 10 * ms, 40 * ms},
		{"choice", Duration{Choice: []Candidate[time.Duration]{{ms, 98}, {100 * ms, 2}}}, 2980 * time.Microsecond, ms, 100 * ms},
		{"none", Duration{}, 0, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			drawn := make([]time.Duration, 100_000)
			var sum time.Duration
			for i := range drawn {
				drawn[i] = test.d.Draw(random)
				sum += drawn[i]
			}
			slices.Sort(drawn)
			n := len(drawn)
			if test.d.Largest() < drawn[n*99/100] {
				t.Errorf("largest %v", test.d.Largest())
			}
			near := func(what string, got, want time.Duration) {
				if got < want*95/100 || got > want*105/100 {
					t.Errorf("%s %v, want %v", what, got, want)
				}
			}
			near("mean", sum/time.Duration(n), test.mean)
			near("said mean", test.d.Mean(), test.mean)
			near("median", drawn[n/2], test.median)
			near("p99", drawn[n*99/100], test.p99)
		})
	}
}

// A file gives a fixed value as it is, and names every other.
func TestRead(t *testing.T) {
	for text, want := range map[string]string{
		"2KiB":                                           "2KiB",
		"{fixed: 10B}":                                   "10B",
		"{uniform: {min: 1B, max: 2B}}":                  "1B to 2B",
		"{exponential: {mean: 1MiB}}":                    "~1MiB exponential",
		"{lognormal: {median: 1KiB, p99: 9KiB}}":         "~1KiB, p99 9KiB",
		"{choice: [{value: 1B, weight: 9}, {value: 0}]}": "1B or 0B",
	} {
		var file struct {
			Size Size `yaml:"size"`
		}
		src := strictyaml.Decode("f.yaml", []byte("size: "+text), &file, nil)
		file.Size.Check(src, "size", 1<<30)
		if problems := src.Problems(); len(problems) > 0 || file.Size.String() != want {
			t.Errorf("%s: %v %s, want %s", text, problems, file.Size.String(), want)
		}
	}
}
