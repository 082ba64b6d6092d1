package expect

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"overtake/loadgen"
)

// kind is what a figure is measured in.
type kind uint8

const (
	latency kind = iota // ms
	rate                // per second
	count               // a number of requests, or their share in %
	share               // %
)

// figure is one figure of a class.
type figure struct {
	name string
	kind kind
	// get returns the figure in the unit of its kind, in % if the expectation
	// says so. missing says why there is none.
	get func(c loadgen.ClassResult, percent bool) (value float64, missing string)
	// within is the share of the requests that a latency is about, 0.99 for p99, and 1
	// for the longest and the mean; 0 for other figures.
	within float64
	// few says why so few answers tell nothing of a percentile; nil for other figures.
	few func(loadgen.ClassResult) string
}

// unanswered says why the figure, which is of successes only, is not below any
// limit: more of the requests than it leaves out had no answer. "" if it may be.
func (f figure) unanswered(c loadgen.ClassResult) string {
	without := c.FailedTotal() + c.Unfinished
	if f.within == 0 || c.Sent == 0 || float64(without) <= (1-f.within)*float64(c.Sent)+1e-6 {
		return ""
	}
	return fmt.Sprintf("beyond measure: of %d sent, %d failed and %d are unfinished", c.Sent, c.FailedTotal(), c.Unfinished)
}

// figures has no name before one that ends in it after a dot.
var figures = newFigures()

func newFigures() []figure {
	var all []figure
	percentiles := []struct {
		name    string
		percent float64 // of the requests that it is about
		get     func(loadgen.Latency) loadgen.Millis
	}{
		{"p50", 50, func(l loadgen.Latency) loadgen.Millis { return l.P50 }},
		{"p75", 75, func(l loadgen.Latency) loadgen.Millis { return l.P75 }},
		{"p90", 90, func(l loadgen.Latency) loadgen.Millis { return l.P90 }},
		{"p95", 95, func(l loadgen.Latency) loadgen.Millis { return l.P95 }},
		{"p99", 99, func(l loadgen.Latency) loadgen.Millis { return l.P99 }},
		{"p99.9", 99.9, func(l loadgen.Latency) loadgen.Millis { return l.P999 }},
		{"p99.99", 99.99, func(l loadgen.Latency) loadgen.Millis { return l.P9999 }},
		{"max", 100, func(l loadgen.Latency) loadgen.Millis { return l.Max }},
		{"mean", 100, func(l loadgen.Latency) loadgen.Millis { return l.Mean }},
	}
	for _, p := range percentiles {
		all = append(all, latencyFigure("service."+p.name, p.percent, p.get, func(c loadgen.ClassResult) loadgen.Latency { return c.Service }))
	}
	for _, p := range percentiles {
		all = append(all, latencyFigure(p.name, p.percent, p.get, func(c loadgen.ClassResult) loadgen.Latency { return c.Latency }))
	}
	return append(all,
		figure{name: "done/s", kind: rate, get: func(c loadgen.ClassResult, _ bool) (float64, string) { return c.DonePerSecond, "" }},
		figure{name: "goodput", kind: rate, get: func(c loadgen.ClassResult, _ bool) (float64, string) { return c.Goodput, "" }},
		figure{name: "shed", kind: count, get: func(c loadgen.ClassResult, percent bool) (float64, string) {
			return countOf(c.ShedTotal(), c.Sent, percent, "nothing sent")
		}},
		figure{name: "failed", kind: count, get: func(c loadgen.ClassResult, percent bool) (float64, string) {
			return countOf(c.FailedTotal(), c.Sent, percent, "nothing sent")
		}},
		figure{name: "unfinished", kind: count, get: func(c loadgen.ClassResult, percent bool) (float64, string) {
			return countOf(c.Unfinished, c.Sent, percent, "nothing sent")
		}},
		figure{name: "skipped", kind: count, get: func(c loadgen.ClassResult, percent bool) (float64, string) {
			return countOf(c.Skipped, c.Intended, percent, "nothing due")
		}},
		figure{name: "queue_share", kind: share, get: func(c loadgen.ClassResult, _ bool) (float64, string) {
			if c.Queue.Count == 0 {
				return 0, "not told: no Server-Timing in the answers; give the gateway the line expose: all"
			}
			return c.QueueShare * 100, ""
		}},
	)
}

// latencyFigure is a figure of a histogram. One of 100 % is of all requests, however few.
func latencyFigure(name string, percent float64, get func(loadgen.Latency) loadgen.Millis, of func(loadgen.ClassResult) loadgen.Latency) figure {
	f := figure{name: name, kind: latency, within: percent / 100, get: func(c loadgen.ClassResult, _ bool) (float64, string) {
		l := of(c)
		if l.Count == 0 {
			return 0, "no success"
		}
		return float64(get(l)), ""
	}}
	if percent < 100 {
		needs := loadgen.FewestAnswers(percent)
		f.few = func(c loadgen.ClassResult) string {
			if n := of(c).Count; n < needs {
				return fmt.Sprintf("too few answers (%d; %s needs %d)", n, name, needs)
			}
			return ""
		}
	}
	return f
}

// countOf returns n, or its percentage of whole.
func countOf(n, whole int64, percent bool, none string) (float64, string) {
	if !percent {
		return float64(n), ""
	}
	if whole == 0 {
		return 0, none
	}
	return float64(n) / float64(whole) * 100, ""
}

// of returns the figure of one class in the unit of the expectation. missing says why
// there is none, or none that tells anything: none that is below a limit, if it must be.
func (f figure) of(c loadgen.ClassResult, unit string, below bool) (value float64, missing string) {
	value, missing = f.get(c, unit == "%")
	if missing == "" && below {
		missing = f.unanswered(c)
	}
	if missing == "" && f.few != nil {
		missing = f.few(c)
	}
	return value, missing
}

func figureNames() string {
	var names []string
	for _, f := range figures {
		if !strings.HasPrefix(f.name, "service.") {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, ", ") + ", and service.p50 to service.mean"
}

// units have the factor to the unit in which a kind is compared.
var units = map[kind][]struct {
	name   string
	factor float64
	base   string
}{
	latency: {{"ms", 1, "ms"}, {"µs", 0.001, "ms"}, {"us", 0.001, "ms"}, {"s", 1000, "ms"}}, // ms before s, which ends it, too
	rate:    {{"/s", 1, "/s"}},
	count:   {{"%", 1, "%"}, {"", 1, ""}},
	share:   {{"%", 1, "%"}},
}

// wanted says what a value of the kind looks like.
var wanted = map[kind]string{
	latency: "a duration with its unit, such as 50ms or 1.5s",
	rate:    "a rate with its unit, such as 100/s",
	count:   "a count or a share, such as 0 or 0.1%",
	share:   "a share, such as 20%",
}

// parse returns a value in the unit that the kind is compared in.
func (k kind) parse(text string) (value float64, unit string, err error) {
	if text == "" {
		return 0, "", errors.New("no value; want " + wanted[k])
	}
	for _, u := range units[k] {
		digits, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		// Not what ParseFloat takes besides: 0x1p-2, 1_000, inf.
		digits = strings.TrimSpace(digits)
		value, err := strconv.ParseFloat(digits, 64)
		if err == nil && !strings.ContainsFunc(digits, notInNumber) && value <= maxValue {
			return value * u.factor, u.base, nil
		}
	}
	return 0, "", fmt.Errorf("value %q is not %s", text, wanted[k])
}

// maxValue is above every figure; it keeps arithmetic away from infinity.
const maxValue = 1e15

func notInNumber(r rune) bool { return (r < '0' || r > '9') && r != '.' }

// format writes a value with its unit, to three significant digits, or to three
// decimals where fewer would tell something else of whether it is met.
func format(value float64, unit string, met func(float64) bool) string {
	scale := 1000.0
	if value != 0 && unit != "" {
		scale = math.Pow(10, max(2-math.Floor(math.Log10(math.Abs(value))), 0))
	}
	rounded := math.Round(value*scale) / scale
	if met(rounded) != met(value) {
		rounded = math.Round(value*1000) / 1000
	}
	return strconv.FormatFloat(rounded, 'f', -1, 64) + unit
}
