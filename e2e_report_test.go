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
)

// browserView is what e2e/browser/report.mjs saw of a page.
type browserView struct {
	Name     string   `json:"name"`
	Errors   []string `json:"errors"`
	Requests []string `json:"requests"`
	Pressed  []string `json:"pressed"`
	Wider    int      `json:"wider"`
	Unnamed  []string `json:"unnamed"`
	JSON     string   `json:"json"`
	Plots    []struct {
		ID      string `json:"id"`
		Text    string `json:"text"` // what it says instead of a plot
		Colours int    `json:"colours"`
	} `json:"plots"`
	Tables map[string][]struct {
		Run   int      `json:"run"`
		Class string   `json:"class"`
		Cells []string `json:"cells"`
	} `json:"tables"`
}

// The page of a report opens in a browser without a network, draws its plots and
// shows the figures of report.json, on a desktop and on a phone.
func TestE2EReportInBrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: run apt-get install chromium", err)
	}
	report, _, dir := tryLoad(t, "demo", "--duration", "3s")
	browser := t.TempDir()
	if err := os.CopyFS(browser, os.DirFS("e2e/browser")); err != nil {
		t.Fatal(err)
	}
	tool(t, "npm", "ci", "--prefix", browser, "--no-audit", "--no-fund", "--ignore-scripts")
	if err := os.MkdirAll("bin", 0o755); err != nil {
		t.Fatal(err)
	}
	stdout, _ := tool(t, "node", filepath.Join(browser, "report.mjs"), chromium, filepath.Join(dir, "report.html"), "bin/report")
	var views []browserView
	if err := json.Unmarshal([]byte(stdout), &views); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	if len(views) != 4 {
		t.Fatalf("%d views, want 4", len(views))
	}
	for _, v := range views {
		t.Run(v.Name, func(t *testing.T) { checkBrowserView(t, v, report) })
	}
}

func checkBrowserView(t *testing.T, v browserView, report loadgen.Report) {
	if len(v.Errors)+len(v.Requests)+len(v.Unnamed) > 0 || v.Wider > 0 {
		t.Errorf("errors %q, requests %q, without a name %q, wider than the screen by %d", v.Errors, v.Requests, v.Unnamed, v.Wider)
	}
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
		c := stream(t, report.Runs[row.Run], row.Class)
		l, s := c.Latency, c.Service
		for at, want := range map[int]float64{
			2: c.DonePerSecond, 4: float64(l.P50), 5: float64(l.P90), 6: float64(l.P99), 7: float64(l.P999), 8: float64(l.Max),
			9: float64(l.Mean), 10: float64(s.P50), 11: float64(s.P99),
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
