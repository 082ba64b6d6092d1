package scheduler

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"overtake/classifier"
)

// TestCancelRacesWithDispatch has many contexts end just when slots come free.
// Whichever wins, no slot is lost and none is handed out twice.
func TestCancelRacesWithDispatch(t *testing.T) {
	const limit, clients, rounds = 4, 32, 300
	cfg := threeClasses(limit)
	s := newScheduler(t, cfg)
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(client), 0))
			for range rounds {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(100))*time.Microsecond)
				w := Work{Class: classifier.Class(random.IntN(3)), Flow: uint64(client), Bytes: 10}
				if random.IntN(4) == 0 {
					w.Deadline = time.Now().Add(time.Duration(random.IntN(100)) * time.Microsecond)
				}
				lease, err := s.Acquire(ctx, w)
				if err == nil {
					if n := s.Snapshot().Running; n > limit {
						t.Errorf("%d slots in use, limit %d", n, limit)
					}
					lease.Release()
				}
				cancel()
			}
		})
	}
	wg.Wait()

	snap := s.Snapshot()
	var ended uint64
	for i, class := range snap.Classes {
		ended += class.Dispatched + class.Withdrawn + class.ShedBy(Deadline)
		if class.Waiting != 0 || class.WaitingBytes != 0 || class.Running != 0 {
			t.Errorf("class %d: %d wait with %d bytes, %d run, want none", i, class.Waiting, class.WaitingBytes, class.Running)
		}
	}
	if ended > clients*rounds {
		t.Errorf("%d ends for %d arrivals", ended, clients*rounds)
	}
	for n := range limit {
		if _, ok := s.TryAcquire(Work{}); !ok {
			t.Fatalf("only %d of %d slots can be had", n, limit)
		}
	}
	wantRunning(t, s, limit)
}

// TestOneOrder lets many threads compete for one slot: however many there are, what
// runs is ordered by class over all of them, and inside a class the flows take
// turns.
func TestOneOrder(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, threads := range []int{1, 2, 8, 32} {
		runtime.GOMAXPROCS(threads)
		t.Run(fmt.Sprintf("%d threads", threads), testOneOrder)
	}
}

func testOneOrder(t *testing.T) {
	const flows, each = 8, 20
	cfg := Config{Limit: 1, Classes: []ClassConfig{{MaxWaiting: 1000}, {MaxWaiting: 1000}, {MaxWaiting: 1000}}}
	s := newScheduler(t, cfg)
	busy := mustAcquire(t, s, Work{})
	type run struct {
		class classifier.Class
		flow  int
	}
	var order []run // guarded by the slot
	var wg sync.WaitGroup
	for range each {
		for flow := range flows {
			for class := range classifier.Class(3) {
				wg.Go(func() {
					lease := mustAcquire(t, s, Work{Class: class, Flow: uint64(flow)})
					order = append(order, run{class, flow})
					lease.Release()
				})
			}
		}
	}
	for waiting := 0; waiting < 3*flows*each; {
		runtime.Gosched()
		waiting = 0
		for _, class := range s.Snapshot().Classes {
			waiting += class.Waiting
		}
	}
	busy.Release()
	wg.Wait()

	if !slices.IsSortedFunc(order, func(a, b run) int { return int(a.class) - int(b.class) }) {
		t.Error("the classes did not run in their order")
	}
	for turn := range slices.Chunk(order, flows) {
		seen := make(map[int]bool)
		for _, r := range turn {
			seen[r.flow] = true
		}
		if len(seen) != flows {
			t.Fatalf("%d of %d flows had their turn in %v", len(seen), flows, turn)
		}
	}
}
