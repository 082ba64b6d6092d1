package loadgen

import (
	"math"
	"testing"
	"time"

	"overtake/loadgen/arrival"
	"overtake/loadgen/content"
)

// lateFlow runs a schedule that should have ended long ago and returns what is
// recorded of it. It has no sender: nothing may be sent.
func lateFlow(t *testing.T, plan arrival.Plan, duration time.Duration) ClassResult {
	t.Helper()
	sc := Scenario{Target: "http://127.0.0.1:1", Duration: duration, Seed: 1,
		Classes: []Class{{Name: "a", Arrivals: plan, Request: content.Spec{Path: "/"}}}}
	if err := sc.Validate(); err != nil {
		t.Fatal(err)
	}
	flows, err := openFlows(t.Context(), sc, Options{}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer closeFlows(flows)
	f := flows[0]
	f.start = time.Now().Add(-duration - 2*overtime)
	f.loop.do(func() { f.run(duration) })
	return f.recorder.result(f.Class, duration, "")
}

// A generator that can't keep up does not work off its backlog for as long as that
// takes: it ends, and what it did not send is skipped.
func TestScheduleEndsByTheClock(t *testing.T) {
	const duration = 2 * time.Second
	plan := arrival.Steady(5000)
	plan.Bursts = arrival.Bursts{Size: 7, Every: 300 * time.Millisecond}
	var want int64
	for due := plan.Open(1, "a"); ; want++ {
		if a, _ := due.Next(); a.At >= duration {
			break
		}
	}
	got := checkBooks(t, lateFlow(t, plan, duration))
	if got.Sent != 0 || got.Skipped != want {
		t.Errorf("sent %d, skipped %d, want 0 and %d", got.Sent, got.Skipped, want)
	}
	var series int64
	for _, s := range got.Series {
		series += s.Skipped
	}
	if series != want {
		t.Errorf("time series has %d, want %d", series, want)
	}
}

// What is too much to be counted one by one is estimated.
func TestCountingTheRestIsBounded(t *testing.T) {
	const duration = 2 * time.Hour
	begun := time.Now()
	got := checkBooks(t, lateFlow(t, arrival.Steady(arrival.MaxRate), duration))
	want := arrival.MaxRate * duration.Seconds()
	if got.Sent != 0 || math.Abs(float64(got.Skipped)/want-1) > 0.001 {
		t.Errorf("sent %d, skipped %d, want 0 and about %.0f", got.Sent, got.Skipped, want)
	}
	if took := time.Since(begun); took > time.Minute { // one by one it takes several
		t.Errorf("it took %v", took)
	}
}
