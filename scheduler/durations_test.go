package scheduler

import (
	"math"
	"slices"
	"testing"
	"time"
)

// Asked now and then, durations answer like somebody who looks through the latest.
func TestDurationsMatchNaive(t *testing.T) {
	for seed := range uint64(50) {
		pick := seeded(seed)
		var d durations
		var all []time.Duration
		now := time.Hour
		for range 600 {
			now += time.Duration(pick(10))
			x := time.Duration(pick(1000))
			d.add(x, now)
			all = append(all, x)
			if pick(12) > 0 {
				continue
			}
			latest := all[max(0, len(all)-keptDurations):]
			var sum time.Duration
			for _, x := range latest {
				sum += x
			}
			if want := sum / time.Duration(len(latest)); d.mean() != want {
				t.Fatalf("seed %d: mean %v, want %v", seed, d.mean(), want)
			}
			if len(latest) < fewDurations {
				if d.short(now) != 0 || d.soon(1, 1) != 0 {
					t.Fatalf("seed %d: an estimate from %d", seed, len(latest))
				}
				continue
			}
			if want := slices.Sorted(slices.Values(latest))[len(latest)/10]; d.short(now) != want {
				t.Fatalf("seed %d: short %v, want %v", seed, d.short(now), want)
			}
			age, horizon := time.Duration(pick(1100)), time.Duration(1+pick(500))
			longer, expected := 0, 0.0
			for _, x := range latest {
				if x > age {
					longer++
					expected += max(0, 1-float64(x-age)/float64(horizon))
				}
			}
			want := 0.5
			if longer > 0 {
				want = expected / float64(longer)
			}
			if got := d.soon(age, horizon); math.Abs(got-want) > 1e-9 {
				t.Fatalf("seed %d: soon(%v, %v) = %v, want %v", seed, age, horizon, got, want)
			}
		}
		if d.short(now+staleAfter) != 0 {
			t.Errorf("seed %d: a stale estimate", seed)
		}
	}
}

// After a stall of the app, work with a deadline is tried again at once and not
// refused for what the stall took.
func TestStallIsForgotten(t *testing.T) {
	c := newCore(Config{Limit: 16, Classes: []ClassConfig{{MaxWaiting: 100}}})
	now := time.Hour
	work := func(takes time.Duration) bool {
		w := &ticket{due: now + time.Second}
		c.arrive(w, now)
		c.decided = c.decided[:0]
		if w.state == started {
			c.release(w.slot, Done, now+takes)
		}
		return w.state == started
	}
	for range keptDurations {
		work(time.Second)
		now += 10 * time.Millisecond
	}
	if work(time.Second) {
		t.Fatal("work is begun that can't end in time")
	}
	now += time.Second + staleAfter
	for i := range 1000 {
		if !work(5 * time.Millisecond) {
			t.Fatalf("request %d after the stall is refused", i)
		}
		now += 10 * time.Millisecond
	}
}
