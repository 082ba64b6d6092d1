package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"overtake/loadgen"
)

// group is the runs that were made under one condition.
type group struct {
	condition string
	runs      []loadgen.RunResult // never empty; those ended early only if all were
	leftOut   int                 // runs that were ended early
	medians   []median            // one for each class, in the order they appear
	summaries []loadgen.ClassSummary
}

// median is what one class got in its median run: the one with the middle p99.
// All its figures are of the same run, so that they fit together. Of an even
// number of runs it is the lower of the two in the middle. A run without a success
// is slower than any.
type median struct {
	result   loadgen.ClassResult
	run      loadgen.RunResult
	index    int // of the run in the report
	answered int // runs of the condition with a success
}

// groupRuns returns the conditions in the order they first appear.
func groupRuns(r *loadgen.Report) []group {
	var groups []group
	candidates := make(map[[2]string][]median)
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
			key := [2]string{run.Condition, class.Name}
			if len(candidates[key]) == 0 {
				g.medians = append(g.medians, median{result: class})
			}
			candidates[key] = append(candidates[key], median{result: class, run: run, index: i})
		}
	}
	for i := range groups {
		groups[i].summaries = summaries(groups[i].runs)
		for j, m := range groups[i].medians {
			groups[i].medians[j] = middle(candidates[[2]string{groups[i].condition, m.result.Name}])
		}
	}
	return groups
}

// middle returns the run with the median p99.
func middle(runs []median) median {
	p99 := func(m median) float64 {
		if m.result.Latency.Count == 0 {
			return math.Inf(1)
		}
		return float64(m.result.Latency.P99)
	}
	slices.SortStableFunc(runs, func(a, b median) int { return cmp.Compare(p99(a), p99(b)) })
	m := runs[(len(runs)-1)/2]
	for _, run := range runs {
		if run.result.Latency.Count > 0 {
			m.answered++
		}
	}
	return m
}

// classNames returns the names of all classes in the order they first appear.
func classNames(groups []group) []string {
	var names []string
	for _, g := range groups {
		for _, m := range g.medians {
			if !slices.Contains(names, m.result.Name) {
				names = append(names, m.result.Name)
			}
		}
	}
	return names
}

// summaries sums up runs of one condition, as the report does in its conditions.
func summaries(runs []loadgen.RunResult) []loadgen.ClassSummary {
	var all []loadgen.ClassSummary
	for _, c := range loadgen.Summarize(runs) {
		all = append(all, c.Classes...)
	}
	return all
}

// summary returns the medians and ranges of a class over the runs of g.
func (g group) summary(class string) loadgen.ClassSummary {
	for _, s := range g.summaries {
		if s.Name == class {
			return s
		}
	}
	return loadgen.ClassSummary{}
}

// runCell says which of the runs of g the figures of m are of; empty if there was
// only one.
func (g group) runCell(m median) string {
	if len(g.runs) < 2 {
		return ""
	}
	return fmt.Sprintf("%d of %d", m.run.Repeat, len(g.runs)+g.leftOut)
}

// title names the condition and says what its figures are of.
func (g group) title() string {
	title := formatSeconds(g.runs[0].DurationSeconds)
	if n := len(g.runs); n > 1 {
		title = fmt.Sprintf("of %d runs of %s each class's with the median p99%s", n, title, medianNote(n))
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

// medianNote says which of an even number of runs is shown as the median.
func medianNote(runs int) string {
	if runs%2 == 0 {
		return " (the lower of the two in the middle)"
	}
	return ""
}
