//go:build e2e

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"overtake/loadgen"
)

// The load generator judges itself. On a machine that is busy with something
// else it may be late, and then it gets another try.
const loadTries = 3

// report returns the report that a command wrote into dir.
func readReport(t *testing.T, dir string) loadgen.Report {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report loadgen.Report
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	return report
}

// tryLoad runs a command that writes a report until the report is valid, at most
// loadTries times, and returns the last one with what the command printed.
func tryLoad(t *testing.T, args ...string) (loadgen.Report, result, string) {
	t.Helper()
	for try := 1; ; try++ {
		dir := t.TempDir()
		r := runProgram(t, nil, append(args, "--out", dir)...)
		report := readReport(t, dir)
		if report.Verdict.State == loadgen.Valid {
			return report, r, dir
		}
		t.Logf("try %d of %d: %s", try, loadTries, report.Verdict)
		if try == loadTries {
			t.Log("the machine is too busy for the generator, so that only the order of the figures is judged")
			return report, r, dir
		}
	}
}

// checkFaster checks that fast beats slow: by a factor of ten and without a
// refusal, or at all on a machine that was too busy to measure.
func checkFaster(t *testing.T, r loadgen.Report, fast, slow loadgen.ClassResult) {
	t.Helper()
	times, shed := loadgen.Millis(10), int64(0)
	if r.Verdict.State != loadgen.Valid {
		times, shed = 1, slow.ShedTotal()
	}
	if fast.Latency.P99*times > slow.Latency.P99 {
		t.Errorf("p99 is %v ms and %v ms, want the first %v times less at least", fast.Latency.P99, slow.Latency.P99, times)
	}
	if fast.ShedTotal() > shed || fast.FailedTotal() > 0 || fast.OK == 0 {
		t.Errorf("of the faster requests %d were answered, shed %v, failed %v", fast.OK, fast.Shed, fast.Failed)
	}
}

func stream(t *testing.T, run loadgen.RunResult, name string) loadgen.ClassResult {
	t.Helper()
	for _, s := range run.Classes {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("condition %q has no class %q", run.Condition, name)
	return loadgen.ClassResult{}
}

// The demo shows what it is there to show: with class order, interactive
// requests are ten times faster at least, and batch work keeps most of its throughput.
func TestE2EDemo(t *testing.T) {
	report, r, dir := tryLoad(t, "demo", "--duration", "10s")
	if r.code != exitOK {
		t.Fatalf("the demo exited with %d:\n%s%s", r.code, r.stdout, r.stderr)
	}
	for _, want := range []string{
		`(?m)^class +sent`, `(?m)^classes ignored, `, `(?m)^class order, `, `(?m)^  interactive `,
		`generator: (VALID|GENERATOR-BOUND)`, `interactive p99 \S+ ms -> \S+ ms: \S+x less`, `report: \S+/report.html`,
	} {
		if !regexp.MustCompile(want).MatchString(r.stdout) {
			t.Errorf("the demo did not print %q:\n%s", want, r.stdout)
		}
	}
	checkSelfContained(t, filepath.Join(dir, "report.html"))
	if len(report.Runs) != 2 {
		t.Fatalf("the report has %d runs, want 2", len(report.Runs))
	}

	first, last := report.Runs[0], report.Runs[1]
	before, after := stream(t, first, "interactive"), stream(t, last, "interactive")
	checkFaster(t, report, after, before)
	batch := func(p loadgen.RunResult) float64 {
		return stream(t, p, "batch-http").DonePerSecond + stream(t, p, "batch-jobs").DonePerSecond
	}
	if report.Verdict.State == loadgen.Valid && batch(last) < 0.6*batch(first) {
		t.Errorf("batch throughput went from %.1f/s to %.1f/s, want 60 %% of it at least", batch(first), batch(last))
	}
	t.Logf("interactive p99 %v ms -> %v ms, batch %.1f/s -> %.1f/s", before.Latency.P99, after.Latency.P99, batch(first), batch(last))
}

// An interrupted demo says so in one line and leaves nothing behind.
func TestE2EDemoInterrupted(t *testing.T) {
	scratch := t.TempDir()
	t.Setenv("TMPDIR", scratch)
	p := start(t, "demo", "--out", t.TempDir())
	p.find(t, `interactive: sent \d+`)
	p.signal(t, syscall.SIGINT)
	if code := p.wait(t); code != exitFailed {
		t.Errorf("it exited with %d, want %d", code, exitFailed)
	}
	if !regexp.MustCompile(`\novertake: demo: .+: interrupt signal received\n$`).MatchString(p.text()) {
		t.Errorf("it printed\n%s", p.text())
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

// checkSelfContained checks that a page loads nothing.
func checkSelfContained(t *testing.T, file string) {
	t.Helper()
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "</html>") {
		t.Errorf("%s is not a whole page of HTML", file)
	}
	for _, load := range []string{
		`(?i)<(script|img|iframe|link|source|video|audio|embed|object)\b[^>]*\b(src|href|data)\s*=\s*["']?\s*(https?:)?//`,
		`(?i)url\(\s*["']?\s*(https?:)?//`, `(?i)@import`, `(?i)\bfetch\(\s*["'](https?:)?//`,
	} {
		if found := regexp.MustCompile(load).Find(page); found != nil {
			t.Errorf("the page loads something: %s", found)
		}
	}
}

// In front of an app that has too much to do, interactive requests are answered
// as if there were no batch work.
func TestE2EClassOrder(t *testing.T) {
	const workers = 4
	g := startGateway(t, fmt.Sprintf(`
classes: [{name: interactive, reserve: 1}, {name: standard}, {name: batch, floor: 5%%}]
rules:
  - {name: pages, class: interactive, match: {query: {for: page}}}
  - {name: reports, class: batch, match: {query: {for: report}}}
upstreams: {app: {servers: [%q], limit: {max: %d}}}
`, startApp(t, workers), workers))
	// 4 s of work a second are possible; this asks for 0.5 + 5.
	report, r, _ := tryLoad(t, "loadgen", "--target", g.url, "--duration", "8s",
		"--class", "interactive=100:/work?ms=5&for=page", "--class", "batch=100:/work?ms=50&for=report")
	if valid := report.Verdict.State == loadgen.Valid; valid != (r.code == exitOK) {
		t.Errorf("a report that is %s came with exit code %d", report.Verdict, r.code)
	}
	if !strings.Contains(r.stdout, string(report.Verdict.State)) {
		t.Errorf("the verdict is not printed:\n%s", r.stdout)
	}
	interactive, batch := stream(t, report.Runs[0], "interactive"), stream(t, report.Runs[0], "batch")
	checkFaster(t, report, interactive, batch)
	if batch.OK == 0 {
		t.Error("no batch request was answered")
	}
	if n := g.metric(t, `overtake_overtakes_total{class="interactive",upstream="app"}`); n == 0 {
		t.Error("nothing was overtaken, as the gateway counts it")
	}
	t.Logf("p99: interactive %v ms, batch %v ms", interactive.Latency.P99, batch.Latency.P99)
	g.stop(t)
}

// On a terminal the load generator draws in place: what was there before stays,
// nothing is wider than the terminal, and colours can be forbidden.
func TestE2ELoadgenOnTerminal(t *testing.T) {
	app := startApp(t, 4)
	for _, c := range []struct {
		env     string
		columns uint16
		colour  bool
	}{{"NO_COLOR=", 100, true}, {"NO_COLOR=1", 40, false}} {
		ours, theirs := openTerminal(t, c.columns)
		cmd := exec.CommandContext(t.Context(), binary, "loadgen", "--target", app, "--class", "interactive=20:/work?ms=1", "--class", "reports-of-the-night=5:/", "--duration", "3s")
		cmd.Env = append(withoutSettings(os.Environ()), c.env)
		var stdout strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, theirs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		theirs.Close()
		drawn, _ := io.ReadAll(ours) // ends with EIO when the program has ended
		_ = cmd.Wait()               // its exit code is about the figures
		text := string(drawn)
		if got := strings.Contains(text, "\x1b[1m"); got != c.colour {
			t.Errorf("with %s, in colour is %v", c.env, got)
		}
		for line := range strings.Lines(regexp.MustCompile("\x1b\\[\\d*[A-Za-z]").ReplaceAllString(text, "")) {
			if n := utf8.RuneCountInString(strings.Trim(line, "\r\n")); n >= int(c.columns) {
				t.Errorf("on %d columns, a line has %d: %q", c.columns, n, line)
			}
		}
		if !regexp.MustCompile(`(?s)\n\[=+ *\] \d of 3 s, \d s left.*\x1b\[[56]A.*3/3s done[^\n]*\n\x1b\[J$`).MatchString(text) {
			t.Errorf("it drew %q", text)
		}
		if !strings.Contains(stdout.String(), "generator: ") || strings.Contains(stdout.String(), "\x1b") {
			t.Errorf("on standard output is\n%s", stdout.String())
		}
	}
}

// A run that is ended early says so, and its report is there.
func TestE2ELoadgenInterrupted(t *testing.T) {
	app := startApp(t, 4)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		dir := t.TempDir()
		p := start(t, "loadgen", "--target", app, "--class", "page=50:/work?ms=1", "--duration", "10m", "--repeat", "2", "--out", dir)
		p.find(t, `page: sent \d+, lately done \d+/s, p50`)
		p.signal(t, signal)
		if code := p.wait(t); code != exitFailed {
			t.Errorf("after %v it exited with %d, want %d", signal, code, exitFailed)
		}
		if !regexp.MustCompile(`\novertake: loadgen: run ended early: .+ signal received; the report has what was measured until then\n`).MatchString(p.text()) {
			t.Errorf("after %v it printed\n%s", signal, p.text())
		}
		report := readReport(t, dir)
		if len(report.Runs) != 1 || !report.Runs[0].Interrupted || stream(t, report.Runs[0], "page").OK == 0 {
			t.Errorf("the report has %d runs: %+v", len(report.Runs), report.Runs)
		}
	}
}
