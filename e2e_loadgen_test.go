//go:build e2e

package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"overtake/loadgen"
	"overtake/loadgen/arrival"
	"overtake/loadgen/content"
)

// Figures may be wrong by knownTolerance of their value. Generator and server may be
// late by knownLate together, in one request of a thousand: else the run is repeated.
const (
	knownTolerance = 0.02
	knownLate      = 2 * time.Millisecond
)

// knownRun is one run against the known server, with wrk beside it.
type knownRun struct {
	Result loadgen.RunResult `json:"result"`
	Server serverNotes       `json:"server"`
	Stall  wrkLatencies      `json:"wrk_stall"` // one connection, with what it measured
	Mix    wrkLatencies      `json:"wrk_mixture"`
}

// wrkLatencies are in milliseconds.
type wrkLatencies struct {
	// Measured are all that wrk measured, in order. Only a script can see them.
	Measured []float64 `json:"measured,omitempty"`
	// Printed are the percentiles that it prints. Since version 4.0 these are
	// not what was measured: for each answer that took more than twice as long as the
	// mean, wrk makes up the requests that it would have sent meanwhile.
	Printed map[string]float64 `json:"printed"`
}

// The percentiles of latency are those that can be computed for the target, when it
// takes a fixed time, stalls for a second every ten, or takes times of a mixture or an
// exponential law; and wrk, at the same time, hides the stalls that it meets, or invents
// some where there are none.
func TestE2ELoadgenKnownAnswers(t *testing.T) {
	if os.Getenv(childOfTest) != "" {
		t.Fatal(serveKnown())
	}
	url := startKnown(t)
	for try := 1; ; try++ {
		run := runKnown(t, url, 2*stallEvery)
		generator, server := run.late()
		t.Logf("try %d of %d: %s; the generator was late by %v (p99.9), the server by %v\n%s", try, loadTries, run.Result.Verdict, generator, server, run.table())
		slack := generator + server
		if slack <= knownLate {
			slack = 0
		}
		if run.Result.Verdict.State == loadgen.Valid && (slack == 0 || try == loadTries) {
			run.check(t, slack)
			return
		}
		if try == loadTries {
			t.Fatal("the machine is too busy for the generator")
		}
	}
}

// runKnown sends for so long, which is a number of whole periods of the stalls.
func runKnown(t *testing.T, url string, duration time.Duration) knownRun {
	t.Helper()
	notes(t, url)
	class := func(name string, rate float64, spacing arrival.Spacing) loadgen.Class {
		plan := arrival.Steady(rate)
		plan.Spacing = spacing
		return loadgen.Class{Name: name, Arrivals: plan, Request: content.Spec{Path: laws[name].path}}
	}
	var run knownRun
	stall := startWrk(t, url+laws["stall"].path, 1, duration)
	mixture := startWrk(t, url+laws["mixture"].path+"?wrk", 16, duration)
	report, err := loadgen.Run(t.Context(), loadgen.Scenario{
		Target: url, Duration: duration, Seed: 1,
		Classes: []loadgen.Class{
			class("fixed", 200, arrival.Poisson),
			class("stall", 400, arrival.Constant),
			class("mixture", 500, arrival.Poisson),
			class("exponential", 500, arrival.Constant),
		},
	}, loadgen.Options{})
	if err != nil {
		t.Fatal(err)
	}
	run.Result, run.Stall, run.Mix = report.Runs[0], stall.latencies(t), mixture.latencies(t)
	run.Server = notes(t, url)
	return run
}

// late is by how much one figure in a thousand may be wrong for the reason that the
// generator or the server was late, by their own account.
func (run knownRun) late() (generator, server time.Duration) {
	for _, c := range run.Result.Classes {
		generator = max(generator, c.Lag.P999.Duration())
	}
	return generator, run.Server.LateP999
}

// wrkScript notes what one connection measures.
const wrkScript = `
local ffi = require("ffi")
ffi.cdef("typedef struct { long s, ns; } moment; int clock_gettime(int, moment *);")
local moment = ffi.new("moment")
local function now()
  ffi.C.clock_gettime(1, moment) -- CLOCK_MONOTONIC
  return tonumber(moment.s) * 1e3 + tonumber(moment.ns) / 1e6
end
local file, began = io.open(%q, "w"), 0
file:setvbuf("line")
function request() began = now() return wrk.format() end
function response() file:write(now() - began, "\n") end
`

// wrkRun is wrk in a closed loop: each connection waits for an answer before it sends
// the next request.
type wrkRun struct {
	*program
	measured string // the file for what was measured; "" if nothing is noted
}

// startWrk starts wrk. What is measured is noted for a single connection.
func startWrk(t *testing.T, url string, connections int, duration time.Duration) wrkRun {
	t.Helper()
	args := []string{"-t1", fmt.Sprintf("-c%d", connections), fmt.Sprintf("-d%ds", int(duration.Seconds())), "--timeout", "10s", "--latency"}
	var run wrkRun
	if connections == 1 {
		dir := t.TempDir()
		script := filepath.Join(dir, "note.lua")
		run.measured = filepath.Join(dir, "measured")
		if err := os.WriteFile(script, fmt.Appendf(nil, wrkScript, run.measured), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-s", script)
	}
	run.program = startTool(t, nil, "wrk", append(args, url)...)
	return run
}

// latencies waits for the end of wrk.
func (run wrkRun) latencies(t *testing.T) (w wrkLatencies) {
	t.Helper()
	w.Printed = make(map[string]float64)
	code := run.wait(t)
	for _, m := range regexp.MustCompile(`(?m)^\s+(\d\d)%\s+([\d.]+)(us|ms|s)\s*$`).FindAllStringSubmatch(run.text(), -1) {
		value, _ := strconv.ParseFloat(m[2], 64) // digits, as matched
		w.Printed[m[1]] = value * map[string]float64{"us": 0.001, "ms": 1, "s": 1000}[m[3]]
	}
	if code != exitOK || len(w.Printed) != 4 {
		t.Fatalf("wrk exited with %d:\n%s", code, run.text())
	}
	if run.measured == "" {
		return w
	}
	text, err := os.ReadFile(run.measured)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Fields(string(text)) {
		value, err := strconv.ParseFloat(line, 64)
		if err != nil {
			t.Fatal(err)
		}
		w.Measured = append(w.Measured, value)
	}
	slices.Sort(w.Measured)
	return w
}

// measured returns a percentile of what wrk measured, p from 0 to 1.
func (w wrkLatencies) measured(p float64) float64 {
	if len(w.Measured) == 0 {
		return math.NaN()
	}
	return w.Measured[min(int(p*float64(len(w.Measured))), len(w.Measured)-1)]
}

// check allows for slack on top of the tolerance: on a busy machine, what generator and
// server say of themselves.
func (run knownRun) check(t *testing.T, slack time.Duration) {
	t.Helper()
	for _, c := range run.Result.Classes {
		run.checkClass(t, c, slack)
	}
	// wrk's one connection sends nothing during a stall but the request that is stuck
	// in it: one in 200.
	p99 := laws["stall"].quantile(0.99).Seconds() * 1000
	if got := run.Stall.measured(0.99); !(got < 0.1*p99) {
		t.Errorf("of stalls wrk measured p99 %.1f ms, want less than a tenth of the true %.1f ms", got, p99)
	}
	// What wrk makes up for stalls it makes up for slow answers, too.
	p90 := laws["mixture"].quantile(0.90).Seconds() * 1000
	if got := run.Mix.Printed["90"]; !(got > 2*p90) {
		t.Errorf("of the mixture wrk printed p90 %.1f ms; the true one is %.1f ms, and more than twice that was expected", got, p90)
	}
}

// checkClass compares the whole curve from the median on, and the percentiles that the
// report has by name.
func (run knownRun) checkClass(t *testing.T, c loadgen.ClassResult, slack time.Duration) {
	t.Helper()
	if want := c.Rate * run.Result.DurationSeconds; math.Abs(float64(c.Intended)-want) > 4*math.Sqrt(want) {
		t.Errorf("%s: %d requests were intended, want about %.0f", c.Name, c.Intended, want)
	}
	if c.OK != c.Intended {
		t.Errorf("%s: %d of %d were answered; shed %v, failed %v, %d skipped", c.Name, c.OK, c.Intended, c.Shed, c.Failed, c.Skipped)
	}
	quantile := laws[c.Name].quantile
	// A percentile of n values lies between two of them. Where the law has a jump or a
	// bend, which two depends on how many of the values come before it; the requests
	// under way at the begin and the end of a period make that three more or less.
	ranks := 3 / float64(c.OK)
	wrong := func(p float64, got loadgen.Millis) bool {
		low := quantile(max(p-ranks, 0)).Seconds() * 1000 * (1 - knownTolerance)
		high := quantile(min(p+ranks, 1-ranks/6)).Seconds()*1000*(1+knownTolerance) + slack.Seconds()*1000
		if float64(got) >= low && float64(got) <= high {
			return false
		}
		t.Errorf("%s: p%v is %v ms, want %.2f, that is, from %.2f to %.2f", c.Name, 100*p, got, quantile(p).Seconds()*1000, low, high)
		return true
	}
	wrong(0.5, c.Latency.P50)
	wrong(0.9, c.Latency.P90)
	wrong(0.99, c.Latency.P99)
	wrong(0.999, c.Latency.P999)
	for _, point := range c.Curve {
		if p := point.Percentile / 100; p >= 0.5 && p <= 0.9991 && wrong(p, point.Latency) {
			return // those around it are wrong, too
		}
	}
}

// table shows the run beside the laws.
func (run knownRun) table() string {
	var b strings.Builder
	b.WriteString("| target | | p50 | p90 | p99 | p99.9 |\n| --- | --- | --- | --- | --- | --- |\n")
	row := func(target, of string, cells ...any) {
		fmt.Fprintf(&b, "| %s | %s |", target, of)
		for _, c := range cells {
			if f, ok := c.(float64); ok {
				c = fmt.Sprintf("%.1f", f)
			}
			fmt.Fprintf(&b, " %v |", c)
		}
		b.WriteString("\n")
	}
	for _, c := range run.Result.Classes {
		q := func(p float64) float64 { return laws[c.Name].quantile(p).Seconds() * 1000 }
		l := c.Latency
		row(c.Name, "computed", q(0.5), q(0.9), q(0.99), q(0.999))
		row("", "overtake loadgen", float64(l.P50), float64(l.P90), float64(l.P99), float64(l.P999))
		switch c.Name {
		case "stall":
			m, p := run.Stall.measured, run.Stall.Printed
			row("", "wrk -c1, measured", m(0.5), m(0.9), m(0.99), m(0.999))
			row("", "wrk -c1, printed", p["50"], p["90"], p["99"], "")
		case "mixture":
			p := run.Mix.Printed
			row("", "wrk -c16, printed", p["50"], p["90"], p["99"], "")
		}
	}
	return b.String()
}
