package report

import (
	"cmp"
	"strings"

	"overtake/loadgen"
)

// loadRow says what a class sent, in all runs: where they differ, each variant.
type loadRow struct {
	Class string
	Cells []string // request, rate, arrivals, objective, timeout
}

// resultsOf returns the results of each class in all runs, and the names in the order
// in which they come.
func resultsOf(r *loadgen.Report) (names []string, of map[string][]loadgen.ClassResult) {
	of = make(map[string][]loadgen.ClassResult)
	for _, run := range r.Runs {
		for _, c := range run.Classes {
			if len(of[c.Name]) == 0 {
				names = append(names, c.Name)
			}
			of[c.Name] = append(of[c.Name], c)
		}
	}
	return names, of
}

func loadRows(r *loadgen.Report) []loadRow {
	names, results := resultsOf(r)
	var rows []loadRow
	for _, name := range names {
		of := results[name]
		row := loadRow{Class: of[0].Label()}
		for _, cell := range []func(loadgen.ClassResult) string{
			requestCell,
			func(c loadgen.ClassResult) string { return formatRate(c.Rate) + "/s" },
			func(c loadgen.ClassResult) string { return cmp.Or(c.Arrivals, "-") },
			func(c loadgen.ClassResult) string { return millisOrDash(c.Objective) },
			func(c loadgen.ClassResult) string { return millisOrDash(c.Timeout) },
		} {
			row.Cells = append(row.Cells, eachOf(of, cell))
		}
		rows = append(rows, row)
	}
	return rows
}

// requestCell is what is sent, and what counts as its end where that is not the answer.
func requestCell(c loadgen.ClassResult) string {
	text := whereTo(c)
	if c.Endpoint != "" && !strings.Contains(text, c.Endpoint) {
		text += " at " + c.Endpoint
	}
	if c.Job {
		text += ", until the job is done"
	}
	return text
}

func millisOrDash(m loadgen.Millis) string {
	if m == 0 {
		return "-"
	}
	return formatMillis(m) + " ms"
}
