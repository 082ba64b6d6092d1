//go:build e2e

package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"overtake/loadgen"
	"overtake/loadgen/arrival"
	"overtake/loadgen/content"
)

var (
	benchWatch       = flag.Duration("watch", time.Minute, "of the limit's benchmark: for how long a limit is watched")
	benchLightRounds = flag.Int("light-rounds", 10, "of the limit's benchmark: how often the limit is measured under light load, in turns with none")
)

// How far from the truth an adaptive limit may be, and for how long it may search.
const (
	limitTolerance = 0.25
	limitSettles   = 5 * time.Second
	limitLatency   = 1.02 // of the p50 without a limit
)

// limitWatch is what became of a limit.
type limitWatch struct {
	What     string  `json:"what"`
	Workers  int     `json:"workers"`
	Settled  float64 `json:"settled_s"` // when it was last too far away, of the first 5 s
	Outside  int     `json:"outside"`   // of the samples after that
	Samples  int     `json:"samples"`
	Least    float64 `json:"least"`
	Most     float64 `json:"most"`
	Refused  int64   `json:"interactive_refused"`
	GoalsMet bool    `json:"goals_met"`
}

// watchLimit asks every 100 ms for d.
func watchLimit(t *testing.T, g gatewayProgram, what string, workers int, d time.Duration) limitWatch {
	t.Helper()
	w := limitWatch{What: what, Workers: workers, Least: math.Inf(1)}
	began := time.Now()
	for tick := began; time.Since(began) < d; tick = tick.Add(100 * time.Millisecond) {
		time.Sleep(time.Until(tick))
		limit := g.metric(t, `overtake_limit{upstream="app"}`)
		away := math.Abs(limit-float64(workers)) > limitTolerance*float64(workers)
		at := time.Since(began)
		switch {
		case at < limitSettles && away:
			w.Settled = at.Seconds()
		case at >= limitSettles:
			w.Samples++
			w.Least, w.Most = min(w.Least, limit), max(w.Most, limit)
			if away {
				w.Outside++
			}
		}
	}
	w.GoalsMet = w.Outside == 0
	return w
}

// overloaded runs the variant's load at url until stopped.
func overloaded(t *testing.T, v variant, url string) (stop func() loadgen.RunResult) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan loadgen.RunResult, 1)
	go func() {
		report, _ := loadgen.Run(ctx, loadgen.Scenario{Target: url, Duration: time.Hour, Classes: v.streams()}, loadgen.Options{Grace: -1})
		if report == nil {
			report = &loadgen.Report{Runs: []loadgen.RunResult{{}}}
		}
		done <- report.Runs[0]
	}()
	t.Cleanup(cancel)
	return func() loadgen.RunResult { cancel(); return <-done }
}

// TestBenchLimit watches the adaptive limit find an app's number of workers.
func TestBenchLimit(t *testing.T) {
	var all []limitWatch
	for _, workers := range []int{4, 8, 16, 64} {
		t.Run(fmt.Sprintf("%d workers from a cold start", workers), func(t *testing.T) {
			v := variant{workers: workers, over: 2}
			app := startAppWith(t, v)
			g := startGateway(t, fmt.Sprintf(overloadConfig, app.find(t, `http://\S+`)))
			stop := overloaded(t, v, g.url)
			w := watchLimit(t, g, "cold start", workers, *benchWatch)
			w.refusedOf(t, stop())
			fmt.Println(w.row())
			all = append(all, w)
		})
	}
	for _, change := range []struct{ before, after int }{{16, 8}, {16, 32}, {64, 32}} {
		t.Run(fmt.Sprintf("%d workers become %d", change.before, change.after), func(t *testing.T) {
			v := variant{workers: change.before, over: 2 * max(1, float64(change.after)/float64(change.before))}
			app := startAppWith(t, v)
			url := app.find(t, `http://\S+`)
			g := startGateway(t, fmt.Sprintf(overloadConfig, url))
			stop := overloaded(t, v, g.url)
			time.Sleep(10 * time.Second)
			resp, err := http.Post(fmt.Sprintf("%s/workers?n=%d", url, change.after), "", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			w := watchLimit(t, g, fmt.Sprintf("from %d workers", change.before), change.after, *benchWatch/2)
			w.refusedOf(t, stop())
			fmt.Println(w.row())
			all = append(all, w)
		})
	}
	var b strings.Builder
	b.WriteString("| case | workers | within 25 % after | later outside | least, most | interactive refused | goal met |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, w := range all {
		fmt.Fprintln(&b, w.row())
	}
	fmt.Print("\n", b.String())
	saveBench(t, "limit", b.String(), all)
}

func (w limitWatch) row() string {
	return fmt.Sprintf("| %s | %d | %.1f s | %d of %d | %.0f, %.0f | %d | %t |",
		w.What, w.Workers, w.Settled, w.Outside, w.Samples, w.Least, w.Most, w.Refused, w.GoalsMet)
}

func (w *limitWatch) refusedOf(t *testing.T, phase loadgen.RunResult) {
	interactive := stream(t, phase, "interactive")
	w.Refused = interactive.ShedTotal() + interactive.FailedTotal()
}

// TestBenchLimitBelowCapacity sends what an app can do, from a cold start: the
// limit may refuse nothing. A reserve may, since it keeps batch from slots that
// are free: what it does is printed beside it.
func TestBenchLimitBelowCapacity(t *testing.T) {
	for _, workers := range []int{4, 8, 16, 64} {
		for _, reserve := range []string{"0", "auto"} {
			v := variant{workers: workers, over: 0.8}
			app := startAppWith(t, v)
			config := strings.Replace(overloadConfig, "reserve: auto", "reserve: "+reserve, 1)
			g := startGateway(t, fmt.Sprintf(config, app.find(t, `http://\S+`)))
			report, err := loadgen.Run(t.Context(), loadgen.Scenario{Target: g.url, Duration: *benchMeasure, Classes: v.streams()}, loadgen.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range report.Runs[0].Classes {
				fmt.Printf("%d workers, reserve %s, %s: %d sent, %d refused, %d failed\n", workers, reserve, s.Name, s.Sent, s.ShedTotal(), s.FailedTotal())
				if reserve == "0" && s.ShedTotal()+s.FailedTotal() > 0 {
					t.Errorf("%d workers, %s: shed %v, failed %v of %d below capacity", workers, s.Name, s.Shed, s.Failed, s.Sent)
				}
			}
		}
	}
}

// TestBenchLimitLightLoad compares the adaptive limit with none where neither has
// anything to do.
func TestBenchLimitLightLoad(t *testing.T) {
	v := variant{workers: 8, over: 0.1}
	app := startAppWith(t, v)
	url := app.find(t, `http://\S+`)
	adaptive := startGateway(t, fmt.Sprintf(overloadConfig, url))
	off := startGateway(t, strings.Replace(fmt.Sprintf(overloadConfig, url), "mode: adaptive", "mode: off", 1))
	p50 := func(g gatewayProgram, round int) float64 {
		report, err := loadgen.Run(t.Context(), loadgen.Scenario{
			Target: g.url, Warmup: time.Second, Duration: *benchMeasure / 5, Seed: uint64(round),
			Classes: []loadgen.Class{{Name: "interactive", Arrivals: arrival.Steady(100), Request: content.Spec{Path: "/work?ms=5&for=page"}}},
		}, loadgen.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return float64(report.Runs[0].Classes[0].Latency.P50)
	}
	var ratios []float64
	for round := range *benchLightRounds {
		if round%2 == 0 {
			a := p50(adaptive, round)
			ratios = append(ratios, a/p50(off, round))
		} else {
			o := p50(off, round)
			ratios = append(ratios, p50(adaptive, round)/o)
		}
	}
	slices.Sort(ratios)
	n := len(ratios)
	median := (ratios[(n-1)/2] + ratios[n/2]) / 2
	fmt.Printf("light load: p50 with the adaptive limit over p50 without: median %.3f of %d rounds, from %.3f to %.3f (goal %.2f)\n",
		median, n, ratios[0], ratios[n-1], limitLatency)
	if median > limitLatency {
		t.Errorf("p50 is %.3f times that without a limit, goal %.2f", median, limitLatency)
	}
}
