package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"overtake/loadgen"
)

// remark is said of one file, condition or class, or of several.
type remark struct {
	of   []string
	text string
}

// fold says once what is said of several, in the order in which it is first said. What
// is said of names[i] is texts[i], nothing if it is empty.
func fold(names, texts []string) []remark {
	var remarks []remark
	for i, text := range texts {
		if text == "" {
			continue
		}
		at := slices.IndexFunc(remarks, func(r remark) bool { return r.text == text })
		if at < 0 {
			at = len(remarks)
			remarks = append(remarks, remark{text: text})
		}
		remarks[at].of = append(remarks[at].of, names[i])
	}
	return remarks
}

// sentence puts the verb for one, or that for several, between names and text.
func (r remark) sentence(one, several string) string {
	verb := one
	if len(r.of) > 1 {
		verb = several
	}
	return strings.Join(r.of, ", ") + " " + verb + " " + r.text
}

// comparisonWarnings says where a file was measured in another way than the
// first, and which are no results.
func comparisonWarnings(names []string, reports []*loadgen.Report) []string {
	var warnings []string
	verdicts := make([]string, len(reports))
	for i, r := range reports {
		if r.Verdict.State != loadgen.Valid {
			verdicts[i] = "NOT A RESULT: " + briefVerdict(r.Verdict)
		}
	}
	for _, r := range fold(names, verdicts) {
		warnings = append(warnings, r.sentence("is", "are"))
	}
	var having, early []string
	for i, r := range reports {
		for _, text := range endedEarly(groupRuns(r)) {
			having, early = append(having, names[i]), append(early, text)
		}
	}
	for _, r := range fold(having, early) {
		warnings = append(warnings, r.sentence("has", "have"))
	}
	for _, what := range []struct {
		name string
		of   func(*loadgen.Report) string
	}{
		{"scenario", func(r *loadgen.Report) string { return cmp.Or(r.Scenario, "(no name)") }},
		{"seed", func(r *loadgen.Report) string {
			return eachOf(r.Runs, func(p loadgen.RunResult) string { return fmt.Sprint(p.Seed) })
		}},
		{"duration", func(r *loadgen.Report) string {
			return eachOf(r.Runs, func(p loadgen.RunResult) string { return fmt.Sprintf("%.3g s", p.DurationSeconds) })
		}},
		{"machine", func(r *loadgen.Report) string {
			e := r.Environment
			return fmt.Sprintf("%s/%s with %d CPUs", e.OS, e.Arch, e.CPUs)
		}},
	} {
		first, differing := what.of(reports[0]), make([]string, len(reports))
		for i, r := range reports {
			if got := what.of(r); got != first {
				differing[i] = got + ", not " + first
			}
		}
		warnings = append(warnings, otherWarnings(what.name, names, differing)...)
	}
	loads := make([]string, len(reports))
	for i, r := range reports {
		loads[i] = loadDifference(loadsOf(reports[0]), loadsOf(r))
	}
	return append(warnings, otherWarnings("load", names, loads)...)
}

// otherWarnings say which files differ in what from the first, and how.
func otherWarnings(what string, names, differing []string) []string {
	var warnings []string
	for _, r := range fold(names, differing) {
		r.text = fmt.Sprintf("another %s than %s: %s", what, names[0], r.text)
		warnings = append(warnings, r.sentence("has", "have"))
	}
	return warnings
}

// endedEarly says which runs of a file are left out, or count though they were ended
// early.
func endedEarly(groups []group) []string {
	conditions, texts := make([]string, len(groups)), make([]string, len(groups))
	for i, g := range groups {
		conditions[i] = g.condition
		switch {
		case g.runs[0].Interrupted:
			texts[i] = "only runs that were ended early"
		case g.leftOut == 1:
			texts[i] = "1 run that was ended early: it is left out"
		case g.leftOut > 0:
			texts[i] = fmt.Sprintf("%d runs that were ended early: they are left out", g.leftOut)
		}
	}
	var early []string
	for _, r := range fold(conditions, texts) {
		if of := listed(r.of); of != "" {
			r.text += ", of " + of
		}
		early = append(early, r.text)
	}
	return early
}

// briefVerdict tells the first reason only: a report of many runs may have many.
func briefVerdict(v loadgen.Verdict) string {
	more := len(v.Reasons) - 1
	if more < 1 {
		return v.String()
	}
	first := loadgen.Verdict{State: v.State, Reasons: v.Reasons[:1]}
	if more == 1 {
		return first.String() + " (and 1 reason more)"
	}
	return fmt.Sprintf("%s (and %d reasons more)", first, more)
}

// eachOf returns what is said of each, without repeats.
func eachOf[T any](all []T, of func(T) string) string {
	var texts []string
	for _, one := range all {
		if text := of(one); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, ", ")
}

// listed joins names as a sentence does.
func listed(names []string) string {
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}
