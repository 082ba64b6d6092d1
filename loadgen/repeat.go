package loadgen

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// RunRepeated makes n runs under the same condition, one after the other, and
// returns one report of all. Run i has the seed sc.Seed+i-1: other requests at
// other times, so that the spread over the runs shows how much depends on them.
// Between two runs it pauses until the target should be quiet again: for as long
// as the slowest answer took, at least a second.
//
// When ctx ends, or a run can't be made, the report of the runs until then comes
// with the error; it is nil if there is none.
func RunRepeated(ctx context.Context, sc Scenario, opts Options, n int) (*Report, error) {
	if err := sc.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	report := &Report{
		Schema: ReportSchema, Created: time.Now().UTC(), Scenario: sc.Name, Target: sc.targetURL(),
		Environment: environment(opts.Version), Jaeger: opts.Jaeger,
	}
	seed := sc.Seed
	for i := range max(n, 1) {
		if i > 0 && !pause(ctx, quietAfter(report.Runs[i-1], opts.Grace)) {
			break
		}
		sc.Seed = seed + uint64(i)
		result, err := runOnce(ctx, sc, opts)
		if err != nil && len(result.Classes) == 0 && len(report.Runs) == 0 {
			return nil, err
		}
		if len(result.Classes) > 0 {
			result.Repeat = i + 1
			report.Runs = append(report.Runs, result)
		}
		if err != nil {
			report.conclude()
			return report, fmt.Errorf("loadgen: run %d: %w", i+1, err)
		}
	}
	report.conclude()
	if err := context.Cause(ctx); err != nil {
		return report, fmt.Errorf("loadgen: run ended early: %w", err)
	}
	return report, nil
}

// quietAfter returns how long the target may go on working after a run.
func quietAfter(r RunResult, grace time.Duration) time.Duration {
	quiet := time.Second
	for _, c := range r.Classes {
		quiet = max(quiet, c.Latency.Max.Duration())
		if c.Unfinished > 0 {
			quiet = max(quiet, grace)
		}
	}
	return min(quiet, max(grace, time.Second))
}

// pause reports false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// conclude fills in what is of all runs.
func (r *Report) conclude() {
	r.Conditions = Summarize(r.Runs)
	r.Verdict = mergeVerdicts(r.Runs)
}

// Merge returns one report with the runs of all reports, in order. The rest is
// that of the first, but for the conditions and the verdict, which are of them
// all.
func Merge(reports ...*Report) *Report {
	merged := Report{Schema: ReportSchema}
	if len(reports) > 0 {
		merged = *reports[0]
	}
	merged.Runs = nil
	for _, r := range reports {
		merged.Runs = append(merged.Runs, r.Runs...)
	}
	merged.conclude()
	return &merged
}

// Summarize sums up the runs of each condition, in the order in which those
// appear first. Runs that were ended early are left out where there are others.
func Summarize(runs []RunResult) []Condition {
	conditions := []Condition{}
	for _, run := range runs {
		if slices.ContainsFunc(conditions, func(c Condition) bool { return c.Name == run.Condition }) {
			continue
		}
		var whole, all []RunResult
		for _, other := range runs {
			if other.Condition != run.Condition {
				continue
			}
			if all = append(all, other); !other.Interrupted {
				whole = append(whole, other)
			}
		}
		if len(whole) == 0 {
			whole = all
		}
		conditions = append(conditions, Condition{Name: run.Condition, Runs: len(whole), Classes: summarizeClasses(whole)})
	}
	return conditions
}

func summarizeClasses(runs []RunResult) []ClassSummary {
	byName := make(map[string][]ClassResult)
	var order []string
	for _, run := range runs {
		for _, c := range run.Classes {
			if byName[c.Name] == nil {
				order = append(order, c.Name)
			}
			byName[c.Name] = append(byName[c.Name], c)
		}
	}
	summaries := make([]ClassSummary, 0, len(order))
	for _, name := range order {
		summaries = append(summaries, summarizeClass(byName[name]))
	}
	return summaries
}

// summarizeClass sums up one class over runs. A run without a success has no
// latencies: they are not 0.
func summarizeClass(runs []ClassResult) ClassSummary {
	latency := func(get func(Latency) Millis) Spread {
		return SpreadOf(runs, func(c ClassResult) (float64, bool) { return float64(get(c.Latency)), c.Latency.Count > 0 })
	}
	return ClassSummary{
		Name: runs[0].Name, Class: runs[0].Class,
		DonePerSecond: SpreadOf(runs, func(c ClassResult) (float64, bool) { return c.DonePerSecond, true }),
		Goodput:       SpreadOf(runs, func(c ClassResult) (float64, bool) { return c.Goodput, true }),
		P50:           latency(func(l Latency) Millis { return l.P50 }),
		P90:           latency(func(l Latency) Millis { return l.P90 }),
		P99:           latency(func(l Latency) Millis { return l.P99 }),
		P999:          latency(func(l Latency) Millis { return l.P999 }),
		Max:           latency(func(l Latency) Millis { return l.Max }),
		NotServed:     SpreadOf(runs, func(c ClassResult) (float64, bool) { return round4(c.NotServedShare()), c.Sent > 0 }),
		QueueShare:    SpreadOf(runs, func(c ClassResult) (float64, bool) { return c.QueueShare, c.Queue.Count > 0 }),
	}
}

// SpreadOf returns the median, the least and the largest of a figure over the runs
// that have it (ok); all are NaN if none does.
func SpreadOf(runs []ClassResult, figure func(ClassResult) (value float64, ok bool)) Spread {
	var values []float64
	for _, c := range runs {
		if value, ok := figure(c); ok {
			values = append(values, value)
		}
	}
	if len(values) == 0 {
		return Spread{Median: math.NaN(), Min: math.NaN(), Max: math.NaN()}
	}
	slices.Sort(values)
	return Spread{Median: round4(Median(values)), Min: values[0], Max: values[len(values)-1]}
}

// Median returns the median of sorted values: of an even number of them the mean of
// the two in the middle, of none 0.
func Median(sorted []float64) float64 {
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
