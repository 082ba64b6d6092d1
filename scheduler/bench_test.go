package scheduler

import (
	"context"
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
