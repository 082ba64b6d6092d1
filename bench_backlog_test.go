//go:build e2e

package main

import (
	"context"
	"flag"
	"fmt"
	"image/color"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"overtake/broker"
	"overtake/classifier"
	"overtake/docs/picture"
	"overtake/scheduler"
)

var (
	benchMessages = flag.Int("messages", 1_000_000, "of the brokers' benchmarks: how many batch messages wait")
	benchRate     = flag.Float64("rate", 100, "of the brokers' benchmarks: interactive messages per second beside the backlog")
)

const (
	benchWorkers = 8
	benchWork    = 5 * time.Millisecond
	benchSize    = 256 // bytes of a message
	// backlogWarmup is the time for which the workers work before it counts, and
	// backlogGrace how long the last interactive messages are waited for.
	backlogWarmup = 2 * time.Second
	backlogGrace  = 5 * time.Second
)

// benchClasses are the classes of a queue, most urgent first.
var benchClasses = []string{"interactive", "batch"}

// contender is one way to have interactive messages worked on beside a backlog.
type contender struct {
	name string
	// publish publishes an interactive message.
	publish func(ctx context.Context, id string) error
	// consume has benchWorkers workers call handle for each message, of either
	// class, and settle it. It returns when ctx has ended and nothing is left of it.
	consume func(ctx context.Context, handle func(id string)) error
	// depth is how many messages wait.
	depth func() int
}

// beside is what became of the interactive messages beside a backlog.
type beside struct {
	Name    string    `json:"name"`
	Depth   int       `json:"backlog"`
	Sent    int       `json:"interactive_sent"`
	Late    float64   `json:"sent_late_p99_ms"`
	Waits   []float64 `json:"waits_ms"`           // of those that were handled, in order
	Missing []float64 `json:"not_handled_for_ms"` // how long the others had waited in the end, in order
	PerSec  float64   `json:"handled_per_second"`
	Drained float64   `json:"backlog_drained_after_s"`
}

// share returns how long all but a part of the messages waited, in milliseconds,
// and whether that is exact. Otherwise it was that long at least.
func (b beside) share(q float64) (ms float64, exact bool) {
	all := slices.Sorted(slices.Values(slices.Concat(b.Waits, b.Missing)))
	ms = all[max(int(math.Ceil(q*float64(len(all))))-1, 0)]
	return ms, len(b.Missing) == 0 || ms < b.Missing[0]
}

func (b beside) cell(q float64) string {
	ms, exact := b.share(q)
	if exact {
		return fmt.Sprintf("%.1f", ms)
	}
	return fmt.Sprintf(">= %.0f", ms)
}

func (b beside) String() string {
	return fmt.Sprintf("%s: %d waiting, p50 %s, p99 %s, %d of %d handled, %.0f messages/s, sent %.1f ms late (p99)",
		b.Name, b.Depth, b.cell(0.5), b.cell(0.99), len(b.Waits), b.Sent, b.PerSec, b.Late)
}

// playBeside lets c work and publishes interactive messages meanwhile, at times
// that do not depend on what becomes of them.
func playBeside(t *testing.T, c contender) beside {
	t.Helper()
	r := beside{Name: c.name, Depth: c.depth()}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(t.Context()))
	defer cancel(nil)

	var mu sync.Mutex // guards intended, waits and late
	intended := map[string]time.Time{}
	var late []float64
	var handled atomic.Int64
	consumed := make(chan error, 1)
	go func() {
		err := c.consume(ctx, func(id string) {
			now := time.Now()
			mu.Lock()
			if at, ok := intended[id]; ok {
				delete(intended, id)
				r.Waits = append(r.Waits, float64(now.Sub(at))/1e6)
			}
			mu.Unlock()
			time.Sleep(benchWork)
			handled.Add(1)
		})
		cancel(err)
		consumed <- err
	}()

	var publishing sync.WaitGroup
	began := time.Now()
	warm, end := began.Add(backlogWarmup), began.Add(backlogWarmup+*benchMeasure)
	random := rand.New(rand.NewPCG(1, 2))
	var before int64
	for at, n := began, 0; at.Before(end); n++ {
		time.Sleep(time.Until(at))
		id := fmt.Sprintf("%d-%d", began.UnixNano(), n)
		if !at.Before(warm) {
			if r.Sent == 0 {
				before = handled.Load()
			}
			mu.Lock()
			r.Sent++
			intended[id] = at
			late = append(late, float64(time.Since(at))/1e6)
			mu.Unlock()
		}
		publishing.Go(func() {
			if err := c.publish(ctx, id); err != nil {
				cancel(err)
			}
		})
		at = at.Add(time.Duration(random.ExpFloat64() / *benchRate * 1e9))
	}
	publishing.Wait()
	r.PerSec = float64(handled.Load()-before) / benchMeasure.Seconds()
	for begun := time.Now(); time.Since(begun) < backlogGrace; time.Sleep(10 * time.Millisecond) {
		mu.Lock()
		left := len(intended)
		mu.Unlock()
		if left == 0 {
			break
		}
	}
	failed := context.Cause(ctx)
	cancel(nil)
	if err := <-consumed; failed != nil || err != nil {
		t.Fatalf("%s: %v, %v", c.name, failed, err)
	}
	for _, at := range intended {
		r.Missing = append(r.Missing, float64(time.Since(at))/1e6)
	}
	slices.Sort(r.Missing)
	r.Drained = float64(r.Depth) / r.PerSec
	slices.Sort(r.Waits)
	slices.Sort(late)
	r.Late = late[int(0.99*float64(len(late)-1))]
	fmt.Println(r)
	return r
}

// ours consumes the lanes of a queue.
func ours(open func() broker.Consumer) func(context.Context, func(string)) error {
	return func(ctx context.Context, handle func(string)) error {
		s, err := scheduler.New(scheduler.Config{
			Limit: benchWorkers, Classes: make([]scheduler.ClassConfig, len(benchClasses)),
		})
		if err != nil {
			return err
		}
		c := open()
		var lanes sync.WaitGroup
		for class := range benchClasses {
			lanes.Go(func() { workLane(ctx, c, s, class, handle) })
		}
		lanes.Wait()
		return c.Close(context.WithoutCancel(ctx))
	}
}

// workLane takes the messages of a lane one by one. Each gets a slot in the order
// of all lanes, and is settled when it has given the slot back.
func workLane(ctx context.Context, c broker.Consumer, s *scheduler.Scheduler, class int, handle func(string)) {
	var working sync.WaitGroup
	defer working.Wait()
	hands := make(chan struct{}, 2*benchWorkers) // one worked on and one being settled per slot
	for {
		hands <- struct{}{}
		d, err := c.Next(ctx, benchClasses[class])
		if err != nil {
			return
		}
		slot, err := s.Acquire(ctx, scheduler.Work{Class: classifier.Class(class), Kept: true})
		if err != nil {
			return // closing the consumer gives d back
		}
		working.Go(func() {
			handle(d.ID)
			slot.Release()
			_ = d.Done(context.WithoutCancel(ctx)) // if this fails, it comes again
			<-hands
		})
	}
}

// backlogTable shows the runs, and whether the one behind the backlog kept the
// goal. The first is the one without a backlog, the second the one with it.
func backlogTable(runs []beside, goal float64) string {
	var b strings.Builder
	b.WriteString("| who | batch messages waiting | interactive p50 / p99 ms | not handled in time | messages/s | backlog drained after |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, r := range runs {
		missing, drained := "0", "-"
		if n := len(r.Missing); n > 0 {
			missing = fmt.Sprintf("%d of %d", n, r.Sent)
		}
		if r.Depth > 0 {
			drained = fmt.Sprintf("%.0f s", r.Drained)
		}
		fmt.Fprintf(&b, "| %s | %d | %s / %s | %s | %.0f | %s |\n", r.Name, r.Depth, r.cell(0.5), r.cell(0.99), missing, r.PerSec, drained)
	}
	empty, _ := runs[0].share(0.99)
	beside, _ := runs[1].share(0.99)
	more := beside - empty
	fmt.Fprintf(&b, "\nBeside the backlog, the p99 is %.1f ms more than without. The goal is %.0f ms at most%s.\n", more, goal, verdictOf(more <= goal))
	for _, r := range runs {
		if r.Late > goal/2 {
			fmt.Fprintf(&b, "NOT A RESULT: %s: the machine stood still so long that messages were sent %.1f ms late (p99).\n", r.Name, r.Late)
		}
	}
	return b.String()
}

func savePicture(t *testing.T, runs []beside, title, file string) {
	t.Helper()
	file = filepath.Join(*benchOut, file)
	if err := drawBacklog(runs, title, file); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("saved: %s\n", file)
}

// drawBacklog draws which part of the interactive messages came to their handlers
// in what time. Those that did not, did at best when the backlog was drained.
func drawBacklog(runs []beside, title, file string) error {
	const least = 0.1
	p := picture.New(title, "from publish to handler, ms", "interactive messages, %")
	p.X.Min, p.X.Scale, p.X.Tick.Marker = least, plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Y.Min, p.Y.Max = 0, 100
	p.Legend.XOffs = -2 * vg.Centimeter // left of the backlog
	colors := slices.Concat([]color.Color{picture.Gray}, picture.Colors)
	for i, r := range runs {
		points := plotter.XYs{}
		for j, wait := range r.Waits {
			points = append(points, plotter.XY{X: max(wait, least), Y: 100 * float64(j+1) / float64(r.Sent)})
		}
		missing := len(r.Missing) > 0
		if missing {
			at := r.Drained * 1e3
			points = append(points, plotter.XY{X: at, Y: 100 * float64(len(r.Waits)) / float64(r.Sent)}, plotter.XY{X: at, Y: 100})
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return err
		}
		line.Color, line.Width = colors[i], vg.Points(1.5)
		name := r.Name
		if missing {
			line.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
			name += ": after the backlog"
		}
		p.Add(line)
		p.Legend.Add(name, line)
	}
	return picture.Save(p, file)
}
