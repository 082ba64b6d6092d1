package tracing

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Exporter sends spans to a collector. A [Tracer] calls its methods one after
// the other, Close last.
type Exporter interface {
	// Export sends spans and returns when they have arrived, or at the latest
	// when ctx ends. It keeps nothing of spans. An error says that all of them
	// are lost, unless it is a [*PartialError].
	Export(ctx context.Context, spans []Span) error
	// Close returns when all that the exporter started has ended.
	Close(ctx context.Context) error
}

// PartialError says that a collector took some spans and refused others.
type PartialError struct {
	Refused int // how many, at most as many as were sent
	Err     error
}

func (e *PartialError) Error() string { return e.Err.Error() }

// Unwrap returns why.
func (e *PartialError) Unwrap() error { return e.Err }

// TracerConfig says how spans get to their collector.
type TracerConfig struct {
	Exporter Exporter
	// Queue bounds the spans that are in memory, waiting or being exported.
	// Default 8192.
	Queue int
	// QueueBytes bounds the memory that they take, by estimate. Default 16 MiB.
	QueueBytes int
	// Batch is the most spans of one export. Default 512.
	Batch int
	// Interval is how long a span waits for others to be exported with it.
	// Default 1s.
	Interval time.Duration
	// Timeout bounds one export with all its retries. Default 5s: in this time
	// the queue must take what comes.
	Timeout time.Duration
	// Logger is told when exporting breaks and when it works again. Default: no
	// log.
	Logger *slog.Logger
}

// batchBytes bounds an export, by estimate: collectors accept 4 MiB over gRPC
// unless they are told otherwise, and the estimate is not exact.
const batchBytes = 1 << 20

// SpanStats counts spans. Each recorded one is counted once in the end.
type SpanStats struct {
	Exported uint64 // the collector has them
	Dropped  uint64 // never sent: the queue was full, the tracer shut down, or see Drop
	Failed   uint64 // sent without success
}

// Tracer hands spans to an exporter in batches. Whoever records one never waits
// for that: what the collector is too slow for is dropped and counted. It may be
// used by several goroutines.
type Tracer struct {
	config TracerConfig
	full   chan struct{} // there is a batch, or the tracer is shutting down
	done   chan struct{} // closed when the worker has ended
	abort  context.CancelFunc

	exported, dropped, failed atomic.Uint64

	mu     sync.Mutex
	queue  []Span // those not taken by the worker yet
	spans  int    // in memory, queue and worker
	bytes  int    // of those, by estimate
	closed bool
}

// NewTracer starts a tracer, which must be shut down.
func NewTracer(config TracerConfig) *Tracer {
	setDefault(&config.Queue, 8192)
	setDefault(&config.QueueBytes, 16<<20)
	setDefault(&config.Batch, 512)
	setDefault(&config.Interval, time.Second)
	setDefault(&config.Timeout, 5*time.Second)
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, abort := context.WithCancel(context.Background())
	t := &Tracer{
		config: config,
		full:   make(chan struct{}, 1),
		done:   make(chan struct{}),
		abort:  abort,
	}
	go t.work(ctx)
	return t
}

func setDefault[T int | time.Duration](value *T, otherwise T) {
	if *value <= 0 {
		*value = otherwise
	}
}

// Record hands over spans, with the slices and all they refer to. It cuts them
// to size in place: see [MaxText], [MaxAttributes] and [MaxEvents]. It never
// blocks: when the queue has no room for all of them, they are dropped and
// counted.
func (t *Tracer) Record(spans ...Span) {
	size := 0
	for i := range spans {
		size += limit(&spans[i])
	}
	t.mu.Lock()
	fits := !t.closed && t.spans+len(spans) <= t.config.Queue && t.bytes+size <= t.config.QueueBytes
	if fits {
		t.queue = append(t.queue, spans...)
		t.spans += len(spans)
		t.bytes += size
	}
	isBatch := len(t.queue) >= t.config.Batch
	t.mu.Unlock()
	if !fits {
		t.Drop(len(spans))
	}
	if isBatch {
		t.wake()
	}
}

// HasRoom reports whether there is room for so many spans more. If there is not,
// they are counted as dropped: who would make them need not.
func (t *Tracer) HasRoom(spans int) bool {
	t.mu.Lock()
	fits := !t.closed && t.spans+spans <= t.config.Queue && t.bytes < t.config.QueueBytes
	t.mu.Unlock()
	if !fits {
		t.Drop(spans)
	}
	return fits
}

// Drop counts spans as dropped that are not worth making.
func (t *Tracer) Drop(spans int) { t.dropped.Add(uint64(spans)) }

func (t *Tracer) wake() {
	select {
	case t.full <- struct{}{}:
	default: // it is about to look anyway
	}
}

// Stats returns what became of the spans so far.
func (t *Tracer) Stats() SpanStats {
	return SpanStats{Exported: t.exported.Load(), Dropped: t.dropped.Load(), Failed: t.failed.Load()}
}

// Shutdown exports what is queued and closes the exporter. It gives up when ctx
// ends or when an export fails: what is left then is dropped. Spans that are
// recorded later are dropped too. It returns when nothing of the tracer runs any
// more, and may be called more than once.
func (t *Tracer) Shutdown(ctx context.Context) error {
	t.mu.Lock()
	first := !t.closed
	t.closed = true
	t.mu.Unlock()
	stop := context.AfterFunc(ctx, t.abort)
	defer stop()
	t.wake()
	<-t.done
	if !first {
		return nil
	}
	t.abort()
	return t.config.Exporter.Close(ctx)
}

// work exports what is queued, every interval or batch, until the tracer is
// shut down. ctx ends when a shutdown takes too long.
func (t *Tracer) work(ctx context.Context) {
	defer close(t.done)
	interval := time.NewTicker(t.config.Interval)
	defer interval.Stop()
	health := exportHealth{logger: t.config.Logger}
	var spans []Span
	lost := false // shutting down, and the collector is away
	for closed := false; !closed; {
		select {
		case <-t.full:
		case <-interval.C:
		}
		spans, closed = t.take(spans[:0])
		for rest := spans; len(rest) > 0; {
			n, bytes := t.cut(rest)
			if lost {
				t.Drop(n)
			} else {
				failed, err := t.export(ctx, rest[:n])
				health.judge(time.Now(), err, t.Stats())
				lost = failed == n && t.isClosed()
			}
			clear(rest[:n])
			t.release(n, bytes)
			rest = rest[n:]
		}
	}
}

// take moves what is queued to batch, which is empty, and leaves its memory to
// the queue.
func (t *Tracer) take(batch []Span) (_ []Span, closed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	taken := t.queue
	t.queue = batch
	return taken, t.closed
}

// cut returns how many of spans make up one export, at least one, and their
// size.
func (t *Tracer) cut(spans []Span) (n, bytes int) {
	for n < len(spans) && n < t.config.Batch {
		size := spanSize(&spans[n])
		if n > 0 && bytes+size > batchBytes {
			break
		}
		n, bytes = n+1, bytes+size
	}
	return n, bytes
}

func (t *Tracer) release(n, bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.spans -= n
	t.bytes -= bytes
}

func (t *Tracer) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

// export counts what becomes of spans and returns how many failed, and why.
func (t *Tracer) export(ctx context.Context, spans []Span) (failed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.config.Timeout)
	defer cancel()
	err = t.config.Exporter.Export(ctx, spans)
	var partial *PartialError
	switch {
	case errors.As(err, &partial):
		failed = min(max(partial.Refused, 0), len(spans))
	case err != nil:
		failed = len(spans)
	}
	t.failed.Add(uint64(failed))
	t.exported.Add(uint64(len(spans) - failed))
	return failed, err
}
