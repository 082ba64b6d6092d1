package loadgen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/loadgen/arrival"
	"overtake/loadgen/content"
)

// A request belongs to the phase of its intended start, whenever it is answered.
func TestPhasesGoByIntendedStart(t *testing.T) {
	r := newRecorder(time.Second, 3*time.Second, 0, []Phase{{"calm", time.Second}, {"crowd", time.Second}})
	send := func(intended, at time.Duration, o Outcome) {
		r.start(intended, intended)
		r.finish(&Call{intended: intended, started: intended}, o, at)
	}
	send(999*time.Millisecond, 1500*time.Millisecond, ok) // of the warm-up
	send(1000*time.Millisecond, 1100*time.Millisecond, ok)
	send(1999*time.Millisecond, 9*time.Second, failed(FailRead))
	send(2000*time.Millisecond, 2300*time.Millisecond, ok)
	send(3000*time.Millisecond, 3001*time.Millisecond, ok) // after the end
	r.skip(2500*time.Millisecond, 1)
	got := r.result(Class{}, 2*time.Second, "").Phases
	if len(got) != 2 || got[0].Name != "calm" || got[1].Name != "crowd" {
		t.Fatalf("phases %+v", got)
	}
	if c := got[0]; c.Sent != 2 || c.OK != 1 || c.Failed[FailRead] != 1 || c.Latency.Count != 1 || near(c.Latency.Max, 100) {
		t.Errorf("calm: %+v", c)
	}
	if c := got[1]; c.Sent != 1 || c.OK != 1 || c.Skipped != 1 || c.FailedTotal() != 0 || near(c.Latency.Max, 300) {
		t.Errorf("crowd: %+v", c)
	}
}

// An answer is of use within the objective, counted from the intended start.
func TestGoodput(t *testing.T) {
	r := newRecorder(0, 2*time.Second, 50*time.Millisecond, nil)
	for _, x := range []struct {
		started, at time.Duration
		o           Outcome
	}{
		{0, 50 * time.Millisecond, ok},
		{0, 51 * time.Millisecond, ok},
		{40 * time.Millisecond, 80 * time.Millisecond, ok}, // fast once it had started
		{0, 10 * time.Millisecond, failed(FailRead)},
		{0, 10 * time.Millisecond, ok},
	} {
		r.start(0, x.started)
		r.finish(&Call{started: x.started}, x.o, x.at)
	}
	got := r.result(Class{Objective: 50 * time.Millisecond}, 2*time.Second, "")
	if got.OK != 4 || got.WithinObjective != 2 || got.DonePerSecond != 2 || got.Goodput != 1 || got.Series[0].Good != 2 || got.Objective != 50 {
		t.Errorf("ok %d, within %d, done %v/s, goodput %v/s, series %+v", got.OK, got.WithinObjective, got.DonePerSecond, got.Goodput, got.Series)
	}
}

func TestSlowestAreKept(t *testing.T) {
	r := newRecorder(time.Second, time.Minute, 0, nil)
	for i := range 100 {
		intended := time.Second + time.Duration(i)*time.Millisecond
		latency := time.Duration(i*37%100) * time.Millisecond
		r.finish(&Call{Class: &Class{}, Request: &content.Request{Method: "GET", Target: fmt.Sprint("/", i)}, intended: intended, started: intended}, ok, intended+latency)
	}
	r.finish(&Call{intended: time.Second}, failed(FailTimeout), time.Minute) // no success
	got := r.result(Class{}, time.Minute, "").Slowest
	var latencies []Millis
	for _, s := range got {
		latencies = append(latencies, s.Latency)
		var i int
		if _, err := fmt.Sscanf(s.Request, "GET /%d", &i); err != nil || s.At != round3(float64(i)/1000) || s.Latency != Millis(i*37%100) {
			t.Errorf("%+v", s)
		}
	}
	if want := []Millis{99, 98, 97, 96, 95, 94, 93, 92, 91, 90}; !slices.Equal(latencies, want) {
		t.Errorf("slowest %v, want %v", latencies, want)
	}
}

// The share of the time that was spent in the queue of a gateway is over the
// service times of those that told.
func TestQueueShare(t *testing.T) {
	r := newRecorder(0, time.Minute, 0, nil)
	for _, x := range []struct{ service, queue time.Duration }{
		{40 * time.Millisecond, 30 * time.Millisecond}, {60 * time.Millisecond, 0}, {time.Second, -1},
	} {
		r.finish(&Call{}, Outcome{Kind: OutcomeOK, Queue: x.queue}, x.service)
	}
	got := r.result(Class{}, time.Minute, "")
	if got.QueueShare != 0.3 || got.Queue.Count != 2 || near(got.Queue.Max, 30) || got.Series[0].Queue != 15 {
		t.Errorf("share %v, queue %+v, series %+v", got.QueueShare, got.Queue, got.Series)
	}
}

func TestQueueTimeIsRead(t *testing.T) {
	url := serve(t, func(ctx *fasthttp.RequestCtx) {
		time.Sleep(15 * time.Millisecond) // no request waits for longer than it takes
		ctx.Response.Header.Add("Server-Timing", "cache;dur=99")
		ctx.Response.Header.Add("server-timing", "app;dur=7, queue;dur=12.5")
	})
	got, _ := runClass(t, url, 100*time.Millisecond, Class{
		Name: "a", Arrivals: arrival.Plan{Bursts: arrival.Bursts{Size: 3}}, Request: content.Spec{Path: "/"},
	}, Options{})
	if got.OK != 3 || got.Queue.Count != 3 || near(got.Queue.P50, 12.5) || got.QueueShare <= 0 {
		t.Errorf("queue %+v, share %v", got.Queue, got.QueueShare)
	}
}

// The report of repeated runs has them all, each with the seed after that of the
// one before, and what they have in common.
func TestRunRepeated(t *testing.T) {
	url := serve(t, func(*fasthttp.RequestCtx) {})
	sc := Scenario{Name: "twice", Target: url, Duration: 100 * time.Millisecond, Seed: 7,
		Classes: []Class{{Name: "a", Arrivals: arrival.Steady(200), Request: content.Spec{Path: "/"}}}}
	report, err := RunRepeated(t.Context(), sc, Options{Condition: "plain"}, 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Runs) != 2 || report.Schema != ReportSchema || report.Scenario != "twice" || len(report.Conditions) != 1 {
		t.Fatalf("report %+v", report)
	}
	for i, r := range report.Runs {
		if r.Repeat != i+1 || r.Seed != 7+uint64(i) || r.Condition != "plain" {
			t.Errorf("run %d: repeat %d, seed %d, condition %q", i, r.Repeat, r.Seed, r.Condition)
		}
	}
	if report.Runs[0].Classes[0].Intended == report.Runs[1].Classes[0].Intended {
		t.Log("both seeds happen to have as many requests")
	}
	if c := report.Conditions[0]; c.Name != "plain" || c.Runs != 2 || len(c.Classes) != 1 || c.Classes[0].P99.Max < c.Classes[0].P99.Min {
		t.Errorf("condition %+v", c)
	}
	b, err := json.Marshal(report)
	var back Report
	if err == nil {
		err = json.Unmarshal(b, &back)
	}
	if err != nil || len(back.Runs) != 2 || back.Runs[1].Classes[0].Sent != report.Runs[1].Classes[0].Sent {
		t.Errorf("as JSON: %v, %s", err, b)
	}
}

// What was measured before a repetition was ended is reported.
func TestRepetitionEndedEarly(t *testing.T) {
	url := serve(t, func(*fasthttp.RequestCtx) {})
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	sc := Scenario{Target: url, Duration: 50 * time.Millisecond,
		Classes: []Class{{Name: "a", Arrivals: arrival.Plan{Bursts: arrival.Bursts{Size: 2}}, Request: content.Spec{Path: "/"}}}}
	report, err := RunRepeated(ctx, sc, Options{Progress: func(p Progress) {
		if p.Final {
			cancel(enough)
		}
	}}, 5)
	if !errors.Is(err, enough) || report == nil || len(report.Runs) != 1 || report.Runs[0].Classes[0].OK != 2 {
		t.Errorf("%v, report %+v", err, report)
	}
}

func TestSummarizeAndMerge(t *testing.T) {
	run := func(condition string, p99 Millis, shed int64) RunResult {
		return RunResult{Condition: condition, Verdict: newVerdict(nil), Classes: []ClassResult{{
			Name: "a", Class: "interactive", DonePerSecond: 10, Latency: Latency{Count: 9, P99: p99},
			Counts: Counts{Sent: 10, Shed: map[string]int64{"queue_full": shed}},
		}}}
	}
	merged := Merge(
		&Report{Scenario: "shop", Runs: []RunResult{run("fifo", 10, 1), run("fifo", 30, 2)}},
		&Report{Scenario: "other", Runs: []RunResult{run("class order", 4, 0), run("fifo", 26, 6), run("fifo", 20, 3)}},
	)
	if merged.Scenario != "shop" || len(merged.Runs) != 5 || merged.Verdict.State != Valid || len(merged.Conditions) != 2 {
		t.Fatalf("merged %+v", merged)
	}
	fifo, order := merged.Conditions[0], merged.Conditions[1]
	if fifo.Name != "fifo" || fifo.Runs != 4 || order.Name != "class order" || order.Runs != 1 {
		t.Fatalf("conditions %+v", merged.Conditions)
	}
	if got := fifo.Classes[0]; got.P99 != (Spread{Median: 23, Min: 10, Max: 30}) || got.NotServed != (Spread{Median: 0.25, Min: 0.1, Max: 0.6}) || got.Class != "interactive" {
		t.Errorf("fifo: %+v", got)
	}
	if got := order.Classes[0]; got.P99 != (Spread{Median: 4, Min: 4, Max: 4}) || got.DonePerSecond.Median != 10 {
		t.Errorf("class order: %+v", got)
	}
}
