package tracing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A testCollector is an exporter that answers as the test says and remembers
// the names of the spans it took.
type testCollector struct {
	mu      sync.Mutex
	answer  func(ctx context.Context, spans []Span) error
	batches [][]string
	closed  int
}

func (c *testCollector) Export(ctx context.Context, spans []Span) error {
	c.mu.Lock()
	answer := c.answer
	c.mu.Unlock()
	if answer != nil {
		if err := answer(ctx, spans); err != nil {
			return err
		}
	}
	names := make([]string, len(spans))
	for i := range spans {
		names[i] = spans[i].Name
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.batches = append(c.batches, names)
	return nil
}

func (c *testCollector) Close(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed++
	return nil
}

func (c *testCollector) answers(f func(context.Context, []Span) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = f
}

func (c *testCollector) got() [][]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([][]string(nil), c.batches...)
}

var errAway = errors.New("nobody there")

func away(context.Context, []Span) error { return errAway }

// slowlyAway takes the time that it takes to begin a shutdown.
func slowlyAway(context.Context, []Span) error {
	time.Sleep(time.Second)
	return errAway
}

// silent never answers.
func silent(ctx context.Context, _ []Span) error {
	<-ctx.Done()
	return ctx.Err()
}

func recordMany(tracer *Tracer, n int) {
	for i := range n {
		tracer.Record(Span{Name: fmt.Sprint(i)})
	}
}

func checkStats(t *testing.T, tracer *Tracer, want SpanStats) {
	t.Helper()
	if got := tracer.Stats(); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}

func TestTracerBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		collector := &testCollector{}
		tracer := NewTracer(TracerConfig{Exporter: collector, Batch: 3})
		recordMany(tracer, 7)
		synctest.Wait()
		if got, want := fmt.Sprint(collector.got()), "[[0 1 2] [3 4 5] [6]]"; got != want {
			t.Errorf("a full batch wakes the tracer: got %s, want %s", got, want)
		}
		tracer.Record(Span{Name: "a"}, Span{Name: "b"})
		synctest.Wait()
		if len(collector.got()) != 3 {
			t.Error("less than a batch waits for its interval")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := fmt.Sprint(collector.got()[3:]); got != "[[a b]]" {
			t.Errorf("after the interval: got %s, want [[a b]]", got)
		}
		tracer.Record(Span{Name: "last"})
		if err := tracer.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if got := fmt.Sprint(collector.got()[4:]); got != "[[last]]" {
			t.Errorf("a shutdown exports what is left: got %s, want [[last]]", got)
		}
		tracer.Record(Span{Name: "late"})
		if err := tracer.Shutdown(t.Context()); err != nil || collector.closed != 1 {
			t.Errorf("second shutdown: %v; the exporter was closed %d times, want once", err, collector.closed)
		}
		checkStats(t, tracer, SpanStats{Exported: 10, Dropped: 1})
	})
}

// With a collector that never answers, what is recorded is taken up to the
// bounds and dropped beyond, at once; then the collector answers again.
func TestTracerBounds(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for _, test := range []struct {
		name   string
		config TracerConfig
		span   Span
		taken  uint64
	}{
		{"count", TracerConfig{Queue: 100}, Span{}, 100},
		{"bytes", TracerConfig{QueueBytes: 100_000}, Span{Attributes: []Attribute{{"k", long}}}, uint64(100_000 / spanSize(&Span{Attributes: []Attribute{{"k", long}}}))},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				collector := &testCollector{answer: silent}
				test.config.Exporter = collector
				tracer := NewTracer(test.config)
				began := time.Now()
				tracer.Record(test.span)
				time.Sleep(time.Second)
				synctest.Wait() // the first is being exported now, and counts
				for range 1000 {
					tracer.Record(test.span)
				}
				if took := time.Since(began); took != time.Second {
					t.Errorf("recording took %v", took-time.Second)
				}
				checkStats(t, tracer, SpanStats{Dropped: 1001 - test.taken})

				time.Sleep(5 * time.Second) // the export's timeout
				synctest.Wait()
				if s := tracer.Stats(); s.Failed != 1 {
					t.Errorf("%d failed, want the one that was being exported", s.Failed)
				}
				collector.answers(nil)
				time.Sleep(5 * time.Second)
				synctest.Wait()
				before := tracer.Stats()
				if before.Exported+before.Dropped+before.Failed != 1001 {
					t.Errorf("%+v: want 1001 in all", before)
				}
				for range test.taken { // there is room for as many again
					tracer.Record(test.span)
				}
				if err := tracer.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				before.Exported += test.taken
				checkStats(t, tracer, before)
			})
		})
	}
}

// The estimate of what spans take is about right: a tracer whose collector never
// answers does not take more memory than it was given.
func TestTracerMemory(t *testing.T) {
	const most = 16 << 20
	heap := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before := heap()
	tracer := NewTracer(TracerConfig{Exporter: &testCollector{answer: silent}, Queue: 1 << 30, QueueBytes: most, Timeout: time.Hour})
	lengths := []int{10, 100, 2000}
	for i := 0; tracer.Stats().Dropped == 0; i++ {
		var s Span
		for range 10 {
			s.Attributes = append(s.Attributes,
				Attribute{"url.path", strings.Repeat("/", lengths[i%len(lengths)])}, Attribute{"http.response.status_code", int64(1000 + i)})
		}
		tracer.Record(s)
	}
	if took := heap() - before; took > most*5/4 || took < most/2 {
		t.Errorf("it takes %d KiB, want about the %d KiB it was given", took>>10, most>>10)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := tracer.Shutdown(ended); err != nil {
		t.Error(err)
	}
}

// An export is bounded in bytes as well.
func TestTracerBatchBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		collector := &testCollector{answer: func(_ context.Context, spans []Span) error {
			size := 0
			for i := range spans {
				size += spanSize(&spans[i])
			}
			if size > 1<<20 {
				return fmt.Errorf("%d bytes", size)
			}
			return nil
		}}
		tracer := NewTracer(TracerConfig{Exporter: collector})
		for range 100 {
			span := Span{}
			for range MaxAttributes {
				span.Attributes = append(span.Attributes, Attribute{"k", strings.Repeat("x", MaxText)})
			}
			tracer.Record(span)
		}
		if err := tracer.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		checkStats(t, tracer, SpanStats{Exported: 100})
	})
}

// Several goroutines record while exports fail, refuse a part, or succeed.
func TestTracerCounts(t *testing.T) {
	var took uint64
	calls := 0
	collector := &testCollector{answer: func(_ context.Context, spans []Span) error {
		calls++
		switch calls % 4 {
		case 0:
			return errAway
		case 1:
			took += uint64(len(spans) - 1)
			return &PartialError{Refused: 1, Err: errAway}
		case 2: // collectors have been seen to count wrongly
			return &PartialError{Refused: len(spans) + 7, Err: errAway}
		default:
			took += uint64(len(spans))
			return nil
		}
	}}
	tracer := NewTracer(TracerConfig{Exporter: collector, Batch: 10, Queue: 50, Interval: time.Millisecond})
	const goroutines, each = 8, 2000
	var group sync.WaitGroup
	for range goroutines {
		group.Go(func() { recordMany(tracer, each) })
	}
	group.Wait()
	if err := tracer.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	s := tracer.Stats()
	if s.Exported+s.Dropped+s.Failed != goroutines*each || s.Exported != took || s.Failed == 0 {
		t.Errorf("%+v: want %d in all, of which %d exported", s, goroutines*each, took)
	}
}

// A shutdown is over when its context ends, or when the collector is away.
func TestTracerShutdownGivesUp(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer func(context.Context, []Span) error
		limit  time.Duration
		took   time.Duration
	}{
		{"context ends", silent, 3 * time.Second, 3 * time.Second},
		{"never answers", silent, time.Hour, 5 * time.Second},
		{"away", slowlyAway, time.Hour, time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				collector := &testCollector{answer: test.answer}
				tracer := NewTracer(TracerConfig{Exporter: collector, Batch: 10, Interval: time.Hour})
				tracer.Record(make([]Span, 95)...)
				ctx, cancel := context.WithTimeout(t.Context(), test.limit)
				defer cancel()
				began := time.Now()
				if err := tracer.Shutdown(ctx); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took != test.took {
					t.Errorf("it took %v, want %v", took, test.took)
				}
				checkStats(t, tracer, SpanStats{Failed: 10, Dropped: 85})
				if collector.closed != 1 {
					t.Error("the exporter was not closed")
				}
			})
		})
	}
}

// A shutdown tries at least once, also when the last export failed.
func TestTracerShutdownAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		collector := &testCollector{answer: away}
		tracer := NewTracer(TracerConfig{Exporter: collector})
		recordMany(tracer, 2)
		time.Sleep(time.Second)
		synctest.Wait()
		collector.answers(nil)
		recordMany(tracer, 3)
		if err := tracer.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		checkStats(t, tracer, SpanStats{Failed: 2, Exported: 3})
	})
}

func TestTracerLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		collector := &testCollector{answer: func(context.Context, []Span) error { return errors.New(strings.Repeat("no ", 1000)) }}
		tracer := NewTracer(TracerConfig{Exporter: collector, Queue: 10, Logger: logger})
		nextExport := func() { time.Sleep(time.Second); synctest.Wait() }
		for range 30 { // a failure each second
			tracer.Record(make([]Span, 10)...)
			tracer.Record(Span{})
			nextExport()
		}
		collector.answers(nil)
		recordMany(tracer, 1)
		nextExport()
		for range 30 { // from now on it fails every other time
			for _, answer := range []func(context.Context, []Span) error{away, nil} {
				collector.answers(answer)
				recordMany(tracer, 1)
				nextExport()
			}
		}
		if err := tracer.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		want := "level=WARN msg=\"tracing: spans can't be exported; requests go on without\" error=\"" + strings.Repeat("no ", 100) + "\"\n" +
			"level=INFO msg=\"tracing: spans are exported again\" after=30s failed=300 dropped=30\n" +
			"level=WARN msg=\"tracing: spans can't be exported; requests go on without\" error=\"nobody there\"\n" +
			"level=INFO msg=\"tracing: spans are exported again\" after=1s failed=1 dropped=0\n"
		if log.String() != want {
			t.Errorf("the log is\n%swant\n%s", log.String(), want)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	for _, bench := range []struct {
		name   string
		answer func(context.Context, []Span) error
	}{{"exported", nil}, {"dropped", silent}} {
		b.Run(bench.name, func(b *testing.B) {
			tracer := NewTracer(TracerConfig{Exporter: benchExporter{bench.answer}, Timeout: time.Hour})
			attributes := make([]Attribute, 20)
			for i := range attributes {
				attributes[i] = Attribute{"http.response.header", "of a typical length"}
			}
			span := Span{Name: "GET /work", Attributes: attributes}
			b.ReportAllocs()
			for b.Loop() {
				tracer.Record(span, span, span)
			}
			b.StopTimer()
			ended, end := context.WithCancel(context.Background())
			end()
			if err := tracer.Shutdown(ended); err != nil {
				b.Error(err)
			}
		})
	}
}

type benchExporter struct {
	answer func(context.Context, []Span) error
}

func (e benchExporter) Export(ctx context.Context, spans []Span) error {
	if e.answer == nil {
		return nil
	}
	return e.answer(ctx, spans)
}

func (benchExporter) Close(context.Context) error { return nil }

// Who asks whether there is room need not make spans that would be dropped: they
// count as if they had been recorded.
func TestTracerHasRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		collector := &testCollector{answer: silent}
		tracer := NewTracer(TracerConfig{Exporter: collector, Queue: 4})
		recordMany(tracer, 3)
		if !tracer.HasRoom(1) {
			t.Error("no room for one more of four")
		}
		checkStats(t, tracer, SpanStats{})
		if tracer.HasRoom(2) {
			t.Error("room for five of four")
		}
		checkStats(t, tracer, SpanStats{Dropped: 2})
		collector.answers(nil)
		if err := tracer.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if tracer.HasRoom(1) {
			t.Error("room in a tracer that was shut down")
		}
		checkStats(t, tracer, SpanStats{Exported: 3, Dropped: 3})
	})
}
