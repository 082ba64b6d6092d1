package gateway

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"overtake/tracing"
)

func newTestTimings() *timings[[2]string] {
	return newTimings("test_seconds", "A test's.", func(k [2]string) []string { return k[:] }, "upstream", "class")
}

// An upstream that is gone takes nothing with it of those that stay.
func TestForgottenSeriesAreTheOnesMeant(t *testing.T) {
	waits := newTestTimings()
	stays, gone := [2]string{"app", "batch"}, [2]string{"old", "batch"}
	for _, k := range [][2]string{stays, gone} {
		waits.of(k).observe(time.Millisecond)
		waits.of(k).recorded(tracing.TraceID{1}, time.Millisecond, time.Now())
	}
	before := waits.of(stays)
	waits.forget(prometheus.Labels{"upstream": "old"}, func(k [2]string) bool { return k[0] == "old" })
	if waits.of(stays) != before {
		t.Error("the traces of an upstream that stays are forgotten")
	}
	if again := waits.of(gone); again.traces[1].Load() != nil {
		t.Error("an upstream that comes back has the traces of the one before")
	}
}

// Whoever uses a series first, all use the same one.
func TestSeriesOfSeveralFirstUses(t *testing.T) {
	waits := newTestTimings()
	for i := range 500 {
		var start, using sync.WaitGroup
		start.Add(1)
		got := make([]*timing, 4)
		for j := range got {
			using.Go(func() {
				start.Wait()
				got[j] = waits.of([2]string{strconv.Itoa(i), "batch"})
			})
		}
		start.Done()
		using.Wait()
		for _, one := range got[1:] {
			if one != got[0] {
				t.Fatalf("series %d is two, of which one is lost", i)
			}
		}
	}
}

// A series that is forgotten while it is used is not one that is counted by and never
// shown.
func TestForgottenSeriesThatIsUsed(t *testing.T) {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "test_total"}, []string{"upstream"})
	counts := newSeries(vec.MetricVec, func(upstream string) prometheus.Counter { return vec.WithLabelValues(upstream) })
	for i := range 2000 {
		counts.of("old")
		forgotten := make(chan struct{})
		go func() {
			defer close(forgotten)
			counts.forget(prometheus.Labels{"upstream": "old"}, func(k string) bool { return k == "old" })
		}()
		for used := false; !used; {
			counts.of("old")
			select {
			case <-forgotten:
				used = true
			default:
			}
		}
		if counts.of("old") != vec.WithLabelValues("old") {
			t.Fatalf("after %d times, it counts by what is not in the vector", i+1)
		}
	}
}
