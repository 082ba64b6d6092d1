// Package expect says whether a report holds what was asked of it, such as
// interactive.p99<50ms, so that a run can fail a build.
package expect

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"overtake/loadgen"
)

// Expectation is one demand on one figure of one class. It must hold in every
// run of a report. It is read-only.
type Expectation struct {
	text   string
	class  string
	figure figure
	op     string // <, <=, > or >=
	limit  float64
	unit   string // of limit: ms, /s, % or "" for a count
}

// Parse reads CLASS.FIGURE OP VALUE, with or without spaces around OP:
//
//	interactive.p99 < 50ms
//	batch.done/s >= 100/s
//	interactive.shed <= 0.1%
//
// FIGURE is p50, p75, p90, p95, p99, p99.9, p99.99, max or mean of the latency, the
// same after "service.", done/s, goodput, shed, failed, unfinished, skipped
// or queue_share.
// OP is <, <=, > or >=. VALUE is a duration in us, ms or s, a rate in /s, a count
// or a share in %. An error names what is wrong and what would be right.
func Parse(text string) (Expectation, error) {
	e, err := parse(text)
	if err != nil {
		return Expectation{}, fmt.Errorf("expectation %q: %w", text, err)
	}
	return e, nil
}

func parse(text string) (Expectation, error) {
	// The name of a class may have < and > in it; a value has none.
	at := strings.LastIndexAny(text, "<>")
	if at < 0 {
		return Expectation{}, errors.New("no <, <=, > or >=; want CLASS.FIGURE OP VALUE, such as interactive.p99<50ms")
	}
	op, value := text[at:at+1], text[at+1:]
	if rest, ok := strings.CutPrefix(value, "="); ok {
		op, value = op+"=", rest
	}
	class, f, err := splitFigure(strings.TrimSpace(text[:at]))
	if err != nil {
		return Expectation{}, err
	}
	limit, unit, err := f.kind.parse(strings.TrimSpace(value))
	if err != nil {
		return Expectation{}, err
	}
	return Expectation{text: strings.TrimSpace(text), class: class, figure: f, op: op, limit: limit, unit: unit}, nil
}

// splitFigure separates CLASS.FIGURE; both may have dots.
func splitFigure(text string) (class string, f figure, err error) {
	for _, f := range figures { // the longest names first
		if class, ok := strings.CutSuffix(text, "."+f.name); ok {
			if class == "" {
				return "", f, errors.New("no class before ." + f.name + "; want CLASS.FIGURE, such as interactive." + f.name)
			}
			return class, f, nil
		}
	}
	_, name, ok := strings.Cut(text, ".")
	if !ok {
		return "", f, fmt.Errorf("no '.' in %q; want CLASS.FIGURE, such as interactive.p99", text)
	}
	return "", f, fmt.Errorf("unknown figure %q; there are %s", name, figureNames())
}

// String returns the text that was parsed, without spaces at its ends.
func (e Expectation) String() string { return e.text }

// Applies returns an error if no class of these has the name.
func (e Expectation) Applies(classes []loadgen.Class) error {
	names := make([]string, 0, len(classes))
	for _, c := range classes {
		names = append(names, c.Name)
	}
	if slices.Contains(names, e.class) {
		return nil
	}
	return fmt.Errorf("expectation %q: the scenario has no class %q; it has %s", e.text, e.class, strings.Join(names, ", "))
}

// Check returns what came of e in the report: Got is the worst of all runs.
// A figure that a run does not have (a latency without a success, a queue share
// that no gateway told) does not meet anything, and neither does a percentile of so few
// answers that it is their maximum. A percentile below a limit is not met either if
// more requests failed or are unfinished than are beyond it: nobody knows how long
// those would have taken. The longest and the mean are of all.
func (e Expectation) Check(r *loadgen.Report) loadgen.Expectation {
	result := loadgen.Expectation{Text: e.text, Got: "no such class in the report"}
	first := true
	var worst float64
	for _, run := range r.Runs {
		i := slices.IndexFunc(run.Classes, func(c loadgen.ClassResult) bool { return c.Name == e.class })
		if i < 0 {
			return loadgen.Expectation{Text: e.text, Got: "no such class in the report"}
		}
		got, missing := e.figure.of(run.Classes[i], e.unit, e.op[0] == '<')
		if missing != "" {
			return loadgen.Expectation{Text: e.text, Got: missing}
		}
		if first || e.worse(got, worst) {
			first, worst = false, got
			result.Got, result.Met = format(got, e.unit, e.holds), e.holds(got)
		}
	}
	return result
}

// CheckAll is Check for each of them, in order.
func CheckAll(all []Expectation, r *loadgen.Report) []loadgen.Expectation {
	var results []loadgen.Expectation
	for _, e := range all {
		results = append(results, e.Check(r))
	}
	return results
}

// worse reports whether a is further from being met than b.
func (e Expectation) worse(a, b float64) bool {
	if e.op[0] == '<' {
		return a > b
	}
	return a < b
}

func (e Expectation) holds(got float64) bool {
	switch e.op {
	case "<":
		return got < e.limit
	case "<=":
		return got <= e.limit
	case ">":
		return got > e.limit
	}
	return got >= e.limit
}
