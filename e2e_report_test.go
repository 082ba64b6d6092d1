//go:build e2e

package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"overtake/loadgen"
	reports "overtake/loadgen/report"
)

// browserView is what e2e/browser/report.mjs saw of a page.
type browserView struct {
	Name     string   `json:"name"`
	Errors   []string `json:"errors"`
	Requests []string `json:"requests"`
	Pressed  []string `json:"pressed"`
	Wider    int      `json:"wider"`
	Hidden   int      `json:"hidden"`  // width of the legend that is out of sight
	Cut      []string `json:"cut"`     // ratios that can't be brought into sight
	Screens  float64  `json:"screens"` // height of the highest section, in those of the screen
	Unnamed  []string `json:"unnamed"`
	Buttons  []string `json:"buttons"`
	JSON     string   `json:"json"`
	Links    []struct {
		Href string `json:"href"`
		Rel  string `json:"rel"`
	} `json:"links"`
	Plots []struct {
		ID      string          `json:"id"`
		Text    string          `json:"text"` // what it says instead of a plot
		Colours int             `json:"colours"`
		Series  []browserSeries `json:"series"`
	} `json:"plots"`
	Tables map[string][]struct {
		Run   int      `json:"run"`
		Class string   `json:"class"`
		File  int      `json:"file"` // of a comparison
		Cells []string `json:"cells"`
	} `json:"tables"`
}

// browser is a Chromium and the packages to drive it.
type browser struct{ chromium, dir string }

func newBrowser(t *testing.T) browser {
	t.Helper()
	for command, install := range map[string]string{"chromium": "chromium", "node": "nodejs", "npm": "npm"} {
		if _, err := exec.LookPath(command); err != nil {
			t.Fatalf("%v: run apt-get install %s", err, install)
		}
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	b := browser{chromium: chromium, dir: t.TempDir()}
	if err := os.CopyFS(b.dir, os.DirFS("e2e/browser")); err != nil {
		t.Fatal(err)
	}
	tool(t, "npm", "ci", "--prefix", b.dir, "--no-audit", "--no-fund", "--ignore-scripts")
	return b
}

// open opens the page on a desktop and on a phone, light and dark, checks what holds
// of every page, and leaves pictures named bin/NAME-….png.
func (b browser) open(t *testing.T, page, name string) []browserView {
	t.Helper()
	if err := os.MkdirAll("bin", 0o755); err != nil {
		t.Fatal(err)
	}
	stdout, _ := tool(t, "node", filepath.Join(b.dir, "report.mjs"), b.chromium, page, filepath.Join("bin", name))
	var views []browserView
	if err := json.Unmarshal([]byte(stdout), &views); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	if len(views) != 4 {
		t.Fatalf("%d views, want 4", len(views))
	}
	for _, v := range views {
		if len(v.Errors)+len(v.Requests)+len(v.Unnamed)+len(v.Cut) > 0 || v.Wider+v.Hidden > 0 {
			t.Errorf("%s, %s: errors %q, requests %q, without a name %q, cut off %q, wider than the screen by %d, legend out of sight %d",
				name, v.Name, v.Errors, v.Requests, v.Unnamed, v.Cut, v.Wider, v.Hidden)
		}
	}
	return views
}

// The page of a report opens in a browser without a network, draws its plots and
// shows the figures of report.json, on a desktop and on a phone, whatever others may
// have put into it.
func TestE2EReportInBrowser(t *testing.T) {
	b := newBrowser(t)
	measured, _, dir := tryLoad(t, "demo", "--duration", "3s")
	for _, v := range b.open(t, filepath.Join(dir, "report.html"), "report") {
		t.Run(v.Name, func(t *testing.T) { checkBrowserView(t, v, measured) })
	}
	t.Run("repeated", func(t *testing.T) { b.checkRepeatedReport(t) })
	t.Run("hostile", func(t *testing.T) { b.checkHostileReport(t, measured) })
}

// checkRepeatedReport opens a report of several runs, of which one alone had a failure.
// A class with answers in few seconds is a dot for each of those.
func (b browser) checkRepeatedReport(t *testing.T) {
	r := measuredReport([]string{"browse", "import"}, 1, 4, 3, 2)
	for i := range r.Runs {
		r.Runs[i].Condition = "8 workers"
		for j := range r.Runs[i].Classes {
			c := &r.Runs[i].Classes[j]
			for second := range 10 {
				of := loadgen.Second{Second: second, Sent: 100}
				if c.Name == "browse" || second == 2 || second == 7 {
					of.Done, of.P50, of.P99 = 100, c.Latency.P50, c.Latency.P99
				}
				c.Series = append(c.Series, of)
			}
		}
	}
	failing := &r.Runs[1].Classes[1]
	failing.OK, failing.Failed = 998, map[string]int64{"status 500": 2}
	few := &r.Runs[2].Classes[1]
	few.Latency.Count = 5
	r.Expectations = []loadgen.Expectation{{Text: "browse.p99<5ms", Got: "36.6ms"}, {Text: "browse.failed<=0", Got: "0", Met: true}}
	r.Conditions = loadgen.Summarize(r.Runs)
	dir := t.TempDir()
	if _, err := reports.WriteFolder(dir, r); err != nil {
		t.Fatal(err)
	}
	for _, v := range b.open(t, filepath.Join(dir, "report.html"), "repeated") {
		for i, row := range v.Tables["table-figures"] {
			p99 := r.Conditions[0].Classes[i].P99
			if want := fmt.Sprintf("%.1f%.2f..%.1f", p99.Median, p99.Min, p99.Max); strings.ReplaceAll(row.Cells[7], "^", "") != want {
				t.Errorf("%s, %s: p99 is shown as %q, want %q", v.Name, row.Class, row.Cells[7], want)
			}
			if marked := strings.Contains(row.Cells[7], "^"); marked != (row.Class == "import") {
				t.Errorf("%s, %s: p99 %q", v.Name, row.Class, row.Cells[7])
			}
		}
		if failed := v.Tables["table-counts"][1].Cells[5]; failed != "2" {
			t.Errorf("%s: %q failed, want the 2 of one run", v.Name, failed)
		}
		for _, p := range v.Plots {
			if p.ID == "plot-refused" && !strings.Contains(p.Text, "in the runs that are shown") {
				t.Errorf("%s: %s says %q, and a run that is not shown had failures", v.Name, p.ID, p.Text)
			}
			for i, s := range p.Series {
				if p.ID == "plot-latency" && s.Inked < 10 {
					t.Errorf("%s: line %d of %s is not to be seen", v.Name, i, p.ID)
				}
			}
		}
	}
}

// plotScript prints what plots.js would draw of a report with one class.
const plotScript = `
const fs = require("fs");
const plots = new Function(fs.readFileSync(process.argv[1], "utf8") + "; return reportPlots")();
const result = (told) => ({ name: "a", objective_ms: 0, queue: { count: told, mean_ms: 4 }, queue_share: 0.9,
  service: { count: 10, mean_ms: 10 }, latency: { count: 1000 }, service_curve: [],
  curve: [{ percentile: 0, ms: 1 }, { percentile: 90, ms: 5 }, { percentile: 100, ms: 80 }],
  series: [0, 1, 2].map((second) => ({ second, done: 7, shed: 1, failed: 0 })) });
const gaps = (...done) => {
  const c = { ...result(0), series: done.map((done, second) => ({ second, done, p50_ms: 1, p99_ms: 2 })) };
  const run = { duration_seconds: 9, classes: [c] }, s = plots({ runs: [run] }, []).latency.series({ run, result: c }, 0)[1];
  return s.data.map(([, v], dataIndex) => (v ?? "-") + (s.size && s.size(v, { dataIndex }) ? "dot" : "")).join(" ");
};
const draw = (id, duration, told) => {
  const run = { duration_seconds: duration, classes: [result(told)] }, line = { run, result: run.classes[0] };
  return plots({ runs: [run] }, [line])[id].series(line, 0).map((s) => s.data);
};
console.log(JSON.stringify({
  whole: draw("done", 3, 0)[0].length, over: draw("done", 2.5, 0)[0].length, refused: draw("refused", 3, 0)[0].length,
  gaps: [gaps(0, 1, 0, 1, 1), gaps(1, 0, 0, 1), gaps(0, 1, 1)], max: draw("percentiles", 3, 0)[1].at(-1), share: draw("share", 3, 10).map((d) => d[0][0]), untold: draw("share", 3, 5).length,
}));`

// The plots show whole seconds alone, but all of those, dots between gaps, the maximum, and the queue's
// share only of classes whose answers told.
func TestE2EReportPlotData(t *testing.T) {
	stdout, _ := tool(t, "node", "-e", plotScript, "loadgen/report/assets/plots.js")
	if got, want := strings.TrimSpace(stdout), `{"whole":3,"over":2,"refused":3,"gaps":["- 2dot - 2 2","2dot - - 2dot","- 2 2"],"max":[3,80],"share":[4,6],"untold":0}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// evil is a name that attacks a page, or is just long.
var evil = `</script><img src=x onerror=alert(1)>{b}{a|x}"'` + strings.Repeat("x", 300)

// checkHostileReport opens a report in which all that others may choose is an
// attack, or just long.
func (b browser) checkHostileReport(t *testing.T, r loadgen.Report) {
	r.Scenario, r.Target = evil, evil
	r.Verdict = loadgen.Verdict{State: loadgen.GeneratorBound, Reasons: []string{evil}}
	r.Expectations = []loadgen.Expectation{{Text: evil, Got: evil}}
	r.Conditions = nil
	for i := range r.Runs {
		run := &r.Runs[i]
		run.Condition, run.Verdict = evil, r.Verdict
		run.Phases = []loadgen.PhaseSpan{{Name: evil, EndSeconds: 1}, {Name: evil, StartSeconds: 1, EndSeconds: 3}}
		for j := range run.Classes {
			c := &run.Classes[j]
			c.Name, c.Class = evil+c.Name, evil
			c.Shed, c.Failed = map[string]int64{evil: 1}, map[string]int64{evil: 1}
			c.Phases = []loadgen.PhaseResult{{Name: evil}}
			c.Slowest = []loadgen.SlowRequest{{TraceID: evil, URL: "javascript:alert(1)", Request: evil}, {TraceID: evil, URL: `http://x/"onclick="alert(1)`}}
		}
	}
	dir := t.TempDir()
	if _, err := reports.WriteFolder(dir, &r); err != nil {
		t.Fatal(err)
	}
	for _, v := range b.open(t, filepath.Join(dir, "report.html"), "hostile") {
		for _, link := range v.Links {
			if !strings.HasPrefix(link.Href, "http://x/") || !strings.Contains(link.Rel, "noopener") {
				t.Errorf("%s: link to %q, %q", v.Name, link.Href, link.Rel)
			}
		}
	}
}

func checkBrowserView(t *testing.T, v browserView, measured loadgen.Report) {
	if strings.Join(v.Pressed, " ") != "false true" {
		t.Errorf("Enter turned a class %q, want off and on", v.Pressed)
	}
	for _, p := range v.Plots {
		if p.Text == "" && p.Colours < 2 {
			t.Errorf("%s is empty", p.ID)
		}
		if p.Text != "" && (p.ID == "plot-percentiles" || p.ID == "plot-latency" || p.ID == "plot-done") {
			t.Errorf("%s says %q", p.ID, p.Text)
		}
	}
	rows := v.Tables["table-figures"]
	if len(rows) == 0 || len(v.Tables["table-counts"]) != len(rows) {
		t.Fatalf("tables %v", v.Tables)
	}
	for i, row := range rows {
		c := stream(t, measured.Runs[row.Run], row.Class)
		l, s := c.Latency, c.Service
		for at, want := range map[int]float64{
			2: c.DonePerSecond, 5: float64(l.P50), 6: float64(l.P90), 7: float64(l.P99), 8: float64(l.P999), 9: float64(l.Max),
			10: float64(l.Mean), 11: float64(s.P50), 12: float64(s.P99),
		} {
			checkCell(t, row.Cells[at], want, l.Count > 0 || at == 2)
		}
		counts := v.Tables["table-counts"][i].Cells
		for at, want := range []int64{c.Sent, c.OK, c.ShedTotal(), c.FailedTotal(), c.Unfinished, c.Skipped} {
			checkCell(t, counts[2+at], float64(want), true)
		}
	}
}

// checkCell checks that a cell shows a figure, rounded to what it has room for.
func checkCell(t *testing.T, cell string, want float64, measured bool) {
	t.Helper()
	if !measured {
		if cell != "-" {
			t.Errorf("%q for a figure that was not measured", cell)
		}
		return
	}
	got, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimSuffix(cell, "^"), ",", ""), 64)
	if err != nil || math.Abs(got-want) > max(0.051, 0.0051*math.Abs(want)) {
		t.Errorf("the page shows %q, report.json has %v", cell, want)
	}
}
