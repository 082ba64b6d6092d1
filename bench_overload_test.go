//go:build e2e

package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"overtake/broker/brokertest/freeport"
	"overtake/loadgen"
	"overtake/loadgen/arrival"
	"overtake/loadgen/content"
)

var (
	benchWarmup  = flag.Duration("warmup", 10*time.Second, "of a benchmark: time before the measurement")
	benchMeasure = flag.Duration("measure", 20*time.Second, "of a benchmark: time of the measurement")
	benchRounds  = flag.Int("rounds", 2, "of a benchmark: how often each side is measured, in turns")
	benchOut     = flag.String("bench-out", "bin", "folder for what a benchmark found")
)

// The goals, as parts of what HAProxy does.
const (
	goalP99   = 0.4
	goalBatch = 0.85
)

// variant is an app and a load.
type variant struct {
	name    string
	workers int
	over    float64 // batch work that comes, as a multiple of what is left for it
	app     []string
	burst   int // batch requests at once, in the middle
}

var overloadVariants = []variant{
	{name: "2x overload", workers: 8, over: 2},
	{name: "3x overload", workers: 8, over: 3},
	{name: "exponential service times", workers: 8, over: 2, app: []string{"--service", "exponential"}},
	{name: "burst of 500 batch requests", workers: 8, over: 2, burst: 500},
	{name: "16 workers", workers: 16, over: 2},
	{name: "64 workers", workers: 64, over: 2},
	{name: "shared processor", workers: 8, over: 2, app: []string{"--sharing"}},
}

// The reference load: interactive work for one worker in eight, and over times as
// much batch work as the others can do.
func (v variant) streams() []loadgen.Class {
	n := float64(v.workers)
	return []loadgen.Class{
		{Name: "interactive", Arrivals: arrival.Steady(25 * n), Request: content.Spec{Path: "/work?ms=5&for=page"}},
		{Name: "batch", Arrivals: arrival.Steady(17.5 * n * v.over), Request: content.Spec{Path: "/work?ms=50&for=report"}},
	}
}

// told nothing but the objective: not how many workers the app has.
const overloadConfig = `
classes:
  - {name: interactive, objective: 10ms, reserve: auto}
  - {name: standard, floor: 10%%}
  - {name: batch, floor: 5%%, max_wait: 2s, max_waiting: 10000}
rules:
  - {name: pages, class: interactive, match: {path: /work, query: {for: page}}}
  - {name: reports, class: batch, match: {path: /work, query: {for: report}}}
upstreams:
  app: {servers: [%q], limit: {mode: adaptive}}
`

// told how many workers the app has, and which requests are urgent. Who waits for
// two seconds is refused, as in overloadConfig: without a bound, 64 workers would
// have more waiting than there are ports.
const haproxyConfig = `
global
  nbthread 2
  maxconn 9000
  log stderr local0 emerg
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout queue 2s
frontend public
  bind 127.0.0.1:%d
  maxconn 8900
  http-request set-priority-class int(-100) if { url_param(for) -m str page }
  http-request set-priority-class int(100) if { url_param(for) -m str report }
  default_backend app
backend app
  http-reuse always
  server app %s maxconn %d
`

// outcome is what one side made of a variant in one round.
type outcome struct {
	P50         float64 `json:"interactive_p50_ms"`
	P99         float64 `json:"interactive_p99_ms"`
	Refused     int64   `json:"interactive_refused"`
	Batch       float64 `json:"batch_per_second"`
	Limit       float64 `json:"limit,omitempty"`
	Reserve     float64 `json:"reserve,omitempty"`
	Valid       bool    `json:"valid"`
	Explanation string  `json:"verdict"`
}

func (o outcome) String() string {
	return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms, %d refused, %.1f batch/s, %s", o.P50, o.P99, o.Refused, o.Batch, o.Explanation)
}

// comparison is what both sides made of a variant, round by round.
type comparison struct {
	Variant  string    `json:"variant"`
	HAProxy  []outcome `json:"haproxy"`
	Overtake []outcome `json:"overtake"`
}

// TestBenchOverload compares an Overtake that is told nothing with an HAProxy that
// is told what there is to tell, in turns on the same loads.
func TestBenchOverload(t *testing.T) {
	if _, err := exec.LookPath("haproxy"); err != nil {
		t.Fatal("haproxy is missing: apt-get install haproxy")
	}
	var all []comparison
	for _, v := range overloadVariants {
		t.Run(v.name, func(t *testing.T) {
			c := comparison{Variant: v.name}
			for round := range *benchRounds {
				c.HAProxy = append(c.HAProxy, playHAProxy(t, v, round))
				fmt.Printf("%s, round %d of %d: HAProxy %v\n", v.name, round+1, *benchRounds, c.HAProxy[round])
				c.Overtake = append(c.Overtake, playOvertake(t, v, round))
				fmt.Printf("%s, round %d of %d: Overtake %v\n", v.name, round+1, *benchRounds, c.Overtake[round])
			}
			all = append(all, c)
		})
	}
	table := overloadTable(all)
	fmt.Print("\n" + table)
	saveBench(t, "overload", table, all)
}

func playOvertake(t *testing.T, v variant, round int) outcome {
	app := startAppWith(t, v)
	defer app.stop(t)
	g := startGateway(t, fmt.Sprintf(overloadConfig, app.find(t, `http://\S+`)))
	o := measureOverload(t, v, g.url, round)
	o.Limit = g.metric(t, `overtake_limit{upstream="app"}`)
	o.Reserve = g.metric(t, `overtake_reserve{class="interactive",upstream="app"}`)
	g.kill(t) // the backlog is of no interest
	return o
}

func playHAProxy(t *testing.T, v variant, round int) outcome {
	app := startAppWith(t, v)
	defer app.stop(t)
	address := strings.TrimPrefix(app.find(t, `http://\S+`), "http://")
	port := freePort(t)
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, fmt.Appendf(nil, haproxyConfig, port, address, v.workers), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("haproxy", "-db", "-f", file)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	eventually(t, "HAProxy answers", func() bool {
		resp, err := http.Get(url + "/healthz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return true
	})
	return measureOverload(t, v, url, round)
}

func startAppWith(t *testing.T, v variant) *program {
	return start(t, append([]string{"app", "--listen", "127.0.0.1:0", "--workers", fmt.Sprint(v.workers)}, v.app...)...)
}

// measureOverload drives the variant's load at url. Rounds differ in their seeds,
// sides do not.
func measureOverload(t *testing.T, v variant, url string, round int) outcome {
	t.Helper()
	var burst sync.WaitGroup
	if v.burst > 0 {
		burst.Go(func() {
			time.Sleep(*benchWarmup + *benchMeasure/2)
			const within = 50 * time.Millisecond
			_, _ = loadgen.Run(t.Context(), loadgen.Scenario{
				Target: url, Duration: within, Seed: uint64(round),
				Classes: []loadgen.Class{{Name: "burst", Arrivals: arrival.Steady(float64(v.burst) / within.Seconds()), Request: content.Spec{Path: "/work?ms=50&for=report"}}},
			}, loadgen.Options{Grace: *benchMeasure / 2})
		})
	}
	report, err := loadgen.Run(t.Context(), loadgen.Scenario{
		Target: url, Warmup: *benchWarmup, Duration: *benchMeasure, Seed: uint64(round), Classes: v.streams(),
	}, loadgen.Options{Grace: time.Second})
	burst.Wait()
	if err != nil {
		t.Fatal(err)
	}
	phase := report.Runs[0]
	interactive, batch := stream(t, phase, "interactive"), stream(t, phase, "batch")
	return outcome{
		P50: float64(interactive.Latency.P50), P99: float64(interactive.Latency.P99),
		Refused: interactive.ShedTotal() + interactive.FailedTotal(), Batch: batch.DonePerSecond,
		Valid: phase.Verdict.State == loadgen.Valid, Explanation: phase.Verdict.String(),
	}
}

// overloadTable shows the medians of both sides, and how they compare.
func overloadTable(all []comparison) string {
	var b strings.Builder
	b.WriteString("| load | side | interactive p50 / p99 ms | refused | batch/s | limit, reserve |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, c := range all {
		h, o := middle(c.HAProxy), middle(c.Overtake)
		fmt.Fprintf(&b, "| %s | HAProxy, told maxconn | %.1f / %.1f | %d | %.1f | |\n", c.Variant, h.P50, h.P99, h.Refused, h.Batch)
		fmt.Fprintf(&b, "| | Overtake, told nothing | %.1f / %.1f | %d | %.1f | %.0f, %.1f |\n", o.P50, o.P99, o.Refused, o.Batch, o.Limit, o.Reserve)
		fmt.Fprintf(&b, "| | ratio | %.2f / **%.2f**%s | | **%.2f**%s | |\n",
			o.P50/h.P50, o.P99/h.P99, verdictOf(o.P99 <= goalP99*h.P99), o.Batch/h.Batch, verdictOf(o.Batch >= goalBatch*h.Batch && o.Refused == 0))
		for _, side := range [][]outcome{c.HAProxy, c.Overtake} {
			for _, o := range side {
				if !o.Valid {
					fmt.Fprintf(&b, "| | NOT A RESULT | %s | | | |\n", o.Explanation)
				}
			}
		}
	}
	fmt.Fprintf(&b, "\nGoals: p99 at most %.2f of HAProxy's, batch at least %.2f of it, no interactive request refused. A cell that misses one says so.\n", goalP99, goalBatch)
	return b.String()
}

func verdictOf(met bool) string {
	if met {
		return ""
	}
	return " (misses the goal)"
}

// middle returns the medians over the rounds, and all that was refused.
func middle(rounds []outcome) outcome {
	median := func(of func(outcome) float64) float64 {
		var all []float64
		for _, o := range rounds {
			all = append(all, of(o))
		}
		slices.Sort(all)
		n := len(all)
		return (all[(n-1)/2] + all[n/2]) / 2
	}
	m := outcome{
		P50: median(func(o outcome) float64 { return o.P50 }), P99: median(func(o outcome) float64 { return o.P99 }),
		Batch: median(func(o outcome) float64 { return o.Batch }), Limit: median(func(o outcome) float64 { return o.Limit }),
		Reserve: median(func(o outcome) float64 { return o.Reserve }),
	}
	for _, o := range rounds {
		m.Refused += o.Refused
	}
	return m
}

func saveBench(t *testing.T, name, table string, data any) {
	t.Helper()
	text, err := json.MarshalIndent(data, "", "  ")
	if err == nil {
		err = os.MkdirAll(*benchOut, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(*benchOut, name+".json"), append(text, '\n'), 0o600)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(*benchOut, name+".md"), []byte(table), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\nsaved: %s\n", filepath.Join(*benchOut, name+".md"))
}

func freePort(t *testing.T) int {
	t.Helper()
	ports, err := freeport.Choose(1)
	if err != nil {
		t.Fatal(err)
	}
	return ports[0]
}
