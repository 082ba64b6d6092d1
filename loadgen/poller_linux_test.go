package loadgen

import (
	"testing"
	"time"
)

// What is shorter than falling asleep takes is waited for awake, and is no work.
func TestShortWaitsAreAwake(t *testing.T) {
	var rests idleness
	awake := &rests.awake
	p, err := newPoller(&rests)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	begun := time.Now()
	for i := 1; i <= 100; i++ {
		until := time.Now().Add(awakeFor / 2)
		if p.wait(until, false); p.parked || time.Now().Before(until) {
			t.Fatalf("wait %d: asleep %v, early %v", i, p.parked, time.Until(until))
		}
	}
	if took := time.Since(begun); awake.Load() <= 0 || time.Duration(awake.Load()) > took {
		t.Errorf("awake for %v of %v", time.Duration(awake.Load()), took)
	}
	before := awake.Load()
	until := time.Now().Add(20 * time.Millisecond)
	if p.wait(until, false); !p.parked || time.Now().Before(until) || awake.Load() != before || rests.asleep.Load() < int64(10*time.Millisecond) {
		t.Errorf("a long wait: asleep %v, early %v, awake for %d ns", p.parked, time.Until(until), awake.Load()-before)
	}
	p.wake()
	if p.wait(time.Now().Add(time.Hour), false); p.ready == 0 {
		t.Error("a wake-up before the wait is lost")
	}
}
