package report

import (
	"cmp"
	"slices"

	"overtake/loadgen"
)

// group is the runs that were made under one condition.
type group struct {
	condition string
	runs      []loadgen.RunResult // never empty
	medians   []median            // one for each class, in the order they appear
}

// median is what one class got in its median run: the one with the middle p99.
// All its figures are of the same run, so that they fit together. Of an even
// number of runs it is the lower of the two in the middle.
type median struct {
	result loadgen.ClassResult
	run    loadgen.RunResult
	index  int // of the run in the report
}

// groupRuns returns the conditions in the order they first appear.
func groupRuns(r *loadgen.Report) []group {
	var groups []group
	candidates := make(map[[2]string][]median)
	for i, run := range r.Runs {
		at := slices.IndexFunc(groups, func(g group) bool { return g.condition == run.Condition })
		if at < 0 {
			at = len(groups)
			groups = append(groups, group{condition: run.Condition})
		}
		g := &groups[at]
		g.runs = append(g.runs, run)
		for _, class := range run.Classes {
			key := [2]string{run.Condition, class.Name}
			if len(candidates[key]) == 0 {
				g.medians = append(g.medians, median{result: class})
			}
			candidates[key] = append(candidates[key], median{class, run, i})
		}
	}
	for i := range groups {
		for j, m := range groups[i].medians {
			groups[i].medians[j] = middle(candidates[[2]string{groups[i].condition, m.result.Name}])
		}
	}
	return groups
}

// middle returns the run with the median p99.
func middle(runs []median) median {
	slices.SortStableFunc(runs, func(a, b median) int { return cmp.Compare(a.result.Latency.P99, b.result.Latency.P99) })
	return runs[(len(runs)-1)/2]
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

// summary returns the spread of a class over the runs of a condition, if the
// report has it.
func summary(r *loadgen.Report, condition, class string) (loadgen.ClassSummary, bool) {
	for _, c := range r.Conditions {
		if c.Name != condition || c.Runs < 2 {
			continue
		}
		for _, s := range c.Classes {
			if s.Name == class {
				return s, true
			}
		}
	}
	return loadgen.ClassSummary{}, false
}
