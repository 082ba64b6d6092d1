package report

import (
	"bytes"
	"image/png"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"overtake/loadgen"
)

// fullReport has repeats, phases, slow requests, expectations, jobs, sheds and
// failures, and a verdict that is not VALID.
func fullReport() *loadgen.Report {
	r := &loadgen.Report{
		Schema: loadgen.ReportSchema, Created: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), Scenario: "shop", Target: "http://127.0.0.1:8080",
		Jaeger:  "http://127.0.0.1:16686",
		Verdict: loadgen.Verdict{State: loadgen.GeneratorBound, Reasons: []string{"requests started up to 7.0 ms late (p99; limit 5 ms): lower the rate"}},
		Expectations: []loadgen.Expectation{
			{Text: "pay.p99<50ms", Got: "43ms", Met: true}, {Text: "export.failed<=0", Got: "3", Met: false},
		},
	}
	for i, p99 := range []loadgen.Millis{43, 41, 42, 40} {
		r.Runs = append(r.Runs, fullRun("with classes", i+1, p99))
	}
	r.Conditions = loadgen.Summarize(r.Runs)
	return r
}

func fullRun(condition string, repeat int, p99 loadgen.Millis) loadgen.RunResult {
	latency := loadgen.Latency{Count: 990, Mean: 7, P50: 6.1, P90: 20, P99: p99, P999: 60.3, Max: 80}
	phase := func(name string, shed int64) loadgen.PhaseResult {
		return loadgen.PhaseResult{Name: name, Latency: latency, Counts: loadgen.Counts{
			Intended: 500, Sent: 498, OK: 495 - shed, WithinObjective: 490, Skipped: 2,
			Shed: map[string]int64{"queue_full": shed}, Failed: map[string]int64{"timeout": 3},
		}}
	}
	pay := loadgen.ClassResult{
		Name: "pay", Class: "interactive", Rate: 50, Method: "POST", Path: "/pay", Objective: 100, DonePerSecond: 49.5, Goodput: 49,
		Counts: loadgen.Counts{Intended: 1004, Sent: 1000, OK: 990, WithinObjective: 980, Skipped: 4,
			Shed: map[string]int64{"queue_full": 3, "max_wait": 3}, Failed: map[string]int64{"timeout": 4}},
		Latency: latency, Service: loadgen.Latency{Count: 990, Mean: 6, P50: 5.1, P90: 19, P99: p99 - 1, P999: 59, Max: 79},
		Queue: loadgen.Latency{Count: 990, Mean: 1.5, P50: 1, P90: 2, P99: 20, P999: 30, Max: 31}, QueueShare: 0.25,
		Curve:        []loadgen.CurvePoint{{Percentile: 0, Latency: 1}, {Percentile: 50, Latency: 6.1}, {Percentile: 99, Latency: p99}},
		ServiceCurve: []loadgen.CurvePoint{{Percentile: 0, Latency: 1}, {Percentile: 50, Latency: 5.1}, {Percentile: 99, Latency: p99 - 1}},
		Distribution: []loadgen.Bucket{{UpTo: 10, Count: 800}, {UpTo: 100, Count: 190}},
		Series:       []loadgen.Second{{Second: 0, Sent: 50, Done: 49, Good: 48, Shed: 1, P50: 6, P99: 40, Queue: 1.5}, {Second: 1, Sent: 50, Done: 50, P50: 7, P99: 44}},
		Phases:       []loadgen.PhaseResult{phase("calm", 0), phase("crowd", 6)},
		Slowest: []loadgen.SlowRequest{
			{TraceID: "41dc80f15040e6350001000000000000", Sampled: true, URL: "http://127.0.0.1:16686/trace/41dc80f15040e6350001000000000000", Request: "POST /pay", At: 12.34, Latency: 80, Service: 79, Queue: 31},
			{TraceID: "41dc80f15040e6350001000000000001", Request: "POST /pay", At: 0.5, Latency: 79, Service: 78},
		},
	}
	export := loadgen.ClassResult{
		Name: "export", Rate: 2, Method: "POST", Path: "/jobs/export", Job: true, DonePerSecond: 1.5, Accepted: 39, Repeated: 1,
		Counts:  loadgen.Counts{Intended: 40, Sent: 40, OK: 30, Unfinished: 7, Shed: map[string]int64{}, Failed: map[string]int64{"job failed": 2, "wrong": 1}},
		Latency: loadgen.Latency{Count: 30, Mean: 2100, P50: 2000, P90: 3000, P99: 4100, P999: 4200, Max: 4200}, Slowest: []loadgen.SlowRequest{},
	}
	return loadgen.RunResult{
		Condition: condition, Repeat: repeat, DurationSeconds: 20, WarmupSeconds: 2, Seed: uint64(repeat),
		Interrupted: repeat == 4, Verdict: loadgen.Verdict{State: loadgen.Valid, Reasons: []string{}},
		Phases:  []loadgen.PhaseSpan{{Name: "calm", StartSeconds: 0, EndSeconds: 10}, {Name: "crowd", StartSeconds: 10, EndSeconds: 20}},
		Classes: []loadgen.ClassResult{pay, export},
	}
}

func checkGolden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFullTable(t *testing.T) {
	var got bytes.Buffer
	if err := WriteTable(&got, fullReport()); err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "testdata/full.txt", got.Bytes())
	for line := range strings.Lines(got.String()) {
		if len([]rune(line)) > 121 {
			t.Errorf("wider than 120 columns: %s", line)
		}
	}
}

// What goes on from second to second is of one run: that with the middle p99, and of
// two in the middle the one with less.
func TestMedianRun(t *testing.T) {
	for _, c := range []struct {
		p99s  []loadgen.Millis
		index int
		title string
	}{
		{[]loadgen.Millis{9}, 0, "c, 20 s"},
		{[]loadgen.Millis{9, 5}, 1, "c, 2 runs of 20 s, counted together"},
		{[]loadgen.Millis{9, 5, 7}, 2, "c, 3 runs of 20 s, counted together"},
		{[]loadgen.Millis{9, 5, 7, 6}, 2, "c, 3 runs of 20 s, counted together; 1 ended early and left out"}, // the fourth
		{[]loadgen.Millis{9, 0, 5}, 0, "c, 3 runs of 20 s, counted together"},                                // the second had no success
		{[]loadgen.Millis{5, 5, 5}, 1, "c, 3 runs of 20 s, counted together"},
	} {
		r := new(loadgen.Report)
		for i, p99 := range c.p99s {
			run := fullRun("c", i+1, p99)
			if p99 == 0 {
				run.Classes[0].Latency = loadgen.Latency{}
			}
			r.Runs = append(r.Runs, run)
		}
		g := groupRuns(r)[0]
		m := g.classes[0]
		if m.index != c.index || m.result.Latency.P99 != c.p99s[c.index] || m.run.Repeat != c.index+1 {
			t.Errorf("%v: run %d with %v, want %d", c.p99s, m.index, m.result.Latency.P99, c.index)
		}
		if got := g.title(", counted together"); got != c.title {
			t.Errorf("%v: %q, want %q", c.p99s, got, c.title)
		}
	}
}

// Cards, headline and tables are the medians that the JSON has and compare shows; what
// is of one run names it.
func TestMediansAgree(t *testing.T) {
	r := new(loadgen.Report)
	for i, p99 := range []loadgen.Millis{100, 300} {
		r.Runs = append(r.Runs, fullRun("before", i+1, p99))
	}
	for i, p99 := range []loadgen.Millis{0, 41, 44, 1} {
		run := fullRun("after", i+1, p99)
		if p99 == 0 {
			run.Classes[0].Latency = loadgen.Latency{}
		}
		r.Runs = append(r.Runs, run) // the fourth was ended early
	}
	r.Conditions = loadgen.Summarize(r.Runs)
	after := r.Conditions[1].Classes[0]
	if r.Conditions[0].Classes[0].P99.Median != 200 || after.P99.Median != 42.5 {
		t.Fatalf("%+v", r.Conditions)
	}
	var table, page bytes.Buffer
	for _, err := range []error{WriteTable(&table, r), WriteHTML(&page, r)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"interactive p99 200 ms -> 42.5 ms", "before, 2 runs of 20 s\n", "after, 3 runs of 20 s; 1 ended early and left out\n"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q is not in\n%s", want, table.String())
		}
	}
	for _, want := range []string{`<dt>p99</dt><dd><span class="was">200</span> <span class="arrow" aria-label="to">→</span> <strong>42.5</strong> ms<span class="range">41.0..44.0</span>`,
		`<td class="number">42.5<span class="range">41.0..44.0</span></td>`, "before, pay: run 1 of 2", "after, pay: run 3 of 4"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	c := CompareFiles([]string{"a", "b"}, []*loadgen.Report{r, r})
	if v := figureOf(t, c, "pay", "p99").Values; v[0].Median != 200 {
		t.Errorf("compare has %+v", v)
	}
	if want := "a, b have 1 run that was ended early: it is left out, of after"; !slices.Contains(c.Warnings, want) {
		t.Errorf("no warning %q in %q", want, c.Warnings)
	}
}

// Whatever others may have chosen the text of stays text, on the page and in the
// terminal.
func TestHostileText(t *testing.T) {
	const evil = "</script><img src=x onerror=alert(1)>\"'`{{.}}\x1b[2J\r\n\u202e"
	r := fullReport()
	r.Scenario, r.Target, r.Jaeger, r.Environment.Version = evil, evil, evil, evil
	r.Verdict.Reasons = []string{evil}
	r.Expectations = []loadgen.Expectation{{Text: evil, Got: evil}}
	for i := range r.Runs {
		run := &r.Runs[i]
		run.Condition, run.Target, run.Verdict.Reasons = evil, evil, []string{evil}
		run.Phases[0].Name = evil
		for j := range run.Classes {
			c := &run.Classes[j]
			c.Name, c.Class, c.Method, c.Path, c.Endpoint = evil, evil, evil, evil, evil
			c.Shed, c.Failed = map[string]int64{evil: 1}, map[string]int64{evil: 1}
			c.FirstFailures = map[string]string{evil: evil}
			for k := range c.Phases {
				c.Phases[k].Name = evil
			}
			for k := range c.Slowest {
				c.Slowest[k].TraceID, c.Slowest[k].Request, c.Slowest[k].URL = evil, evil, "javascript:alert(1)"
			}
		}
	}
	r.Runs[0].Classes[0].Slowest[0].URL = `http://x/"onmouseover="alert(1)`
	r.Conditions[0].Name, r.Conditions[0].Classes[0].Name = evil, evil
	c := CompareFiles([]string{evil, "b"}, []*loadgen.Report{r, r})
	var page, comparison, table bytes.Buffer
	for _, err := range []error{WriteHTML(&page, r), WriteComparisonHTML(&comparison, c), WriteTable(&table, r), WriteComparisonTable(&table, c, 100)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	data := regexp.MustCompile(`(?s)(<script type="application/json"[^>]*>)[^<]*`)
	for name, html := range map[string]string{"report": page.String(), "comparison": comparison.String()} {
		own := strings.Replace(data.ReplaceAllString(html, "$1"), chartLibrary, "", 1)
		if hit := regexp.MustCompile(`<img|</script><|href="javascript|"\s*onmouseover=|ZgotmplZ`).FindString(own); hit != "" {
			t.Errorf("%s: %q is in the page", name, hit)
		}
		if strings.Count(own, "<script") != strings.Count(own, "</script>") {
			t.Errorf("%s: a script was closed early", name)
		}
	}
	if hit := regexp.MustCompile("[^ -~\n…→]").FindString(table.String()); hit != "" {
		t.Errorf("%q reaches the terminal", hit)
	}
	if strings.Contains(table.String(), "\n\u202e") || strings.Contains(table.String(), "{{.}}?[2J\n") {
		t.Error("a name broke a line")
	}
}

func TestPNG(t *testing.T) {
	single := fullReport()
	single.Runs = single.Runs[:1]
	for name, r := range map[string]*loadgen.Report{"empty": {}, "single": single, "sample": sampleReport(), "full": fullReport()} {
		var b bytes.Buffer
		if err := WritePNG(&b, r); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		size := b.Len()
		picture, err := png.Decode(&b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if bounds := picture.Bounds(); bounds.Dx() != 1600 || bounds.Dy() != 900 || size > 1<<20 {
			t.Errorf("%s: %v, %d bytes", name, bounds, size)
		}
		// Something of the colour of the first class is drawn, if there is one.
		want, found := colours.light([]string{"a"}, "a"), 0
		wr, wg, wb, _ := want.RGBA()
		for y := range 900 {
			for x := range 1600 {
				if r, g, b, _ := picture.At(x, y).RGBA(); r == wr && g == wg && b == wb {
					found++
				}
			}
		}
		if drawn := found > 200; drawn != (name != "empty") {
			t.Errorf("%s: %d pixels have the colour of the first class", name, found)
		}
	}
}

// The curves end with the maximum, at the rank of the slowest answer.
func TestCurveReachesTheMaximum(t *testing.T) {
	got := curvePoints([]loadgen.CurvePoint{{Percentile: 0, Latency: 1}, {Percentile: 90, Latency: 5}, {Percentile: 100, Latency: 80}}, 1000)
	if len(got) != 3 || got[2].X != 3 || got[2].Y != 80 {
		t.Errorf("%v", got)
	}
	if got := curvePoints([]loadgen.CurvePoint{{Percentile: 100, Latency: 7}}, 1); len(got) != 1 || got[0].X != 0 || got[0].Y != 7 {
		t.Errorf("of one answer: %v", got)
	}
}

// Five of the slowest requests of each class are in sight. What was not told is not
// 0, and neither is the goodput of a class without an objective.
func TestFewSlowestAndNothingMadeUp(t *testing.T) {
	r := fullReport()
	for i := range r.Runs {
		c := &r.Runs[i].Classes[0]
		c.Slowest = slices.Repeat(c.Slowest, 4)
		if i > 0 {
			c.Slowest = nil
		}
	}
	r.Verdict.Reasons = []string{"too late: lower the rate", "too many: lower it more"}
	view := newPageView(r)
	if len(view.Slowest) != 5 || len(view.Slower) != 3 || view.Slowest[0].Wait != "31.0" || view.Slowest[4].Wait != "-" {
		t.Errorf("%+v and %+v", view.Slowest, view.Slower)
	}
	for _, row := range view.Figures {
		if ok := row.Cells[2]; row.Name == "pay" && ok != (viewCell{"99 %", ""}) {
			t.Errorf("ok: %q", ok)
		}
		if good := row.Cells[1].Text; (good == "-") != (row.Name == "export") {
			t.Errorf("%s: goodput %q", row.Name, good)
		}
	}
	var table, page bytes.Buffer
	for _, err := range []error{WriteTable(&table, r), WriteHTML(&page, r)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(page.String(), "<summary>3 more</summary>") {
		t.Error("the page has no details")
	}
	if want := "\ngenerator: GENERATOR-BOUND\n  too late: lower the rate\n  too many: lower it more\n"; !strings.Contains(table.String(), want) {
		t.Errorf("%q is not in\n%s", want, table.String())
	}
}
