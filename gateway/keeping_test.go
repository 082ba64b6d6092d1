package gateway

import (
	"testing"
	"time"

	"overtake/classifier"
	"overtake/tracing"
)

// What is recorded without being sampled is bounded for each class; the rest counts
// as dropped.
func TestKeptSpansAreBounded(t *testing.T) {
	g, _ := startTraced(t, never, "http://127.0.0.1:1")
	sampled := tracing.Trail{Flags: tracing.FlagSampled}
	now := time.Now()
	takes := func(now time.Time, trail *tracing.Trail, class classifier.Class) (n int) {
		for range 2 * keptPerSecond {
			if g.hasRoom(now, trail, class, 2) {
				n++
			}
		}
		return n
	}
	for _, test := range []struct {
		what  string
		now   time.Time
		trail *tracing.Trail
		class classifier.Class
		want  int
	}{
		{"at first", now, &tracing.Trail{}, 2, keptPerSecond},
		{"of another class", now, &tracing.Trail{}, 0, keptPerSecond},
		{"that was sampled", now, &sampled, 2, 2 * keptPerSecond},
		{"half a second later", now.Add(time.Second / 2), &tracing.Trail{}, 2, keptPerSecond / 2},
	} {
		before := g.tracer.Stats().Dropped
		if got := takes(test.now, test.trail, test.class); got != test.want {
			t.Errorf("%s: %d are recorded, want %d", test.what, got, test.want)
		}
		if got, want := g.tracer.Stats().Dropped-before, uint64(2*(2*keptPerSecond-test.want)); got != want {
			t.Errorf("%s: %d spans dropped, want %d", test.what, got, want)
		}
	}
}
