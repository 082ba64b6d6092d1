package scheduler

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var paretoOut = flag.String("pareto-out", "", "folder for the pictures and the table of the Pareto front")

// tradeOff is what a reserve makes of the reference load: how long interactive
// work takes, and how much batch work gets done.
type tradeOff struct {
	name     string
	p99      time.Duration
	sorted   []time.Duration // all latencies
	batch    float64         // per second
	requests int             // that came, in all
	took     time.Duration
}

// front are the trade-offs of fixed reserves, from none upwards: longest p99 first.
type front []tradeOff

// batchAt is how much batch work fixed reserves get done at the given p99 of
// interactive work, where between two of them one takes turns. It reports false
// where p99 is shorter than all of theirs.
func (f front) batchAt(p99 time.Duration) (batch float64, ok bool) {
	for i, o := range f {
		if p99 < o.p99 {
			continue
		}
		if i == 0 {
			return o.batch, true
		}
		// So much of the time with less of a reserve that one in a hundred takes longer.
		worse, better := f[i-1].longer(p99), o.longer(p99)
		part := (0.01 - better) / (worse - better)
		return part*f[i-1].batch + (1-part)*o.batch, true
	}
	return 0, false
}

// longer is the share of interactive work that takes longer than d.
func (o tradeOff) longer(d time.Duration) float64 {
	i, _ := slices.BinarySearch(o.sorted, d+1)
	return float64(len(o.sorted)-i) / float64(len(o.sorted))
}

// trade simulates the reference load on as many workers as the limit of cfg.
func trade(t *testing.T, name string, cfg Config, exponential bool, long time.Duration) tradeOff {
	t.Helper()
	const warmup = 5 * time.Second
	began := time.Now()
	s := newSimulation(cfg, appModel{workers: cfg.Limit, exponential: exponential}, withBatch(cfg.Limit, 2), 1)
	s.run(warmup, warmup+long)
	if s.shed[0] > 0 {
		t.Errorf("%s: %d interactive refused", name, s.shed[0])
	}
	slices.Sort(s.latency[0])
	return tradeOff{
		name: name, p99: quantile(s.latency[0], 0.99), sorted: s.latency[0], batch: float64(s.done[1]) / long.Seconds(),
		requests: s.done[0] + s.done[1] + s.shed[1], took: time.Since(began),
	}
}

// S6: an automatic reserve gets at least as much batch work done as any fixed one
// that is as good for interactive work.
func TestAutoReserveIsOnTheParetoFront(t *testing.T) {
	for _, c := range []struct {
		name        string
		exponential bool
		least       float64 // of the front
	}{
		{"fixed", false, 0.99},
		// Without memory there is nothing to foresee, and fixed reserves are the best
		// that there is: what an automatic one learns by costs a little.
		{"exponential", true, 0.95},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			long := max(*simulated, 4*time.Minute)
			var fixed front
			var auto []tradeOff
			var lanes sync.WaitGroup
			lanes.Go(func() {
				for reserve := range 5 {
					cfg := twoKinds(8)
					cfg.Classes[0].Reserve = reserve
					fixed = append(fixed, trade(t, fmt.Sprintf("reserve %d", reserve), cfg, c.exponential, long))
				}
			})
			lanes.Go(func() {
				for _, ms := range []int{20, 15, 10, 7, 5, 3} {
					objective := time.Duration(ms) * time.Millisecond
					cfg := twoKinds(8)
					cfg.Classes[0].Objective, cfg.Classes[0].AutoReserve = objective, true
					auto = append(auto, trade(t, fmt.Sprintf("auto, objective %v", objective), cfg, c.exponential, long))
				}
			})
			lanes.Wait()
			for _, a := range auto {
				if batch, ok := fixed.batchAt(a.p99); ok && a.batch < c.least*batch {
					t.Errorf("%s: p99 %v and %.1f batch/s, fixed reserves do %.1f at that p99", a.name, a.p99, a.batch, batch)
				}
			}
			if *paretoOut != "" {
				saveFront(t, c.name, fixed, auto)
			}
		})
	}
}

// saveFront draws the front and prints it as a table.
func saveFront(t *testing.T, service string, fixed front, auto []tradeOff) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "| %s service times | interactive p99 ms | batch/s | front at that p99 | requests simulated | in s |\n| --- | --- | --- | --- | --- | --- |\n", service)
	for _, o := range fixed {
		fmt.Fprintf(&b, "| %s | %.1f | %.1f | | %d | %.1f |\n", o.name, milliseconds(o.p99), o.batch, o.requests, o.took.Seconds())
	}
	for _, o := range auto {
		at := "none so short"
		if batch, ok := fixed.batchAt(o.p99); ok {
			at = fmt.Sprintf("%.1f", batch)
		}
		fmt.Fprintf(&b, "| %s | %.1f | %.1f | %s | %d | %.1f |\n", o.name, milliseconds(o.p99), o.batch, at, o.requests, o.took.Seconds())
	}
	fmt.Print("\n" + b.String())
	file := filepath.Join(*paretoOut, "pareto-"+service)
	if err := drawFront(file+".png", service+" service times", fixed, auto); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".md", []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\nsaved: %s.png\n", file)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
