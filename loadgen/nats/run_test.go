package nats

import (
	"testing"
	"time"

	"overtake/broker/nats/natstest"
	"overtake/loadgen"
	"overtake/loadgen/arrival"
	"overtake/loadgen/content"
)

// runs makes n runs of 100 messages a second for d and returns what they came to.
func runs(t *testing.T, e loadgen.Endpoint, d time.Duration, opts loadgen.Options, n int) []loadgen.RunResult {
	t.Helper()
	opts.Senders = map[string]loadgen.OpenSender{"nats": Open}
	report, err := loadgen.RunRepeated(t.Context(), loadgen.Scenario{
		Duration: d, Seed: 1, Endpoints: map[string]loadgen.Endpoint{"events": e},
		Classes: []loadgen.Class{{Name: "event", Endpoint: "events", Arrivals: arrival.Steady(100), Request: content.Spec{BodyBytes: 1000}}},
	}, opts, n)
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range report.Runs {
		c := run.Classes[0]
		if c.Intended != c.Sent+c.Skipped || c.Sent != c.OK+c.Unfinished+c.ShedTotal()+c.FailedTotal() || c.Latency.Count != c.OK {
			t.Errorf("the books don't balance: %+v", c.Counts)
		}
	}
	return report.Runs
}

// What an overloaded run leaves behind is not in the way of the next one.
func TestRunsUnderOverloadCanBeRepeated(t *testing.T) {
	for name, endpoint := range kinds {
		t.Run(name, func(t *testing.T) {
			e := endpoint(t, start(t, natstest.Options{}))
			e.Hold, e.Consumers = 40*time.Millisecond, 2 // half of what comes
			for i, run := range runs(t, e, time.Second, loadgen.Options{Grace: -1}, 2) {
				c := run.Classes[0]
				if c.Unfinished == 0 || c.OK+c.Unfinished != c.Sent || c.Repeated != 0 {
					t.Errorf("run %d: %+v, %d repeated; want some that are not done", i, c.Counts, c.Repeated)
				}
			}
		})
	}
}

func TestBooksBalanceWhenTheServerIsKilledDuringARun(t *testing.T) {
	at := start(t, natstest.Options{})
	e := kinds["work queue"](t, at)
	e.Hold, e.Consumers = 5*time.Millisecond, 2
	// The callbacks of a run are one after the other, and the schedule goes on.
	struck := 0
	c := runs(t, e, 5*time.Second, loadgen.Options{Progress: func(p loadgen.Progress) {
		switch {
		case struck == 0 && p.Elapsed > time.Second:
			at.Kill(t)
			struck++
		case struck == 1: // half a second later
			at.Restart(t)
			struck++
		}
	}}, 1)[0].Classes[0]
	if c.OK == 0 || c.Failed[loadgen.FailConnect] == 0 {
		t.Errorf("%+v; want some done, and some failed while the server was away", c.Counts)
	}
	t.Logf("%+v, %d repeated", c.Counts, c.Repeated)
}
