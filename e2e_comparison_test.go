//go:build e2e

package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"overtake/loadgen"
	reports "overtake/loadgen/report"
)

// browserSeries is what a plot draws of one file.
type browserSeries struct {
	ID     string  `json:"id"`
	Data   [][]any `json:"data"`
	Dashed bool    `json:"dashed"`
	Inked  int     `json:"inked"` // pixels of its colour
}

// numbers returns the numbers of a point; others are NaN.
func (s browserSeries) numbers(i int) []float64 {
	var all []float64
	for _, v := range s.Data[i] {
		n, ok := v.(float64)
		if !ok {
			n = math.NaN()
		}
		all = append(all, n)
	}
	return all
}

// measuredClass is a class whose 1000 answers took 1 to 10 times factor ms.
func measuredClass(name string, factor float64) loadgen.ClassResult {
	at := func(percentile float64) loadgen.Millis {
		return loadgen.Millis(math.Round(1000*factor*(1+9*percentile/100)) / 1000)
	}
	c := loadgen.ClassResult{
		Name: name, Class: "interactive", Rate: 100, Method: "GET", Path: "/",
		Counts:        loadgen.Counts{Intended: 1000, Sent: 1000, OK: 1000, Shed: map[string]int64{}, Failed: map[string]int64{}},
		DonePerSecond: 100, Slowest: []loadgen.SlowRequest{},
		Latency: loadgen.Latency{Count: 1000, Mean: at(50), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: at(100)},
	}
	for _, percentile := range []float64{0, 20, 49.881277, 80, 90, 95, 99, 99.5, 99.9, 100} {
		c.Curve = append(c.Curve, loadgen.CurvePoint{Percentile: percentile, Latency: at(percentile)})
	}
	return c
}

// measuredReport has a run for each factor, with the classes.
func measuredReport(classes []string, factors ...float64) *loadgen.Report {
	r := &loadgen.Report{Schema: loadgen.ReportSchema, Target: "http://127.0.0.1:9000",
		Verdict: loadgen.Verdict{State: loadgen.Valid, Reasons: []string{}}}
	for i, factor := range factors {
		run := loadgen.RunResult{Condition: "run", Repeat: i + 1, DurationSeconds: 10, Seed: uint64(i + 1), Verdict: r.Verdict}
		for _, name := range classes {
			run.Classes = append(run.Classes, measuredClass(name, factor))
		}
		r.Runs = append(r.Runs, run)
	}
	r.Conditions = loadgen.Summarize(r.Runs)
	return r
}

// oddReports are eight files that show all that may differ: what is compared with,
// the same, faster, no result, a single run, no answers, no curves, and other classes.
func oddReports() []*loadgen.Report {
	both := []string{"page", "export"}
	base := []float64{1, 1.1, 1.2, 1.3}
	bound := measuredReport(both, 2, 2.1, 2.2, 2.3)
	bound.Verdict = loadgen.Verdict{State: loadgen.GeneratorBound, Reasons: []string{"late"}}
	dead, empty := measuredReport(both, base...), measuredReport(both, base...)
	for i := range base {
		c := &dead.Runs[i].Classes[0]
		c.OK, c.DonePerSecond, c.Latency, c.Curve = 0, 0, loadgen.Latency{}, nil
		c.Failed = map[string]int64{"connect": c.Sent}
		empty.Runs[i].Classes[0].Curve = nil
	}
	return []*loadgen.Report{measuredReport(both, base...), measuredReport(both, base...), measuredReport(both, 0.1, 0.12, 0.13, 0.14),
		bound, measuredReport(both, 9), dead, empty, measuredReport([]string{"page", "alone"}, 30, 40, 50, 60)}
}

// The page of a comparison opens in a browser without a network and draws what its
// tables and comparison.json hold, on a desktop and on a phone.
func TestE2EComparisonInBrowser(t *testing.T) {
	b := newBrowser(t)
	t.Run("measured", func(t *testing.T) {
		_, _, dir := tryLoad(t, "demo", "--duration", "3s")
		b.checkComparison(t, "comparison", filepath.Join(dir, "report.json"), filepath.Join(dir, "report.json"))
	})
	t.Run("eight files", func(t *testing.T) {
		dir := t.TempDir()
		var files []string
		for i, r := range oddReports() {
			files = append(files, saveReport(t, filepath.Join(dir, fmt.Sprintf("%d.json", i)), r))
		}
		for _, v := range b.checkComparison(t, "comparison-eight", files...) {
			if v.Screens > 3.5 {
				t.Errorf("%s: a class takes %.1f screens", v.Name, v.Screens)
			}
		}
	})
	t.Run("nothing in common", func(t *testing.T) {
		dir := t.TempDir()
		b.checkComparison(t, "comparison-apart", saveReport(t, filepath.Join(dir, "a.json"), measuredReport([]string{"a"}, 1)),
			saveReport(t, filepath.Join(dir, "b.json"), measuredReport([]string{"b"}, 1)))
	})
	t.Run("hostile", func(t *testing.T) {
		all := oddReports()[2:5] // the names of more are too much for a picture
		var names []string
		for i, r := range all {
			names = append(names, fmt.Sprint(i, evil))
			r.Scenario, r.Target, r.Verdict.Reasons = evil, evil, []string{evil}
			for j := range r.Runs {
				r.Runs[j].Condition = fmt.Sprint(evil, i)
				for k := range r.Runs[j].Classes {
					c := &r.Runs[j].Classes[k]
					c.Name, c.Class = evil+c.Name, evil
				}
			}
		}
		compared, dir := reports.CompareFiles(names, all), t.TempDir()
		if _, err := reports.WriteComparisonFolder(dir, compared); err != nil {
			t.Fatal(err)
		}
		for _, v := range b.open(t, filepath.Join(dir, "comparison.html"), "comparison-hostile") {
			checkComparisonView(t, v, compared)
		}
	})
}

func saveReport(t *testing.T, name string, r *loadgen.Report) string {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := reports.WriteJSON(f, r); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

// checkComparison compares the files with the program, opens the page, and returns
// what was seen of it.
func (b browser) checkComparison(t *testing.T, name string, files ...string) []browserView {
	t.Helper()
	out := t.TempDir()
	tool(t, binary, append([]string{"loadgen", "compare", "--out", out}, files...)...)
	var compared reports.Comparison
	text, err := os.ReadFile(filepath.Join(out, "comparison.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &compared); err != nil {
		t.Fatal(err)
	}
	views := b.open(t, filepath.Join(out, "comparison.html"), name)
	for _, v := range views {
		checkComparisonView(t, v, &compared)
	}
	return views
}

func checkComparisonView(t *testing.T, v browserView, c *reports.Comparison) {
	t.Helper()
	plots := make(map[string][]browserSeries)
	for _, p := range v.Plots {
		plots[p.ID] = p.Series
	}
	for i, class := range c.Classes {
		rows := make(map[int][]string) // by the file
		for _, row := range v.Tables[fmt.Sprintf("table-%d", i)] {
			rows[row.File] = row.Cells
		}
		having := 0
		for side := range c.Files {
			has := slices.ContainsFunc(class.Figures, func(f reports.ComparedFigure) bool { return f.Values[side].Runs > 0 })
			if (rows[side] != nil) != has {
				t.Fatalf("%s, %s of file %d: row %q, but it has the class: %v", v.Name, class.Name, side, rows[side], has)
			}
			if !has {
				continue
			}
			having++
			for j, f := range class.Figures {
				if f.Unit != "share" {
					checkCell(t, rows[side][1+2*j], f.Values[side].Median, f.Values[side].Runs > 0)
				}
			}
		}
		curves, plotted := plots[fmt.Sprintf("plot-curves-%d", i)]
		if plotted != (having > 1) {
			t.Errorf("%s, %s: %d files have it, curves are drawn: %v", v.Name, class.Name, having, plotted)
			continue
		}
		checkCurves(t, v, c, class, curves)
		checkRatios(t, v, class, plots[fmt.Sprintf("plot-ratios-%d", i)], func(figure, side int) string {
			ratio, _, _ := strings.Cut(rows[side][2+2*figure], " p ")
			return strings.TrimSpace(ratio)
		})
	}
	if len(plots) > 0 && len(v.Buttons) != len(c.Files) {
		t.Fatalf("%s: buttons %q, want one for each file", v.Name, v.Buttons)
	}
	for side, button := range v.Buttons {
		if bound := c.Files[side].Verdict.State == loadgen.GeneratorBound; strings.HasSuffix(button, "GENERATOR-BOUND") != bound {
			t.Errorf("%s: button %q of a file whose verdict is %s", v.Name, button, c.Files[side].Verdict.State)
		}
	}
}

// seriesOf returns the series of a file, and nothing if it has none or draws nothing.
func seriesOf(series []browserSeries, kind string, side int) (s browserSeries, ok bool) {
	i := slices.IndexFunc(series, func(s browserSeries) bool { return s.ID == fmt.Sprint(kind, " ", side) })
	if i < 0 || len(series[i].Data) == 0 {
		return browserSeries{}, false
	}
	return series[i], true
}

// checkCurves checks that there is a curve for each file that has one, through all of
// its points, and a band where its runs differ.
func checkCurves(t *testing.T, v browserView, c *reports.Comparison, class reports.ComparedClass, series []browserSeries) {
	t.Helper()
	if len(series) == 0 {
		return
	}
	for side, want := range class.Curves {
		curve, drawn := seriesOf(series, "curve", side)
		lower, banded := seriesOf(series, "lower", side)
		upper, _ := seriesOf(series, "upper", side)
		spread := slices.ContainsFunc(want.Points, func(p reports.ComparedPoint) bool { return p.Max > p.Min })
		if drawn != (len(want.Points) > 0) || banded != spread || len(curve.Data) != len(want.Points) || len(upper.Data) != len(lower.Data) {
			t.Errorf("%s, %s of file %d: a curve of %d points, want %d; a band %v, want %v", v.Name, class.Name, side, len(curve.Data), len(want.Points), banded, spread)
			continue
		}
		covered := slices.ContainsFunc(class.Curves[side+1:], func(other reports.ComparedCurve) bool { return slices.Equal(other.Points, want.Points) })
		if drawn && (curve.Inked < 20 && !covered || curve.Dashed != (c.Files[side].Verdict.State != loadgen.Valid)) {
			t.Errorf("%s, %s of file %d: %d pixels, dashed %v", v.Name, class.Name, side, curve.Inked, curve.Dashed)
		}
		for i, p := range want.Points {
			if p.Median <= 0 {
				continue
			}
			got := curve.numbers(i) // where, median, least, most, whether it is marked
			at, near := got[0], func(a float64, b loadgen.Millis) bool { return math.Abs(a-float64(b)) <= 1e-9*max(1, a) }
			if p.Percentile < 100 && math.Abs(at+math.Log10(1-p.Percentile/100)) > 1e-9 || p.Percentile == 100 && at < math.Log10(float64(want.Count))-1e-9 ||
				!near(got[1], p.Median) || !near(got[2], p.Min) || !near(got[3], p.Max) ||
				(got[4] == 1) != slices.Contains([]float64{50, 90, 99, 99.9}, p.Percentile) {
				t.Errorf("%s, %s of file %d: point %v, want %+v", v.Name, class.Name, side, got, p)
			}
			if banded && (!near(lower.numbers(i)[0], p.Min) || !near(lower.numbers(i)[0]+upper.numbers(i)[0], p.Max)) {
				t.Errorf("%s, %s of file %d: band %v and %v, want %+v", v.Name, class.Name, side, lower.Data[i], upper.Data[i], p)
			}
		}
	}
}

// checkRatios checks that each ratio has a mark, full where the difference is real,
// with the text of its cell, and each interval a line.
func checkRatios(t *testing.T, v browserView, class reports.ComparedClass, series []browserSeries, cell func(figure, side int) string) {
	t.Helper()
	for side := range class.Curves {
		if side == 0 {
			continue
		}
		got := make(map[string]string)
		for _, kind := range []string{"real", "noise"} {
			dots, _ := seriesOf(series, kind, side)
			for i := range dots.Data {
				got[fmt.Sprintf("%s %v %v", kind, dots.Data[i][0], dots.Data[i][3])] += "x"
			}
		}
		lines, _ := seriesOf(series, "interval", side)
		ends := 0
		for j, f := range class.Figures {
			value := f.Values[side]
			if value.Ratio <= 0 {
				continue
			}
			kind := "noise"
			if value.Difference == reports.DifferenceReal {
				kind = "real"
			}
			key := fmt.Sprintf("%s %v %v", kind, value.Ratio, cell(j, side))
			if got[key] == "" {
				t.Errorf("%s, %s of file %d, %s: no mark %q in %q", v.Name, class.Name, side, f.Name, key, got)
				continue
			}
			if got[key] = got[key][1:]; got[key] == "" {
				delete(got, key)
			}
			if value.RatioLow <= 0 {
				continue
			}
			for _, end := range []float64{value.RatioLow, value.RatioHigh} {
				if ends >= len(lines.Data) || lines.numbers(ends)[0] != end {
					t.Errorf("%s, %s of file %d, %s: interval %v, want %v at %d", v.Name, class.Name, side, f.Name, lines.Data, end, ends)
				}
				ends++
			}
			ends++ // the gap to the next
		}
		if len(got) > 0 || ends != len(lines.Data) {
			t.Errorf("%s, %s of file %d: marks %q are of nothing; %d points of intervals, want %d", v.Name, class.Name, side, got, len(lines.Data), ends)
		}
	}
}
