package report

import (
	"bytes"
	"html"
	"regexp"
	"slices"
	"strings"
	"testing"

	"overtake/loadgen"
)

// The page tells of each class what it asked for, and each variant of it where runs
// differ.
func TestPageTellsTheLoad(t *testing.T) {
	class := func(rate float64) loadgen.ClassResult {
		return loadgen.ClassResult{Name: "pay", Method: "POST", Path: "/pay?n=<1>", Rate: rate, Arrivals: "Poisson", Objective: 100, Timeout: 60_000}
	}
	job := loadgen.ClassResult{Name: "export", Method: "POST", Path: "/jobs/x", Endpoint: "exports", Rate: 2, Job: true, Timeout: 1500}
	var page bytes.Buffer
	if err := WriteHTML(&page, &loadgen.Report{Schema: loadgen.ReportSchema, Runs: []loadgen.RunResult{
		{Classes: []loadgen.ClassResult{class(50), job}}, {Classes: []loadgen.ClassResult{class(100), job}},
	}}); err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(page.String(), `id="table-load"`)
	table, _, _ = strings.Cut(table, "</table>")
	var cells []string
	for _, cell := range regexp.MustCompile(`(?:<td>|<th scope="row">)(.*?)</t`).FindAllStringSubmatch(table, -1) {
		cells = append(cells, html.UnescapeString(cell[1]))
	}
	want := []string{
		"pay", "POST /pay?n=<1>", "50.0/s, 100/s", "Poisson", "100 ms", "60,000 ms",
		"export", "POST /jobs/x at exports, until the job is done", "2.0/s", "-", "-", "1,500 ms",
	}
	if !slices.Equal(cells, want) {
		t.Errorf("the table is\n  %q, want\n  %q", cells, want)
	}
}
