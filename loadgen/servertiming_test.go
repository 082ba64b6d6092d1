package loadgen

import (
	"testing"
	"time"
)

func TestQueueTime(t *testing.T) {
	for field, want := range map[string]time.Duration{
		"":                                       -1,
		"queue;dur=12.5":                         12500 * time.Microsecond,
		"app;dur=1, queue;dur=2":                 2 * time.Millisecond,
		`queue;desc="a, b;dur=9" ; DUR = "3"`:    3 * time.Millisecond,
		`app;desc="queue;dur=9, \\"queue;dur=8"`: -1,
		"queue":                                  -1,
		"queue;dur=-1":                           -1,
		"queue;dur=NaN":                          -1,
		"queue;dur=1e300":                        -1,
		"queues;dur=1":                           -1,
	} {
		if got := queueTime(field); got != want {
			t.Errorf("%s: %v, want %v", field, got, want)
		}
	}
}

func FuzzQueueTime(f *testing.F) {
	f.Add(`app;desc="x, y", queue;dur=1`)
	f.Fuzz(func(t *testing.T, field string) {
		if d := queueTime(field); d < -1 || d > 24*time.Hour {
			t.Fatalf("%q: %v", field, d)
		}
	})
}
