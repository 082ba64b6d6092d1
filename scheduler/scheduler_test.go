package scheduler

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"overtake/classifier"
)

// twoClasses is one slot for urgent work, class 0, and other work, class 1.
func twoClasses() Config {
	return Config{Limit: 1, Classes: []ClassConfig{{MaxWaiting: 1000}, {MaxWaiting: 1000}}}
}

func mustAcquire(tb testing.TB, s *Scheduler, w Work) Lease {
	tb.Helper()
	lease, err := s.Acquire(context.Background(), w)
	if err != nil {
		tb.Fatalf("Acquire(%+v): %v", w, err)
	}
	return lease
}

// wantShed fails unless err is a shed of class for reason.
func wantShed(tb testing.TB, err error, class classifier.Class, reason Reason) {
	tb.Helper()
	var shed *ShedError
	if !errors.As(err, &shed) || shed.Class != class || shed.Reason != reason {
		tb.Errorf("got %v, want shed of class %d: %v", err, class, reason)
	}
}

func wantRunning(tb testing.TB, s *Scheduler, want int) {
	tb.Helper()
	if got := s.Snapshot().Running; got != want {
		tb.Errorf("%d slots in use, want %d", got, want)
	}
}

func TestAcquireWakesInClassOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, twoClasses())
		busy := mustAcquire(t, s, Work{Class: 1})
		var order []string
		for _, w := range []struct {
			name  string
			class classifier.Class
		}{{"batch 1", 1}, {"batch 2", 1}, {"urgent 1", 0}, {"urgent 2", 0}} {
			go func() {
				lease := mustAcquire(t, s, Work{Class: w.class})
				order = append(order, w.name)
				time.Sleep(time.Second)
				lease.Release()
			}()
			synctest.Wait() // it waits
		}
		if order != nil {
			t.Errorf("%v did not wait for the slot", order)
		}
		time.Sleep(time.Second)
		busy.Release()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if want := []string{"urgent 1", "urgent 2", "batch 1", "batch 2"}; !slices.Equal(order, want) {
			t.Errorf("ran in the order %v, want %v", order, want)
		}
		snap := s.Snapshot()
		if got, want := snap.Classes[1].WorstWait, 4*time.Second; got != want {
			t.Errorf("batch waited %v at worst, want %v", got, want)
		}
		if got := snap.Classes[0].Overtakes; got != 2 {
			t.Errorf("%d overtakes, want 2", got)
		}
	})
}

func TestAcquireReportsHowLongItWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, twoClasses())
		busy := mustAcquire(t, s, Work{})
		time.AfterFunc(30*time.Millisecond, busy.Release)
		lease := mustAcquire(t, s, Work{})
		if lease.Waited != 30*time.Millisecond || busy.Waited != 0 {
			t.Errorf("waited %v and before %v, want 30ms and 0", lease.Waited, busy.Waited)
		}
		lease.Release()
	})
}

func TestAcquireEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, twoClasses())
		busy := mustAcquire(t, s, Work{})
		gone := errors.New("client gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(gone) })
		if _, err := s.Acquire(ctx, Work{Class: 1}); err != gone {
			t.Errorf("got %v, want the cause", err)
		}
		if _, err := s.Acquire(ctx, Work{Class: 1}); err != gone {
			t.Errorf("with a context that has ended: got %v, want the cause", err)
		}
		if got := s.Snapshot().Classes[1]; got.Waiting != 0 || got.Withdrawn != 1 {
			t.Errorf("%d wait, %d withdrawn, want 0 and 1", got.Waiting, got.Withdrawn)
		}
		busy.Release()
		wantRunning(t, s, 0)
	})
}

func TestEndedContextDisplacesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, Config{Limit: 1, Classes: []ClassConfig{{MaxWaiting: 1}, {MaxWaiting: 1}}})
		busy := mustAcquire(t, s, Work{})
		go func() { mustAcquire(t, s, Work{Class: 1}).Release() }()
		go func() { mustAcquire(t, s, Work{Class: 0}).Release() }()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Acquire(ctx, Work{Class: 0}); err != context.Canceled {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		busy.Release()
		synctest.Wait()
		if got := s.Snapshot().Classes[1].ShedBy(Displaced); got != 0 {
			t.Errorf("%d displaced, want 0", got)
		}
	})
}

func TestAcquireShedsInTime(t *testing.T) {
	tests := []struct {
		name     string
		maxWait  time.Duration
		deadline time.Duration // from now; 0 for none
		kept     bool
		want     Reason
		after    time.Duration
	}{
		{name: "max wait", maxWait: time.Second, want: MaxWait, after: time.Second},
		{name: "deadline", deadline: 2 * time.Second, want: Deadline, after: 2 * time.Second},
		{name: "max wait before deadline", maxWait: time.Second, deadline: 2 * time.Second, want: MaxWait, after: time.Second},
		{name: "deadline before max wait", maxWait: 2 * time.Second, deadline: time.Second, want: Deadline, after: time.Second},
		{name: "kept", maxWait: time.Second, deadline: 2 * time.Second, kept: true, want: Deadline, after: 2 * time.Second},
		{name: "deadline passed", deadline: -time.Second, want: Deadline},
		{name: "deadline before the scheduler was made", deadline: -time.Hour, want: Deadline},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScheduler(t, Config{Limit: 1, Classes: []ClassConfig{{MaxWaiting: 1, MaxWait: test.maxWait}}})
				busy := mustAcquire(t, s, Work{})
				defer busy.Release()
				time.Sleep(time.Minute)
				w := Work{Kept: test.kept}
				if test.deadline != 0 {
					w.Deadline = time.Now().Add(test.deadline)
				}
				began := time.Now()
				_, err := s.Acquire(t.Context(), w)
				wantShed(t, err, 0, test.want)
				if took := time.Since(began); took != test.after {
					t.Errorf("after %v, want %v", took, test.after)
				}
			})
		})
	}
}

// A passed deadline is refused also where a slot is free.
func TestPassedDeadlineNeverRuns(t *testing.T) {
	s := newScheduler(t, twoClasses())
	w := Work{Deadline: time.Now()}
	if _, ok := s.TryAcquire(w); ok {
		t.Error("TryAcquire succeeded")
	}
	_, err := s.Acquire(t.Context(), w)
	wantShed(t, err, 0, Deadline)
	wantRunning(t, s, 0)
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, twoClasses())
		busy := mustAcquire(t, s, Work{})
		var refused atomic.Int32
		for class := range classifier.Class(2) {
			go func() {
				_, err := s.Acquire(t.Context(), Work{Class: class})
				wantShed(t, err, class, Draining)
				refused.Add(1)
			}()
		}
		synctest.Wait()
		s.Drain()
		synctest.Wait()
		if n := refused.Load(); n != 2 {
			t.Errorf("%d of 2 heard of it", n)
		}
		busy.Release()
		wantRunning(t, s, 0)
		if _, ok := s.TryAcquire(Work{}); ok {
			t.Error("TryAcquire succeeded after Drain")
		}
		_, err := s.Acquire(t.Context(), Work{Class: 1})
		wantShed(t, err, 1, Draining)
	})
}

func TestTryAcquire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := twoClasses()
		cfg.Limit, cfg.Classes[0].Reserve = 2, 1
		s := newScheduler(t, cfg)
		first, ok := s.TryAcquire(Work{Class: 1})
		if !ok {
			t.Fatal("a free slot cannot be had")
		}
		if lease, ok := s.TryAcquire(Work{Class: 1}); ok || lease != (Lease{}) {
			t.Errorf("got %v, %t for a reserved slot", lease, ok)
		}
		go func() { mustAcquire(t, s, Work{Class: 1}).Release() }()
		synctest.Wait()
		if _, ok := s.TryAcquire(Work{Class: 0}); ok {
			t.Error("TryAcquire overtakes")
		}
		first.Release()
		synctest.Wait()
		wantRunning(t, s, 0)
	})
}

func wantPanic(tb testing.TB, f func()) {
	tb.Helper()
	defer func() {
		if recover() == nil {
			tb.Error("did not panic")
		}
	}()
	f()
}

// A server recovers from the panic of one request; the others must go on.
func TestSchedulerOutlivesPanics(t *testing.T) {
	s := newScheduler(t, twoClasses())
	lease := mustAcquire(t, s, Work{})
	lease.Release()
	wantPanic(t, lease.Release)
	wantPanic(t, func() { s.TryAcquire(Work{Class: 7}) })
	wantPanic(t, func() { s.Acquire(t.Context(), Work{Class: 7}) })
	busy := mustAcquire(t, s, Work{})
	wantPanic(t, func() { s.Acquire(t.Context(), Work{Class: 7}) })
	busy.Release()
	wantRunning(t, s, 0)
}

func TestShedError(t *testing.T) {
	var err error = &ShedError{Class: 2, Reason: Deadline}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error("a passed deadline is not context.DeadlineExceeded")
	}
	if other := error(&ShedError{Reason: MaxWait}); errors.Is(other, context.DeadlineExceeded) {
		t.Error("max wait is context.DeadlineExceeded")
	}
	if got, want := err.Error(), "scheduler: shed work of class 2: deadline"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var names []string
	for _, reason := range Reasons() {
		names = append(names, reason.String())
	}
	if got, want := strings.Join(names, " "), "queue_full queue_bytes max_wait deadline displaced draining"; got != want {
		t.Errorf("reasons %q, want those of the contract: %q", got, want)
	}
	if got := Reason(99).String(); got != "reason(99)" {
		t.Errorf("got %q for an unknown reason", got)
	}
}

func TestSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := threeClasses(2)
		cfg.Classes[0].Reserve = 1
		s := newScheduler(t, cfg)
		first := mustAcquire(t, s, Work{Class: 2})
		second := mustAcquire(t, s, Work{Class: 0})
		go func() { mustAcquire(t, s, Work{Class: 2, Bytes: 100}).Release() }()
		go func() { mustAcquire(t, s, Work{Class: 2, Bytes: 7, Kept: true}).Release() }()
		go func() { mustAcquire(t, s, Work{Class: 2, Bytes: -1}).Release() }()
		synctest.Wait()
		time.Sleep(3 * time.Second)
		snap := s.Snapshot()
		if snap.Limit != 2 || snap.Running != 2 {
			t.Errorf("%d of %d slots in use, want 2 of 2", snap.Running, snap.Limit)
		}
		got := snap.Classes[2]
		got.Counts = Counts{}
		if want := (ClassSnapshot{Running: 1, Waiting: 3, WaitingBytes: 100, Oldest: 3 * time.Second}); got != want {
			t.Errorf("class 2 is %+v, want %+v", got, want)
		}
		if got := snap.Classes[0]; got.Running != 1 || got.Reserve != 1 || got.Dispatched != 1 || got.Queued != 0 {
			t.Errorf("class 0 is %+v, want 1 running, reserve 1, 1 dispatched, 0 queued", got)
		}
		first.Release()
		second.Release()
	})
}

func TestNewReportsEveryProblem(t *testing.T) {
	_, err := New(Config{Classes: []ClassConfig{
		{Reserve: -1, ReserveShare: 10_001, Floor: -1, MaxWaiting: -1},
		{Floor: 9_002},
	}})
	if err == nil {
		t.Fatal("New accepts it")
	}
	for _, want := range []string{"limit 0", "reserve -1", "reserve share 10001", "floor -1", "a bound", "floors sum to 9001"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q says nothing of %q", err, want)
		}
	}
	if _, err := New(Config{Limit: 1}); err == nil {
		t.Error("New accepts no classes")
	}
}

// Bounds that mean "none" must not overflow when they are summed.
func TestHugeBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		huge := ClassConfig{MaxWaiting: 1<<63 - 1, MaxWaitingBytes: 1<<63 - 1, MaxWait: 1<<63 - 1, ReserveShare: whole}
		s := newScheduler(t, Config{Limit: 1, Classes: []ClassConfig{huge, huge, huge}})
		busy := mustAcquire(t, s, Work{})
		for class := range classifier.Class(3) {
			go func() { mustAcquire(t, s, Work{Class: class, Bytes: 1 << 40}).Release() }()
		}
		synctest.Wait()
		busy.Release()
		synctest.Wait()
		s.Reconfigure(Config{Limit: Unlimited, Classes: []ClassConfig{huge, huge, huge}})
		mustAcquire(t, s, Work{}).Release()
	})
}

func TestUncontendedAllocatesNothing(t *testing.T) {
	s := newScheduler(t, threeClasses(8))
	ctx, w := context.Background(), Work{Class: 1, Flow: 7, Deadline: time.Now().Add(time.Hour)}
	allocs := testing.AllocsPerRun(1000, func() {
		lease, err := s.Acquire(ctx, w)
		if err != nil {
			t.Fatal(err)
		}
		lease.Release()
	})
	if allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}

// Hopeless work is refused without waiting, also when a slot is free.
func TestAcquireShedsHopelessWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, twoClasses())
		for range fewDurations {
			lease := mustAcquire(t, s, Work{Class: 1})
			time.Sleep(50 * time.Millisecond)
			lease.Release()
		}
		_, err := s.Acquire(t.Context(), Work{Class: 1, Deadline: time.Now().Add(40 * time.Millisecond)})
		wantShed(t, err, 1, Deadline)
		if _, ok := s.TryAcquire(Work{Class: 1, Deadline: time.Now().Add(40 * time.Millisecond)}); ok {
			t.Error("TryAcquire lets it start")
		}
		mustAcquire(t, s, Work{Class: 1, Deadline: time.Now().Add(60 * time.Millisecond)}).Release()
		mustAcquire(t, s, Work{Class: 0, Deadline: time.Now().Add(time.Millisecond)}).Release() // another class
	})
}

func TestDryRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := twoClasses()
		cfg.DryRun, cfg.Servers = true, 2
		cfg.Adaptive = &AdaptiveConfig{Min: 1, Max: 100}
		s := newScheduler(t, cfg)
		var leases []Lease
		for range 10 {
			leases = append(leases, mustAcquire(t, s, Work{Class: 1}))
		}
		if lease, ok := s.TryAcquire(Work{Class: 0}); !ok {
			t.Error("TryAcquire refuses")
		} else {
			lease.Release()
		}
		if snap := s.Snapshot(); snap.Running != 2 || snap.Classes[1].Waiting != 8 || snap.Classes[0].Withdrawn != 1 {
			t.Errorf("in a dry run of 11 arrivals at 2 slots, the snapshot is %+v", snap)
		}
		on := make([]int, 2)
		for _, lease := range leases {
			on[lease.Server]++
		}
		if on[0] != 5 || on[1] != 5 {
			t.Errorf("the servers got %v", on)
		}
		s.SetDown(1, true)
		for range 4 {
			lease := mustAcquire(t, s, Work{Class: 0})
			if lease.Server != 0 {
				t.Errorf("got server %d, which is down", lease.Server)
			}
			leases = append(leases, lease)
		}
		s.Drain()
		leases = append(leases, mustAcquire(t, s, Work{Class: 0}))
		for _, lease := range leases {
			lease.Release()
		}
		wantPanic(t, leases[0].Release)
		wantRunning(t, s, 0)
		if snap := s.Snapshot(); snap.Classes[1].ShedBy(Draining) != 8 || snap.Classes[1].Waiting != 0 {
			t.Errorf("after the drain, class 1 is %+v", snap.Classes[1])
		}
	})
}

// Later for less urgent classes, in any case; and as long as it takes for what
// waits.
func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, threeClasses(1))
		if first := s.RetryAfter(0); first < soonest || first > 2*soonest {
			t.Errorf("with nothing waiting, try again after %v", first)
		}
		// Ten per second go through, 300 of batch wait: half a minute's work.
		ctx, cancel := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		for range 400 {
			waiting.Go(func() {
				lease, err := s.Acquire(ctx, Work{Class: 2})
				if err == nil {
					time.Sleep(100 * time.Millisecond)
					lease.Release()
				}
			})
		}
		time.Sleep(10 * time.Second)
		for range 100 {
			retry := []time.Duration{s.RetryAfter(0), s.RetryAfter(1), s.RetryAfter(2)}
			if !slices.IsSorted(retry) || retry[0] < soonest || retry[0] > 3*time.Second {
				t.Fatalf("try again after %v, want it later for less urgent classes", retry)
			}
			if retry[2] < 25*time.Second || retry[2] > 50*time.Second {
				t.Fatalf("batch may try again after %v, 30 s of work wait", retry[2])
			}
		}
		if a, b := s.RetryAfter(2), s.RetryAfter(2); a == b {
			t.Errorf("twice %v, without jitter", a)
		}
		cancel()
		waiting.Wait()
	})
}

// A slot that is free for an automatic reserve is used when it need not be free
// any more, though nothing happens.
func TestAutoReserveGivesBackByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := twoClasses()
		cfg.Limit = 4
		cfg.Classes[0].Objective, cfg.Classes[0].AutoReserve = time.Millisecond, true
		s := newScheduler(t, cfg)
		s.mu.Lock()
		s.core.classes[0].auto.slots, s.core.classes[0].auto.most = 3, 4
		s.core.share()
		s.mu.Unlock()
		var running []Lease
		running = append(running, mustAcquire(t, s, Work{Class: 1}))
		got := make(chan Lease)
		go func() { got <- mustAcquire(t, s, Work{Class: 1}) }()
		synctest.Wait()
		wantRunning(t, s, 1)
		began := time.Now()
		running = append(running, <-got)
		if waited := time.Since(began); waited > time.Minute {
			t.Errorf("the slot was kept free for %v", waited)
		}
		for _, lease := range running {
			lease.Release()
		}
	})
}

// A probe ends by itself, too.
func TestProbeEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := twoClasses()
		cfg.Limit, cfg.Adaptive = 4, &AdaptiveConfig{Min: 2, Max: 8}
		s := newScheduler(t, cfg)
		running := []Lease{mustAcquire(t, s, Work{Class: 1}), mustAcquire(t, s, Work{Class: 1})}
		s.mu.Lock()
		s.core.servers[0].limiter.beginProbe(s.now())
		s.core.follow(0)
		s.mu.Unlock()
		began := time.Now()
		running = append(running, mustAcquire(t, s, Work{Class: 1}))
		if waited := time.Since(began); waited == 0 || waited > time.Second {
			t.Errorf("the probe held work back for %v", waited)
		}
		for _, lease := range running {
			lease.Release()
		}
	})
}

func TestServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := twoClasses()
		cfg.Servers = 2
		s := newScheduler(t, cfg)
		a, b := mustAcquire(t, s, Work{}), mustAcquire(t, s, Work{})
		if a.Server == b.Server {
			t.Errorf("both on server %d, which has one slot", a.Server)
		}
		s.SetDown(b.Server, true)
		if snap := s.Snapshot(); snap.Limit != 1 || !snap.Servers[b.Server].Down || snap.Servers[a.Server].Running != 1 {
			t.Errorf("with a server down the snapshot is %+v", snap)
		}
		b.ReleaseAs(Unmeasured)
		waits := make(chan Lease)
		go func() { waits <- mustAcquire(t, s, Work{}) }()
		synctest.Wait()
		a.Release()
		if c := <-waits; c.Server != a.Server {
			t.Errorf("work went to server %d, which is down", c.Server)
		} else {
			s.SetDown(b.Server, false)
			d, ok := s.TryAcquire(Work{})
			if !ok || d.Server != b.Server {
				t.Errorf("got %t, server %d: the server is back", ok, d.Server)
			}
			d.Release()
			c.Release()
		}
	})
}
