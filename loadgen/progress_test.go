package loadgen

import (
	"testing"
	"time"
)

func TestPhaseAt(t *testing.T) {
	sc := Scenario{Warmup: 2 * time.Second, Phases: []Phase{{"calm", 10 * time.Second}, {"crowd", 5 * time.Second}}}
	for at, want := range map[time.Duration]string{
		0: "", 1999 * time.Millisecond: "", 2 * time.Second: "calm", 12*time.Second - 1: "calm",
		12 * time.Second: "crowd", 17*time.Second - 1: "crowd", 17 * time.Second: "",
	} {
		if got := sc.phaseAt(at); got != want {
			t.Errorf("after %v, the phase is %q, want %q", at, got, want)
		}
	}
}
