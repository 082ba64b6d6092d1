package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"overtake/loadgen"
)

// reportOf has a run for each p99 in ms, all of one class.
func reportOf(class string, p99s ...float64) *loadgen.Report {
	r := &loadgen.Report{Schema: loadgen.ReportSchema, Target: "http://t", Verdict: loadgen.Verdict{State: loadgen.Valid, Reasons: []string{}}}
	for i, p99 := range p99s {
		r.Runs = append(r.Runs, loadgen.RunResult{Condition: "run", Repeat: i + 1, DurationSeconds: 2, Classes: []loadgen.ClassResult{{
			Name: class, Counts: loadgen.Counts{Sent: 100, OK: 100}, DonePerSecond: 50,
			Latency: loadgen.Latency{Count: 100, P50: 1, P90: 2, P99: loadgen.Millis(p99), P999: 9, Max: 10},
		}}})
	}
	return r
}

func figureOf(t *testing.T, c *Comparison, class, name string) ComparedFigure {
	t.Helper()
	for _, k := range c.Classes {
		for _, f := range k.Figures {
			if k.Name == class && f.Name == name {
				return f
			}
		}
	}
	t.Fatalf("no %s of %s in %+v", name, class, c.Classes)
	return ComparedFigure{}
}

// The probabilities are those of tables of the Mann-Whitney U test, two-sided.
func TestDifferences(t *testing.T) {
	for _, c := range []struct {
		name      string
		base, got []float64
		ratio, p  float64
		want      Difference
	}{
		{"4 against 4, apart", []float64{1, 2, 3, 4}, []float64{5, 6, 7, 8}, 2.6, 2.0 / 70, DifferenceReal},
		{"4 against 4, U = 1", []float64{1, 2, 3, 5}, []float64{4, 6, 7, 8}, 2.6, 4.0 / 70, DifferenceNoise},
		{"4 against 4, the other way", []float64{5, 6, 7, 8}, []float64{4, 3, 2, 1}, 0.385, 2.0 / 70, DifferenceReal},
		{"5 against 5, apart", []float64{1, 2, 3, 4, 5}, []float64{6, 7, 8, 9, 10}, 2.667, 2.0 / 252, DifferenceReal},
		{"5 against 5, U = 2", []float64{1, 2, 3, 4, 7}, []float64{5, 6, 8, 9, 10}, 2.667, 8.0 / 252, DifferenceReal},
		{"4 against 5, apart", []float64{1, 2, 3, 4}, []float64{5, 6, 7, 8, 9}, 2.8, 2.0 / 126, DifferenceReal},
		{"the same", []float64{3, 3, 3, 3}, []float64{3, 3, 3, 3}, 1, 1, DifferenceNoise},
		{"too few", []float64{1, 2, 3}, []float64{5, 6, 7, 8}, 3.25, 0, DifferenceUnknown},
		{"too few there", []float64{1, 2, 3, 4}, []float64{5}, 2, 0, DifferenceUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			compared := CompareFiles([]string{"a", "b"}, []*loadgen.Report{reportOf("page", c.base...), reportOf("page", c.got...)})
			values := figureOf(t, compared, "page", "p99").Values
			got := values[1]
			if got.Difference != c.want || math.Abs(got.P-c.p) > 1e-3 || got.Ratio != c.ratio || got.Runs != len(c.got) {
				t.Errorf("%+v, want ratio %v, p %v, %s", got, c.ratio, c.p, c.want)
			}
			if values[0].Difference != DifferenceBase || values[0].Ratio != 0 || values[0].P != 0 {
				t.Errorf("the first file: %+v", values[0])
			}
			if len(compared.Warnings) != 0 && len(c.base) == len(c.got) {
				t.Errorf("warnings %q", compared.Warnings)
			}
		})
	}
}

func TestCompareOddFiles(t *testing.T) {
	bound := reportOf("page", 1, 2)
	bound.Verdict = loadgen.Verdict{State: loadgen.GeneratorBound, Reasons: []string{"too late", "too slow", "too much"}}
	bound.Environment.CPUs = 64
	bound.Scenario = "shop"
	bound.Runs[0].Seed, bound.Runs[0].DurationSeconds = 7, 3
	dead := reportOf("page", 0, 0)
	for i := range dead.Runs {
		c := &dead.Runs[i].Classes[0]
		c.DonePerSecond, c.Latency, c.OK, c.Failed = 0, loadgen.Latency{}, 0, map[string]int64{"connect": 100}
	}
	c := CompareFiles([]string{"dead", "bound", "other"}, []*loadgen.Report{dead, bound, reportOf("report", 5)})
	var labels []string
	for _, class := range c.Classes {
		labels = append(labels, comparedLabel(class))
		for _, f := range class.Figures {
			if len(f.Values) != 3 {
				t.Errorf("%s has %d values, want one for each file", f.Name, len(f.Values))
			}
		}
	}
	if !slices.Equal(labels, []string{"page", "report"}) {
		t.Errorf("classes %q", labels)
	}
	if done := figureOf(t, c, "page", "done").Values; done[1].Ratio != 0 || done[1].Median != 50 || done[2].Runs != 0 {
		t.Errorf("done %+v", done)
	}
	if p99 := figureOf(t, c, "page", "p99").Values; p99[0].Runs != 0 || p99[1].Difference != DifferenceBase || p99[1].Ratio != 0 {
		t.Errorf("p99 %+v", p99)
	}
	if refused := figureOf(t, c, "page", "not served").Values; refused[0].Median != 1 {
		t.Errorf("refused %+v", refused)
	}
	for _, want := range []string{
		"bound is NOT A RESULT: GENERATOR-BOUND: too late (and 2 reasons more)", "bound has another scenario than dead: shop, not (no name)",
		"bound has another seed than dead: 7, 0, not 0", "bound has another duration than dead: 3 s, 2 s, not 2 s",
		"other has another load than dead", "bound has another machine than dead",
	} {
		if !slices.ContainsFunc(c.Warnings, func(w string) bool { return strings.HasPrefix(w, want) }) {
			t.Errorf("no warning %q in %q", want, c.Warnings)
		}
	}
	checkComparison(t, c, "dead", "bound", "other", "NOT A RESULT")
}

// Reports with one condition each are compared whatever its name; with more, by
// their names.
func TestCompareConditions(t *testing.T) {
	one, two := reportOf("page", 1), reportOf("page", 2)
	two.Runs[0].Condition = "other"
	if c := CompareFiles([]string{"a", "b"}, []*loadgen.Report{one, two}); len(c.Classes) != 1 || c.Classes[0].Condition != "" {
		t.Errorf("%+v", c.Classes)
	}
	checkComparison(t, CompareFiles([]string{"a", "b"}, []*loadgen.Report{one, two}), "a (run)", "b (other)")
	two.Runs = append(two.Runs, one.Runs[0])
	c := CompareFiles([]string{"a", "b"}, []*loadgen.Report{one, two})
	if len(c.Classes) != 2 || c.Classes[0].Condition != "run" || c.Classes[1].Condition != "other" {
		t.Fatalf("%+v", c.Classes)
	}
	if v := figureOf(t, c, "page", "p99").Values; v[1].Ratio != 1 {
		t.Errorf("%+v", v)
	}
	checkComparison(t, c, "run: page", "other: page")
}

// Many files have a short heading, and each difference of the load is told once.
func TestCompareManyFiles(t *testing.T) {
	var names []string
	var all []*loadgen.Report
	for i := range 8 {
		r := reportOf("page", 1)
		r.Runs[0].Classes[0].Path = []string{"/a", "/b", "/a", "/b", "/c", "/b", "/a", "/a"}[i]
		names, all = append(names, fmt.Sprintf("f%d", i)), append(all, r)
	}
	all[7].Verdict = loadgen.Verdict{State: loadgen.GeneratorBound, Reasons: []string{"late", "slow"}}
	c := CompareFiles(names, all)
	if want := []string{
		"f7 is NOT A RESULT: GENERATOR-BOUND: late (and 1 reason more)",
		"f1, f3, f5 have another load than f0: GET /b, not GET /a, in page", "f4 has another load than f0: GET /c, not GET /a, in page",
	}; !slices.Equal(c.Warnings, want) {
		t.Errorf("warnings %q, want %q", c.Warnings, want)
	}
	checkComparison(t, c, "f7")
	if _, _, page := pageParts(t, c); !strings.Contains(page, "<h1>8 files, ratios to f0</h1>") {
		t.Error("the heading is not short")
	}
	if got := CompareFiles(names[:2], all[:2]).heading(); got != "f0 against f1" {
		t.Errorf("heading %q of two", got)
	}
}

func TestCompareFewFiles(t *testing.T) {
	if c := CompareFiles(nil, nil); len(c.Files)+len(c.Classes)+len(c.Warnings) != 0 {
		t.Errorf("of none: %+v", c)
	}
	c := CompareFiles([]string{"alone"}, []*loadgen.Report{reportOf("page", 1, 2, 3, 4)})
	if v := figureOf(t, c, "page", "p99").Values; len(v) != 1 || v[0].Median != 2.5 || v[0].Difference != DifferenceBase {
		t.Errorf("of one: %+v", v)
	}
	checkComparison(t, c, "alone", "2.50")
}

func TestComparisonTable(t *testing.T) {
	few := reportOf("page", 7, 8)
	c := CompareFiles([]string{"a.json", "b.json", "few.json"}, []*loadgen.Report{reportOf("page", 1, 2, 3, 4), reportOf("page", 1200, 1300, 1400, 1500), few})
	var b bytes.Buffer
	if err := WriteComparisonTable(&b, c, 100); err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "testdata/comparison.txt", b.Bytes())
}

// checkComparison checks that the table and the page hold the texts, and that the
// JSON comes back.
func checkComparison(t *testing.T, c *Comparison, texts ...string) {
	t.Helper()
	var table, page, data bytes.Buffer
	for _, err := range []error{WriteComparisonTable(&table, c, 100), WriteComparisonHTML(&page, c), WriteComparisonJSON(&data, c)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range texts {
		if !strings.Contains(table.String(), text) || !strings.Contains(page.String(), text) && text != "NOT A RESULT" {
			t.Errorf("%q is missing in\n%s", text, table.String())
		}
	}
	var back Comparison
	if err := json.Unmarshal(data.Bytes(), &back); err != nil || len(back.Classes) != len(c.Classes) || strings.Contains(data.String(), "null") {
		t.Errorf("%v: %s", err, data.String())
	}
}

// Messages have neither method nor path.
func TestLoadOfMessages(t *testing.T) {
	one, two := reportOf("order", 1), reportOf("order", 1)
	one.Runs[0].Classes[0].Rate, one.Runs[0].Classes[0].Endpoint = 50, "orders"
	two.Runs[0].Classes[0].Rate, two.Runs[0].Classes[0].Method, two.Runs[0].Classes[0].Path = 20, "GET", "/"
	c := CompareFiles([]string{"a", "b"}, []*loadgen.Report{one, two})
	if want := []string{"b has another load than a: 20/s GET /, not 50/s orders, in order"}; !slices.Equal(c.Warnings, want) {
		t.Errorf("warnings %q, want %q", c.Warnings, want)
	}
}
