package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"overtake/loadgen"
)

// group is the runs that were made under one condition.
type group struct {
	condition string
	runs      []loadgen.RunResult // never empty; those ended early only if all were
	leftOut   int                 // runs that were ended early
	classes   []measured          // in the order they appear
}

// classRun is what one class got in one run.
type classRun struct {
	result loadgen.ClassResult
	run    loadgen.RunResult
	index  int // of the run in the report
}

// measured is one class in the runs of a condition. As a classRun, it is the one of
// them whose p99 is in the middle: what is shown second by second can only be of one.
// Of an even number it is the lower of the two in the middle. A run without a success
// is slower than any.
type measured struct {
	classRun
	all []classRun // in the order they were made
}

// results are of all runs.
func (m measured) results() []loadgen.ClassResult {
	results := make([]loadgen.ClassResult, 0, len(m.all))
	for _, r := range m.all {
		results = append(results, r.result)
	}
	return results
}

// total counts the requests of all runs together.
func (m measured) total() loadgen.Counts {
	var total loadgen.Counts
	for _, r := range m.all {
		total = addCounts(total, r.result.Counts)
	}
	return total
}

func addCounts(a, b loadgen.Counts) loadgen.Counts {
	add := func(a, b map[string]int64) map[string]int64 {
		sum := maps.Clone(a)
		for cause, n := range b {
			if sum == nil {
				sum = make(map[string]int64)
			}
			sum[cause] += n
		}
		return sum
	}
	return loadgen.Counts{
		Intended: a.Intended + b.Intended, Sent: a.Sent + b.Sent, OK: a.OK + b.OK,
		WithinObjective: a.WithinObjective + b.WithinObjective, Unfinished: a.Unfinished + b.Unfinished,
		Skipped: a.Skipped + b.Skipped, Shed: add(a.Shed, b.Shed), Failed: add(a.Failed, b.Failed),
	}
}

// groupRuns returns the conditions in the order they first appear.
func groupRuns(r *loadgen.Report) []group {
	var groups []group
	hasWhole := make(map[string]bool)
	for _, run := range r.Runs {
		hasWhole[run.Condition] = hasWhole[run.Condition] || !run.Interrupted
	}
	for i, run := range r.Runs {
		at := slices.IndexFunc(groups, func(g group) bool { return g.condition == run.Condition })
		if at < 0 {
			at = len(groups)
			groups = append(groups, group{condition: run.Condition})
		}
		g := &groups[at]
		if run.Interrupted && hasWhole[run.Condition] {
			g.leftOut++
			continue
		}
		g.runs = append(g.runs, run)
		for _, class := range run.Classes {
			at := slices.IndexFunc(g.classes, func(m measured) bool { return m.all[0].result.Name == class.Name })
			if at < 0 {
				at = len(g.classes)
				g.classes = append(g.classes, measured{})
			}
			g.classes[at].all = append(g.classes[at].all, classRun{class, run, i})
		}
	}
	for i := range groups {
		for j, m := range groups[i].classes {
			groups[i].classes[j].classRun = middle(m.all)
		}
	}
	return groups
}

// middle returns the run with the median p99.
func middle(runs []classRun) classRun {
	p99 := func(r classRun) float64 {
		if r.result.Latency.Count == 0 {
			return math.Inf(1)
		}
		return float64(r.result.Latency.P99)
	}
	sorted := slices.Clone(runs)
	slices.SortStableFunc(sorted, func(a, b classRun) int { return cmp.Compare(p99(a), p99(b)) })
	return sorted[(len(sorted)-1)/2]
}

// classNames returns the names of all classes in the order they first appear.
func classNames(groups []group) []string {
	var names []string
	for _, g := range groups {
		for _, m := range g.classes {
			if !slices.Contains(names, m.result.Name) {
				names = append(names, m.result.Name)
			}
		}
	}
	return names
}

// repeated says whether figures are of several runs.
func (g group) repeated() bool { return len(g.runs) > 1 }

// name is the condition, and of how many runs its figures are if those are several.
func (g group) name() string {
	if !g.repeated() {
		return g.condition
	}
	return strings.TrimPrefix(fmt.Sprintf("%s, %d runs", g.condition, len(g.runs)), ", ")
}

// runName names one of several runs; "" of a single one.
func (g group) runName(r classRun) string {
	if !g.repeated() {
		return ""
	}
	return fmt.Sprintf("run %d of %d", r.run.Repeat, len(g.runs)+g.leftOut)
}

// title names the condition and says what its figures are of; how says what was done
// with those of several runs.
func (g group) title(how string) string {
	title := formatSeconds(g.runs[0].DurationSeconds)
	if g.repeated() {
		title = fmt.Sprintf("%d runs of %s%s", len(g.runs), title, how)
	}
	if g.condition != "" {
		title = g.condition + ", " + title
	}
	switch {
	case g.runs[0].Interrupted:
		title += ", ended early"
	case g.leftOut > 0:
		title += fmt.Sprintf("; %d ended early and left out", g.leftOut)
	}
	return title
}
