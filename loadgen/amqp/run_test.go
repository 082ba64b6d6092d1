package amqp

import (
	"testing"
	"time"

	"overtake/loadgen"
	"overtake/loadgen/arrival"
	"overtake/loadgen/content"
)

// runs makes n runs of 100 messages a second for d and returns what they came to.
func runs(t *testing.T, e loadgen.Endpoint, d time.Duration, opts loadgen.Options, n int) []loadgen.RunResult {
	t.Helper()
	opts.Senders = map[string]loadgen.OpenSender{"amqp": Open}
	report, err := loadgen.RunRepeated(t.Context(), loadgen.Scenario{
		Duration: d, Seed: 1, Endpoints: map[string]loadgen.Endpoint{"orders": e},
		Classes: []loadgen.Class{{Name: "order", Endpoint: "orders", Arrivals: arrival.Steady(100), Request: content.Spec{BodyBytes: 1000}}},
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
	e := declare(t, broker(t))
	e.Hold, e.Consumers = 40*time.Millisecond, 2 // half of what comes
	for i, run := range runs(t, e, time.Second, loadgen.Options{Grace: -1}, 2) {
		c := run.Classes[0]
		if c.Unfinished == 0 || c.OK+c.Unfinished != c.Sent || c.Repeated != 0 {
			t.Errorf("run %d: %+v, %d repeated; want some that are not done", i, c.Counts, c.Repeated)
		}
	}
}

func TestBooksBalanceWhenTheBrokerIsKilledDuringARun(t *testing.T) {
	e := declare(t, broker(t))
	e.Hold, e.Consumers = 5*time.Millisecond, 2
	trouble := make(chan error, 1)
	begun := make(chan struct{})
	var once bool
	go func() {
		<-begun
		server.Kill()
		trouble <- server.Restart()
	}()
	c := runs(t, e, 15*time.Second, loadgen.Options{Progress: func(p loadgen.Progress) {
		if !once && p.Elapsed > time.Second && p.Classes[0].OK > 0 {
			once = true
			close(begun)
		}
	}}, 1)[0].Classes[0]
	if err := <-trouble; err != nil {
		t.Fatal(err)
	}
	if c.OK == 0 || c.Failed[loadgen.FailConnect] == 0 {
		t.Errorf("%+v; want some done, and some failed while the broker was away", c.Counts)
	}
	t.Logf("%+v, %d repeated", c.Counts, c.Repeated)
}
