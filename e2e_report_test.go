//go:build e2e

package main

import (
	"encoding/json"
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
	t.Run("hostile", func(t *testing.T) { b.checkHostileReport(t, measured) })
}

// plotScript prints what plots.js would draw of a report with one class.
const plotScript = `
const fs = require("fs");
const plots = new Function(fs.readFileSync(process.argv[1], "utf8") + "; return reportPlots")();
const result = (told) => ({ name: "a", objective_ms: 0, queue: { count: told, mean_ms: 4 }, queue_share: 0.9,
  service: { count: 10, mean_ms: 10 }, latency: { count: 1000 }, service_curve: [],
  curve: [{ percentile: 0, ms: 1 }, { percentile: 90, ms: 5 }, { percentile: 100, ms: 80 }],
  series: [0, 1, 2].map((second) => ({ second, done: 7, shed: 1, failed: 0 })) });
const draw = (id, duration, told) => {
  const run = { duration_seconds: duration, classes: [result(told)] }, line = { run, result: run.classes[0] };
  return plots({ runs: [run] }, [line])[id].series(line, 0).map((s) => s.data);
};
console.log(JSON.stringify({
  whole: draw("done", 3, 0)[0].length, over: draw("done", 2.5, 0)[0].length, refused: draw("refused", 3, 0)[0].length,
  max: draw("percentiles", 3, 0)[1].at(-1), share: draw("share", 3, 10).map((d) => d[0][0]), untold: draw("share", 3, 5).length,
}));`

// The plots show whole seconds alone, but all of those, the maximum, and the queue's
// share only of classes whose answers told.
func TestE2EReportPlotData(t *testing.T) {
	stdout, _ := tool(t, "node", "-e", plotScript, "loadgen/report/assets/plots.js")
	if got, want := strings.TrimSpace(stdout), `{"whole":3,"over":2,"refused":3,"max":[3,80],"share":[4,6],"untold":0}`; got != want {
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
	got, err := strconv.ParseFloat(strings.ReplaceAll(cell, ",", ""), 64)
	if err != nil || math.Abs(got-want) > max(0.051, 0.0051*math.Abs(want)) {
		t.Errorf("the page shows %q, report.json has %v", cell, want)
	}
}
