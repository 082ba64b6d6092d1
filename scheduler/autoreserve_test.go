package scheduler

import (
	"fmt"
	"testing"
	"time"
)

// S6: the objective holds, and costs less than a fixed reserve that meets it.
func TestAutoReserveMeetsObjective(t *testing.T) {
	const objective, end = 10 * time.Millisecond, 2 * time.Minute
	for _, workers := range []int{8, 16, 64} {
		for _, exponential := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d workers, exponential %t", workers, exponential), func(t *testing.T) {
				t.Parallel()
				run := func(cfg Config) (wait time.Duration, batch float64) {
					s := newSimulation(cfg, appModel{workers: workers, exponential: exponential}, withBatch(workers, 2), 1)
					s.run(5*time.Second, end)
					if s.shed[0] > 0 {
						t.Errorf("%d interactive refused", s.shed[0])
					}
					return quantile(s.waits[0], 0.99), float64(s.done[1]) / (end - 5*time.Second).Seconds()
				}
				cfg := twoKinds(workers)
				cfg.Classes[0].Objective, cfg.Classes[0].AutoReserve = objective, true
				wait, batch := run(cfg)
				t.Logf("auto: p99 of the wait %v, %.1f batch/s", wait, batch)
				if wait > objective*5/4 {
					t.Errorf("p99 of the wait is %v, objective %v", wait, objective)
				}
				// What as long a wait costs with fixed reserves, of which two would take
				// turns.
				lastWait, lastBatch := time.Duration(0), 0.0
				for reserve := range workers {
					cfg := twoKinds(workers)
					cfg.Classes[0].Reserve = reserve
					fixedWait, fixedBatch := run(cfg)
					t.Logf("reserve %d: p99 of the wait %v, %.1f batch/s", reserve, fixedWait, fixedBatch)
					if fixedWait <= wait {
						if reserve > 0 {
							fixedBatch += (lastBatch - fixedBatch) * float64(wait-fixedWait) / float64(lastWait-fixedWait)
						}
						if batch < 0.97*fixedBatch {
							t.Errorf("%.1f batch/s with auto, %.1f with fixed reserves", batch, fixedBatch)
						}
						return
					}
					lastWait, lastBatch = fixedWait, fixedBatch
				}
			})
		}
	}
}

// S6: what is not needed is given back.
func TestAutoReserveIsGivenBack(t *testing.T) {
	cfg := twoKinds(8)
	cfg.Classes[0].Objective, cfg.Classes[0].AutoReserve = 10*time.Millisecond, true
	s := newSimulation(cfg, appModel{workers: 8}, withBatch(8, 2), 1)
	s.run(5*time.Second, 20*time.Second)
	if r := s.core.snapshot(s.now).Classes[0]; r.Reserve < 0.5 || r.Auto == nil || r.Auto.ArrivalRate < 100 || r.Auto.Demand < 0.5 {
		t.Errorf("under load the reserve is %+v, auto %+v", r.Reserve, r.Auto)
	}
	s.loads[0].perSecond = 0.001
	s.run(30*time.Second, 40*time.Second)
	if r := s.core.classes[0].auto.slots; r > 0.05 {
		t.Errorf("reserve %.2f after 20 s without interactive work", r)
	}
	if got := float64(s.done[1]) / 10; got < 0.98*160 {
		t.Errorf("%.1f batch/s without interactive work, the app can do 160", got)
	}
}

// S5 and S6: the floor of a class that always waits does not spoil the objective
// of a more urgent one, and is kept.
func TestFloorLeavesObjective(t *testing.T) {
	const objective = 10 * time.Millisecond
	cfg := Config{Limit: 8, Classes: []ClassConfig{
		{MaxWaiting: 1000, MaxWait: time.Second, Objective: objective, AutoReserve: true},
		{MaxWaiting: 1000, MaxWait: 10 * time.Second, Floor: 1000},
		{MaxWaiting: 1000, MaxWait: 30 * time.Second, Floor: 500},
	}}
	loads := []load{
		{perSecond: 200, service: 5 * time.Millisecond},
		{perSecond: 280, service: 50 * time.Millisecond}, // twice what is left
		{perSecond: 100, service: 50 * time.Millisecond},
	}
	s := newSimulation(cfg, appModel{workers: 8}, loads, 1)
	s.run(5*time.Second, 2*time.Minute)
	if wait := quantile(s.waits[0], 0.99); wait > objective*5/4 {
		t.Errorf("p99 of the wait is %v, objective %v", wait, objective)
	}
	all := s.done[0] + s.done[1] + s.done[2]
	if share := float64(s.done[2]) / float64(all); share < 0.05 {
		t.Errorf("batch got %.3f of the dispatches, floor 0.05", share)
	}
}

// An objective that no reserve can meet, because the class itself is too much,
// takes nothing from the others beyond what class order takes.
func TestAutoReserveKnowsItsLimits(t *testing.T) {
	cfg := twoKinds(8)
	cfg.Classes[0].Objective, cfg.Classes[0].AutoReserve = time.Microsecond, true
	loads := []load{
		{perSecond: 20, service: 50 * time.Millisecond}, // one slot on average
		{perSecond: 300, service: 50 * time.Millisecond},
	}
	s := newSimulation(cfg, appModel{workers: 8}, loads, 1)
	s.run(5*time.Second, 65*time.Second)
	if most := s.core.classes[0].auto.most; most > 8 {
		t.Errorf("the reserve of a class that uses one slot may become %.1f", most)
	}
	if got := float64(s.done[1]) / 60; got < 20 {
		t.Errorf("%.1f batch/s, the app can do 140", got)
	}
}
