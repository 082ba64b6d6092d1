package loadgen

import (
	"fmt"
	"math"
	"testing"
)

// A run that has no figure does not count as one with 0, and one that was ended
// early does not count where there are others.
func TestSummarizeLeavesOutWhatSaysNothing(t *testing.T) {
	run := func(condition string, p99 Millis, interrupted bool) RunResult {
		c := ClassResult{Name: "a", Class: "x", Counts: Counts{Sent: 10, OK: 10}, DonePerSecond: float64(p99)}
		if p99 == 0 {
			c.OK, c.Unfinished, c.Shed, c.Failed = 0, 5, map[string]int64{"max_wait": 2}, map[string]int64{FailTimeout: 3}
		} else {
			c.Latency, c.Queue, c.QueueShare = Latency{Count: 10, P99: p99}, Latency{Count: 10}, 0.5
		}
		return RunResult{Condition: condition, Interrupted: interrupted, Classes: []ClassResult{c}}
	}
	conditions := Summarize([]RunResult{
		run("mixed", 20, false), run("mixed", 0, false), run("mixed", 40, false), run("mixed", 90, true),
		run("all early", 5, true), run("nothing", 0, false),
	})
	if len(conditions) != 3 || conditions[0].Runs != 3 || conditions[1].Runs != 1 || conditions[2].Runs != 1 {
		t.Fatalf("%+v", conditions)
	}
	none := Spread{math.NaN(), math.NaN(), math.NaN()}
	for i, want := range []ClassSummary{
		{P99: Spread{30, 20, 40}, QueueShare: Spread{0.5, 0.5, 0.5}, DonePerSecond: Spread{20, 0, 40}, NotServed: Spread{0, 0, 1}},
		{P99: Spread{5, 5, 5}, QueueShare: Spread{0.5, 0.5, 0.5}, DonePerSecond: Spread{5, 5, 5}},
		{NotServed: Spread{1, 1, 1}, P50: none, P90: none, P99: none, P999: none, Max: none, QueueShare: none},
	} {
		want.Name, want.Class = "a", "x"
		if got := conditions[i].Classes[0]; fmt.Sprint(got) != fmt.Sprint(want) /* NaN */ {
			t.Errorf("%s\ngot  %+v\nwant %+v", conditions[i].Name, got, want)
		}
	}
}
