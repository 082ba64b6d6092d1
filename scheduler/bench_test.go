package scheduler

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"overtake/classifier"
)

// threeClasses is the contract's default trio in front of limit slots.
func threeClasses(limit int) Config {
	return Config{Limit: limit, Classes: []ClassConfig{
		{MaxWaiting: 1000, MaxWait: time.Second},
		{MaxWaiting: 1000, MaxWait: 10 * time.Second, Floor: 1000},
		{MaxWaiting: 1000, MaxWait: 30 * time.Second, Floor: 500},
	}}
}

func newScheduler(tb testing.TB, cfg Config) *Scheduler {
	tb.Helper()
	s, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func BenchmarkUncontended(b *testing.B) {
	s := newScheduler(b, threeClasses(8))
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		lease, err := s.Acquire(ctx, Work{Class: 1, Flow: 7})
		if err != nil {
			b.Fatal(err)
		}
		lease.Release()
	}
}

// BenchmarkContended has 64 goroutines compete for 8 slots, so that nearly every
// acquire waits for another's release.
func BenchmarkContended(b *testing.B) {
	s := newScheduler(b, threeClasses(8))
	ctx := context.Background()
	b.ReportAllocs()
	b.SetParallelism(32) // times GOMAXPROCS, 2 on the reference machine
	b.RunParallel(func(pb *testing.PB) {
		class := classifier.Class(0)
		for pb.Next() {
			class = (class + 1) % 3
			lease, err := s.Acquire(ctx, Work{Class: class, Flow: uint64(class)})
			if err != nil {
				b.Error(err)
				return
			}
			lease.Release()
		}
	})
}

// BenchmarkWaiting100k measures a dispatch and an arrival while 100,000 tickets of
// 10,000 flows wait, and how much memory a ticket takes that waits.
func BenchmarkWaiting100k(b *testing.B) {
	const waiting, flows = 100_000, 10_000
	cfg := threeClasses(1)
	for i := range cfg.Classes {
		cfg.Classes[i].MaxWaiting = waiting
	}
	c := newCore(cfg)
	busy := &ticket{}
	c.arrive(busy, 1)
	c.decided = c.decided[:0]

	before := heapInUse()
	for i := range waiting {
		c.arrive(&ticket{class: i % 3, flow: uint64(i % flows)}, 1)
	}
	perTicket := float64(heapInUse()-before) / waiting

	now, running := time.Duration(1), busy.slot
	b.ReportAllocs()
	for b.Loop() {
		now++
		c.release(running, Done, now)
		c.dispatch(now)
		t := c.decided[0]
		c.decided = c.decided[:0]
		running = t.slot
		*t = ticket{class: t.class, flow: t.flow}
		c.arrive(t, now)
	}
	b.ReportMetric(perTicket, "B/waiting")
	if c.waiting != waiting {
		b.Fatalf("%d wait, want %d", c.waiting, waiting)
	}
}

// BenchmarkAcquireWaiting100k is the same through the shell: one goroutine per
// waiting ticket, as in a gateway.
func BenchmarkAcquireWaiting100k(b *testing.B) {
	const waiting, flows = 100_000, 10_000
	cfg := threeClasses(1)
	for i := range cfg.Classes {
		cfg.Classes[i] = ClassConfig{MaxWaiting: waiting}
	}
	s := newScheduler(b, cfg)
	busy := mustAcquire(b, s, Work{})
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	before := heapInUse()
	for i := range waiting {
		wg.Go(func() {
			if lease, err := s.Acquire(ctx, Work{Class: 2, Flow: uint64(i % flows)}); err == nil {
				lease.Release()
			}
		})
	}
	for s.Snapshot().Classes[2].Waiting < waiting {
		runtime.Gosched()
	}
	perTicket := float64(heapInUse()-before) / waiting

	// Urgent work arrives and waits; the slot comes free and is handed to it, past
	// all that waits.
	next := make(chan Lease)
	arrivals := make(chan struct{})
	wg.Go(func() {
		for range arrivals {
			next <- mustAcquire(b, s, Work{})
		}
	})
	b.ReportAllocs()
	for b.Loop() {
		arrivals <- struct{}{}
		for waits := false; !waits; runtime.Gosched() {
			s.mu.Lock()
			waits = s.core.classes[0].waiting.n > 0
			s.mu.Unlock()
		}
		busy.Release()
		busy = <-next
	}
	close(arrivals)
	b.ReportMetric(perTicket, "B/waiting")
	cancel()
	wg.Wait()
	busy.Release()
}

// heapInUse is the live heap and the stacks.
func heapInUse() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc + stats.StackInuse
}
