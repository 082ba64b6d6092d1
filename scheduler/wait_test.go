package scheduler

import (
	"context"
	"errors"
	"testing"
	"time"
)

// However many wait, for however long, the counts of each are those of somebody
// who goes through all that wait at every dispatch.
func TestWaitOfMany(t *testing.T) {
	cfg := Config{Limit: 2, Classes: []ClassConfig{
		{MaxWaiting: 3000, Objective: time.Second}, {MaxWaiting: 3000, Floor: 1000}, {MaxWaiting: 3000, Floor: 500},
	}}
	for seed := range uint64(3) {
		pick := seeded(seed)
		p := newPlayer(cfg)
		var waiting []int // in order of arrival
		overtaken := make(map[int]int)
		most, places := 0, 0
		for i := range 30_000 {
			do := op{kind: opRelease, which: pick(2)}
			n := pick(100)
			if i%10_000 < 5_000 {
				n -= 15 // more come than go
			}
			switch {
			case n < 45:
				do = op{kind: opArrive, class: pick(3), flow: uint64(pick(1 + pick(50)))}
			case n < 50:
				do = op{kind: opWithdraw, which: pick(1000)}
				if len(waiting) > 0 {
					at := do.which % len(waiting)
					waiting = append(waiting[:at], waiting[at+1:]...)
				}
			case n < 52:
				do = op{kind: opAdvance, by: time.Second}
			}
			fates := p.apply(do)
			if do.kind == opArrive {
				waiting = append(waiting, p.arrived)
			}
			for _, f := range fates {
				overtaking, at := 0, 0
				for j, id := range waiting {
					switch {
					case id == f.id:
						at = j
					case id < f.id && f.reason == 0:
						overtaking++
						overtaken[id]++
					}
				}
				waiting = append(waiting[:at], waiting[at+1:]...)
				if f.wait.Overtaken != overtaken[f.id] || f.wait.Overtaking != overtaking {
					t.Fatalf("seed %d: %d was overtaken %d times and overtook %d, want %d and %d",
						seed, f.id, f.wait.Overtaken, f.wait.Overtaking, overtaken[f.id], overtaking)
				}
			}
			most = max(most, len(waiting))
			places = max(places, len(p.core.arrivals.waiting))
		}
		if most < 500 || places > 32*most {
			t.Errorf("seed %d: at most %d waited, in %d places", seed, most, places)
		}
	}
}

// One that waits for a very long time costs no memory for all that pass it.
func TestWaitOfOneForLong(t *testing.T) {
	const passing = 100_000
	p := newPlayer(Config{Limit: 1, Classes: []ClassConfig{{MaxWaiting: 10}, {MaxWaiting: 10}}})
	p.apply(op{kind: opArrive})
	p.apply(op{kind: opArrive, class: 1})
	for range passing {
		p.apply(op{kind: opArrive})
		for _, f := range p.apply(op{kind: opRelease}) {
			if f.wait.Overtaking != 1 || f.wait.Overtaken != 0 {
				t.Fatalf("%+v, want one that overtakes one", f)
			}
		}
	}
	if n := len(p.core.arrivals.waiting); n != fewestPlaces {
		t.Errorf("%d places for at most two that wait", n)
	}
	if f := p.apply(op{kind: opRelease}); len(f) != 1 || f[0].wait.Overtaken != passing {
		t.Errorf("%+v, want one that was overtaken %d times", f, passing)
	}
}

// The callers of a scheduler get the facts of their wait.
func TestWaitIsTold(t *testing.T) {
	s := newScheduler(t, Config{Limit: 3, Classes: []ClassConfig{
		{MaxWaiting: 10, Reserve: 1}, {MaxWaiting: 1, ReserveShare: 3000},
	}})
	free, ok := s.TryAcquire(Work{Class: 1})
	if want := (Wait{Limit: 3, Reserve: 1}); !ok || free.Wait != want {
		t.Fatalf("%+v of TryAcquire, want %+v", free.Wait, want)
	}
	a, b := mustAcquire(t, s, Work{}), mustAcquire(t, s, Work{})
	if want := (Wait{Limit: 3, Reserve: 1}); a.Wait != want {
		t.Errorf("%+v of what did not wait, want %+v", a.Wait, want)
	}
	leases := make(chan Lease)
	wait := func(w Work) {
		n := s.Snapshot().Classes[w.Class].Waiting
		go func() { leases <- mustAcquire(t, s, w) }()
		for s.Snapshot().Classes[w.Class].Waiting == n {
		}
	}
	wait(Work{Class: 1})
	wait(Work{})

	_, err := s.Acquire(context.Background(), Work{Class: 1, Flow: 2})
	var shed *ShedError
	if want := (Wait{Ahead: 2, Limit: 3, Reserve: 1}); !errors.As(err, &shed) || shed.Wait != want {
		t.Errorf("%v with %+v, want a refusal with %+v", err, shed.Wait, want)
	}
	a.Release()
	urgent := <-leases
	if want := (Wait{Overtaking: 1, Limit: 3, Reserve: 1}); urgent.Wait != want {
		t.Errorf("%+v of the urgent, want %+v", urgent.Wait, want)
	}
	b.Release()
	urgent.Release()
	late := <-leases
	if want := (Wait{Overtaken: 1, Limit: 3, Reserve: 1}); late.Wait != want {
		t.Errorf("%+v of the other, want %+v", late.Wait, want)
	}
	late.Release()
	free.Release()
}

// In a dry run it is told how work would begin to wait.
func TestWaitInDryRun(t *testing.T) {
	s := newScheduler(t, Config{Limit: 1, DryRun: true, Classes: []ClassConfig{{MaxWaiting: 10}}})
	for i := range 3 {
		if got, want := mustAcquire(t, s, Work{}).Wait, (Wait{Ahead: max(0, i-1), Limit: 1}); got != want {
			t.Errorf("%d: %+v, want %+v", i, got, want)
		}
	}
}
