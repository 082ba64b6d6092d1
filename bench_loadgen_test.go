//go:build e2e

package main

import (
	"fmt"
	"image/color"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"overtake/docs/picture"
	"overtake/loadgen"
)

// What the generator sends on one processor, as a part of what wrk sends there.
const goalLoadgen = 0.6

// The generator's rate is looked for in steps of rateStep of wrk's.
const (
	rateFirst = 0.5
	rateStep  = 0.05
)

// clientRound is what one client did on its processor in one round.
type clientRound struct {
	PerSec float64 `json:"requests_per_second"`
	CPU    float64 `json:"cpu_us_per_request"`
	P50    float64 `json:"p50_ms"`
	P99    float64 `json:"p99_ms"`
}

// TestBenchLoadgen compares the generator with wrk: what both say of a target that
// stalls, and how many requests both send on one processor.
func TestBenchLoadgen(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Fatal("the comparison needs two processors: one for the client, one for the server")
	}
	if _, err := exec.LookPath("nginx"); err != nil {
		t.Fatal("nginx is missing: apt-get install nginx")
	}
	var b strings.Builder
	saved := make(map[string]any)
	t.Run("known", func(t *testing.T) {
		run := benchKnown(t)
		generator, server := run.late()
		fmt.Fprintf(&b, "%s\nThe generator was %s and late by %.1f ms (p99.9), the server by %.1f ms.\n\n", run.table(),
			run.Result.Verdict, generator.Seconds()*1000, server.Seconds()*1000)
		stallPicture(t, run)
		saved["known"] = run
	})
	t.Run("rate", func(t *testing.T) {
		wrk, ours, limits := benchClients(t)
		b.WriteString(clientTable(wrk, ours, limits))
		saved["wrk"], saved["overtake"], saved["limits"] = wrk, ours, limits
	})
	fmt.Print("\n" + b.String())
	saveBench(t, "loadgen", b.String(), saved)
}

// benchKnown is the run of TestE2ELoadgenKnownAnswers for one period more.
func benchKnown(t *testing.T) (run knownRun) {
	t.Helper()
	url := startKnown(t)
	for try := 1; ; try++ {
		run = runKnown(t, url, 3*stallEvery)
		generator, server := run.late()
		if run.Result.Verdict.State == loadgen.Valid && generator+server <= knownLate {
			run.check(t, 0)
			return run
		}
		fmt.Printf("try %d of %d: %s; the generator was late by %v (p99.9), the server by %v\n", try, loadTries, run.Result.Verdict, generator, server)
		if try == loadTries {
			t.Fatal("not a result: the machine is too busy for the generator")
		}
	}
}

const nginxAnswersConfig = `
daemon off;
master_process off; # one process that is worker and all; killed, it leaves none behind
user root;
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log stderr crit;
events { worker_connections 16000; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  keepalive_timeout 300s;
  keepalive_requests 1000000000;
  server {
    listen 127.0.0.1:%d backlog=4096;
    location / { return 200 "small\n"; }
  }
}
`

// benchClients measures both clients in turns, each alone on its processor, beside an
// nginx that has the other one. limits say for each round why the generator could not
// send more.
func benchClients(t *testing.T) (wrk, ours []clientRound, limits []string) {
	t.Helper()
	port, dir := freePort(t), t.TempDir()
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, nginxAnswersConfig, port), 0o600); err != nil {
		t.Fatal(err)
	}
	nginx := answering(t, startTool(t, nil, "taskset", "-c", otherCPU, "nginx", "-p", dir, "-c", file), port)
	share := rateFirst
	for round := range *benchRounds {
		w := wrkRate(t, nginx.url)
		fmt.Printf("round %d of %d: wrk: %.0f/s, %.1f us each\n", round+1, *benchRounds, w.PerSec, w.CPU)
		best, at, limit := highestRate(t, nginx.url, w.PerSec, share)
		fmt.Printf("round %d of %d: overtake loadgen: %.0f/s, %.1f us each; not more: %s\n", round+1, *benchRounds, best.PerSec, best.CPU, limit)
		wrk, ours, limits, share = append(wrk, w), append(ours, best), append(limits, limit), at
	}
	return wrk, ours, limits
}

func wrkRate(t *testing.T, url string) clientRound {
	t.Helper()
	p := startTool(t, nil, "taskset", "-c", proxyCPU, "wrk", "-t1", "-c64", fmt.Sprintf("-d%ds", int(benchTurn.Seconds())), "--latency", url)
	l := wrkRun{program: p}.latencies(t)
	m := regexp.MustCompile(`(\d+) requests in `).FindStringSubmatch(p.text())
	if m == nil || strings.Contains(p.text(), "Socket errors") || strings.Contains(p.text(), "Non-2xx") {
		t.Fatalf("wrk did not get all answers:\n%s", p.text())
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	used := p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	return clientRound{PerSec: n / benchTurn.Seconds(), CPU: used.Seconds() * 1e6 / n, P50: l.Printed["50"], P99: l.Printed["99"]}
}

// highestRate looks for the most that the generator sends in a run that is valid and in
// which all was answered, from a share of wrk's rate on. It returns the share that it
// came to, and why more is no result.
func highestRate(t *testing.T, url string, wrk, share float64) (best clientRound, at float64, limit string) {
	t.Helper()
	best, limit = loadgenRate(t, url, share*wrk)
	if limit == "" {
		for {
			next, trouble := loadgenRate(t, url, (share+rateStep)*wrk)
			if trouble != "" {
				return best, share, trouble
			}
			best, share = next, share+rateStep
		}
	}
	for share -= rateStep; share > rateStep/2; share -= rateStep {
		lower, trouble := loadgenRate(t, url, share*wrk)
		if trouble == "" {
			return lower, share, limit
		}
		limit = trouble
	}
	t.Fatalf("there is no rate that the generator can send: %s", limit)
	return best, share, limit
}

// loadgenRate sends at a rate and says why that is no result, twice if need be: what
// else the machine does may have hit one of the runs.
func loadgenRate(t *testing.T, url string, rate float64) (c clientRound, trouble string) {
	t.Helper()
	for range 2 {
		run, r := runLoadgen(t, proxyCPU, "--target", url, "--class", fmt.Sprintf("small=%.0f:/", rate),
			"--warmup", "1s", "--duration", benchTurn.String())
		s := run.Classes[0]
		switch {
		case run.Verdict.State != loadgen.Valid:
			trouble = strings.Join(run.Verdict.Reasons, "; ")
		case r.code != exitOK || s.OK != s.Intended:
			trouble = fmt.Sprintf("%d of %d requests were answered", s.OK, s.Intended)
		default:
			return clientRound{PerSec: float64(s.OK) / run.DurationSeconds, CPU: run.Generator.CPUShare * 1e6 / rate,
				P50: float64(s.Latency.P50), P99: float64(s.Latency.P99)}, ""
		}
	}
	return c, trouble
}

func clientTable(wrk, ours []clientRound, limits []string) string {
	var b strings.Builder
	b.WriteString("| client, on one processor | requests/s | to wrk | us per request | p50 / p99 ms |\n| --- | --- | --- | --- | --- |\n")
	perSec := func(c clientRound) float64 { return c.PerSec }
	row := func(name string, rounds []clientRound, ratio string) {
		of := func(figure func(clientRound) float64) float64 { return medianOf(figures(rounds, figure)) }
		fmt.Fprintf(&b, "| %s | %.0f | %s | %.1f | %.2f / %.2f |\n", name, of(perSec), ratio, of(func(c clientRound) float64 { return c.CPU }),
			of(func(c clientRound) float64 { return c.P50 }), of(func(c clientRound) float64 { return c.P99 }))
	}
	all := ratios(figures(ours, perSec), figures(wrk, perSec))
	row("wrk -t1 -c64, closed loop", wrk, "")
	row("overtake loadgen, open loop", ours, ratioCell(all, 0)+verdictOf(medianOf(all) >= goalLoadgen))
	fmt.Fprintf(&b, "\nMedians of %d rounds of %v; in brackets the least and the most. The goal is %.1f. Why not more:\n\n", *benchRounds, *benchTurn, goalLoadgen)
	for _, limit := range limits {
		fmt.Fprintf(&b, "- %s\n", limit)
	}
	return b.String()
}

func figures(rounds []clientRound, figure func(clientRound) float64) (all []float64) {
	for _, r := range rounds {
		all = append(all, figure(r))
	}
	return all
}

// stallPicture draws what is said of the target that stalls, on the scale of
// percentiles on which each further nine is as wide.
func stallPicture(t *testing.T, run knownRun) {
	t.Helper()
	nines := func(p float64) float64 { return -math.Log10(1 - p) }
	var computed, ours, measured, printed plotter.XYs
	for _, point := range stream(t, run.Result, "stall").Curve {
		if p := point.Percentile / 100; p <= 0.9991 {
			computed = append(computed, plotter.XY{X: nines(p), Y: laws["stall"].quantile(p).Seconds() * 1000})
			ours = append(ours, plotter.XY{X: nines(p), Y: float64(point.Latency)})
			measured = append(measured, plotter.XY{X: nines(p), Y: run.Stall.measured(p)})
		}
	}
	for _, p := range []string{"50", "75", "90", "99"} {
		percent, _ := strconv.ParseFloat(p, 64) // digits
		printed = append(printed, plotter.XY{X: nines(percent / 100), Y: run.Stall.Printed[p]})
	}
	pic := picture.New("A target that stalls for 1 s every 10 s", "percentile", "latency in ms")
	pic.Legend.Top, pic.Legend.Left, pic.Y.Min = true, true, 0
	pic.X.Tick.Marker = plot.ConstantTicks{
		{Value: 0, Label: "0"}, {Value: nines(0.5), Label: "50"}, {Value: 1, Label: "90"}, {Value: 2, Label: "99"}, {Value: 3, Label: "99.9"},
	}
	for _, curve := range []struct {
		name   string
		points plotter.XYs
		color  color.Color
		width  vg.Length
		dashes []vg.Length
	}{
		{"computed", computed, picture.Gray, 6, nil},
		{"overtake loadgen", ours, picture.Colors[0], 2, nil},
		{"wrk -c1, measured", measured, picture.Colors[1], 2, nil},
		{"wrk -c1, printed: 50, 75, 90, 99", printed, picture.Colors[2], 1, []vg.Length{4, 3}},
	} {
		line, err := plotter.NewLine(curve.points)
		if err != nil {
			t.Fatal(err)
		}
		line.Color, line.Width, line.Dashes = curve.color, curve.width, curve.dashes
		pic.Add(line)
		pic.Legend.Add(curve.name, line)
	}
	file := filepath.Join(*benchOut, "loadgen-stall.png")
	err := os.MkdirAll(*benchOut, 0o755)
	if err == nil {
		err = picture.Save(pic, file)
	}
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("saved: %s\n", file)
}
