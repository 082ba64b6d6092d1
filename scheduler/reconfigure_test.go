package scheduler

import (
	"testing"
	"testing/synctest"
	"time"

	"overtake/classifier"
)

// limited is twoClasses with another limit.
func limited(limit int) Config {
	cfg := twoClasses()
	cfg.Limit = limit
	return cfg
}

func TestReconfigureLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, limited(1))
		leases := make(chan Lease, 4)
		for range 4 {
			go func() { leases <- mustAcquire(t, s, Work{}) }()
		}
		synctest.Wait()
		wantRunning(t, s, 1)
		s.Reconfigure(limited(3))
		synctest.Wait()
		wantRunning(t, s, 3)

		s.Reconfigure(limited(1))
		for range 2 {
			(<-leases).Release()
			synctest.Wait()
		}
		wantRunning(t, s, 1)
		if got := s.Snapshot().Classes[0].Waiting; got != 1 {
			t.Errorf("%d wait after the cut, want 1", got)
		}
		for range 2 {
			(<-leases).Release()
			synctest.Wait()
		}
		wantRunning(t, s, 0)
	})
}

func TestReconfigureRefuses(t *testing.T) {
	s := newScheduler(t, twoClasses())
	wantPanic(t, func() { s.Reconfigure(limited(0)) })
	wantPanic(t, func() { s.Reconfigure(limited(Unlimited + 1)) })
	wantPanic(t, func() { s.Reconfigure(threeClasses(1)) })
	dry, two := twoClasses(), twoClasses()
	dry.DryRun, two.Servers = true, 2
	wantPanic(t, func() { s.Reconfigure(dry) })
	wantPanic(t, func() { s.Reconfigure(two) })
	mustAcquire(t, s, Work{}).Release()
}

// A limit becomes adaptive, gets other bounds and becomes fixed again while work
// runs and waits: every slot comes back, and all that waited is done, in order.
func TestReconfigureKindOfLimit(t *testing.T) {
	adaptive := func(least, initial, most int) Config {
		cfg := limited(initial)
		cfg.Adaptive = &AdaptiveConfig{Min: least, Max: most}
		return cfg
	}
	for name, dry := range map[string]bool{"for real": false, "dry run": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				configs := []Config{limited(2), adaptive(1, 4, 8), adaptive(16, 16, 16), adaptive(1, 1, 2), limited(Unlimited), adaptive(2, 2, 4), limited(2)}
				limits := []int{2, 4, 16, 2, Unlimited, 2, 2}
				for i := range configs {
					configs[i].DryRun = dry
				}
				s := newScheduler(t, configs[0])
				const each = 40
				done := make(chan struct{})
				for i, cfg := range configs {
					s.Reconfigure(cfg)
					if got := s.Snapshot().Limit; got != limits[i] {
						t.Errorf("configuration %d: limit %d, want %d", i, got, limits[i])
					}
					for n := range each {
						go func() {
							lease := mustAcquire(t, s, Work{Class: classifier.Class(n % 2), Flow: uint64(n)})
							time.Sleep(10 * time.Millisecond)
							lease.Release()
							done <- struct{}{}
						}()
					}
					time.Sleep(5 * time.Millisecond)
				}
				for range each * len(configs) {
					<-done
				}
				wantRunning(t, s, 0)
				if got := s.Snapshot().Limit; got != 2 {
					t.Errorf("limit %d at the end, want 2", got)
				}
			})
		})
	}
}

// What waits keeps its place though no more may wait, and is served by the reserve
// that there is now.
func TestReconfigureClasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := limited(2)
		cfg.Classes[1].MaxWait = time.Minute
		s := newScheduler(t, cfg)
		first, second := mustAcquire(t, s, Work{Class: 1}), mustAcquire(t, s, Work{Class: 1})
		waited := make(chan error)
		go func() {
			lease, err := s.Acquire(t.Context(), Work{Class: 1})
			if err == nil {
				lease.Release()
			}
			waited <- err
		}()
		synctest.Wait()

		less := limited(2)
		less.Classes[0].Reserve = 1
		less.Classes[1].MaxWaiting, less.Classes[1].MaxWait = 0, time.Second
		s.Reconfigure(less)
		_, err := s.Acquire(t.Context(), Work{Class: 1})
		wantShed(t, err, 1, QueueFull)
		first.Release()
		time.Sleep(30 * time.Second) // longer than may be waited now
		if got := s.Snapshot(); got.Classes[1].Waiting != 1 || got.Running != 1 {
			t.Errorf("beside the reserve %d run and %d wait, want 1 and 1", got.Running, got.Classes[1].Waiting)
		}
		mustAcquire(t, s, Work{}).Release() // in the reserve
		second.Release()
		if err := <-waited; err != nil {
			t.Errorf("what waited for longer than may be waited now: %v", err)
		}
	})
}

// An automatic reserve comes and goes.
func TestReconfigureAutoReserve(t *testing.T) {
	cfg := limited(8)
	s := newScheduler(t, cfg)
	cfg = limited(8)
	cfg.Classes[0].Objective, cfg.Classes[0].AutoReserve = 10*time.Millisecond, true
	s.Reconfigure(cfg)
	if auto := s.Snapshot().Classes[0].Auto; auto == nil || auto.Objective != 10*time.Millisecond {
		t.Errorf("with an automatic reserve the snapshot has %+v", auto)
	}
	cfg.Classes[0].Objective = 20 * time.Millisecond
	s.Reconfigure(cfg)
	if auto := s.Snapshot().Classes[0].Auto; auto == nil || auto.Objective != 20*time.Millisecond {
		t.Errorf("with another objective the snapshot has %+v", auto)
	}
	s.Reconfigure(limited(8))
	if auto := s.Snapshot().Classes[0].Auto; auto != nil {
		t.Errorf("with a fixed reserve the snapshot has %+v", auto)
	}
}
