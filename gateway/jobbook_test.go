package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"overtake/broker"
)

// Two gateways on one broker: what one takes, the other can tell of, and end.
func TestTwoGatewaysAgree(t *testing.T) {
	app := newGate()
	queues, q := openNATS(t)
	delivers := start(t, jobsRead, serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // or the server does not notice who leaves
		app.ServeHTTP(w, r)
	}), queues)
	other := queues["jobs"]
	publisher := q.Publisher()
	t.Cleanup(func() { publisher.Close(context.Background()) })
	other.Publisher, other.Consumer = publisher, nil
	takes := start(t, strings.Replace(jobsRead, "deliver: {upstream: app}, ", "", 1), deadAddress(t), map[string]Queue{"jobs": other})

	location := takes.post("/jobs/1", "Idempotency-Key: k")
	receive(t, "the job", app.arrived)
	if again := delivers.post("/jobs/1", "Idempotency-Key: k"); again != location {
		t.Errorf("the job is %s at one and %s at the other", location, again)
	}
	for _, g := range []*testGateway{takes, delivers} {
		if j := g.status(location); j.State != jobRunning {
			t.Errorf("it is %+v", j)
		}
	}
	if f := takes.fetch("DELETE", location, nil); f.StatusCode != 202 {
		t.Errorf("DELETE: %v %s", f.Response, f.body)
	}
	eventually(t, "the other gateway has broken it off", func() bool { return delivers.settlements("cancelled") == 1 })
	next := takes.post("/jobs/2")
	receive(t, "the next job", app.arrived)
	app.pass <- struct{}{}
	takes.becomes(next, jobDone)
	if f := takes.get(next + "/response"); f.body != "ok" {
		t.Errorf("its answer at the other gateway: %v %q", f.Response, f.body)
	}
}

// A purge cancels what waits of its class, and what of it comes all the same does not
// reach the app.
func TestCancelQueued(t *testing.T) {
	queues, q := openNATS(t)
	jobs := queues["jobs"]
	publisher := q.Publisher()
	t.Cleanup(func() { publisher.Close(context.Background()) })
	takes := start(t, strings.Replace(jobsRead, "deliver: {upstream: app}, ", "", 1), deadAddress(t),
		map[string]Queue{"jobs": {Publisher: publisher, Ping: jobs.Ping, Depths: jobs.Depths, Inspect: jobs.Inspect, Records: jobs.Records, Answers: jobs.Answers}})
	var purged []string
	for i := range 3 * cancelAtOnce {
		purged = append(purged, takes.post(fmt.Sprintf("/jobs/%d", i)))
	}
	records := jobs.Records.(JobShelf)
	for _, other := range []struct {
		queue   string
		classes []string
	}{{"other", nil}, {"jobs", []string{"batch"}}} {
		if n, err := CancelQueued(t.Context(), records, other.queue, other.classes, time.Hour, nil); len(n) > 0 || err != nil {
			t.Errorf("cancelled %v of %v, %v", n, other, err)
		}
	}
	seen := 0
	n, err := CancelQueued(t.Context(), records, "jobs", []string{"batch", "standard"}, time.Hour, func() { seen++ })
	if n["standard"] != len(purged) || len(n) != 1 || err != nil || seen < len(purged) {
		t.Fatalf("cancelled %v of %d that were seen, %v", n, seen, err)
	}
	for _, location := range purged {
		if j := takes.status(location); j.State != jobCancelled || j.Reason != "purged" || j.Finished.IsZero() {
			t.Errorf("a purged job is %+v", j)
		}
	}
	after := takes.post("/jobs/after")

	app := newGate()
	delivers := start(t, jobsRead, serveApp(t, app.ServeHTTP), queues)
	eventually(t, "the messages of purged jobs are settled", func() bool { return delivers.settlements("cancelled") == len(purged) })
	receive(t, "the job after the purge", app.arrived)
	app.pass <- struct{}{}
	takes.becomes(after, jobDone)
	if len(app.arrived) > 0 {
		t.Error("a purged job reached the app")
	}
}

// away is a store that can't be reached while it is shut.
type away struct {
	JobRecords
	shut chan struct{} // closed to open it
}

func (a *away) gone() bool {
	select {
	case <-a.shut:
		return false
	default:
		return true
	}
}

func (a *away) Load(ctx context.Context, id string) (broker.Record, error) {
	if a.gone() {
		return broker.Record{}, fmt.Errorf("test: %w", broker.ErrUnavailable)
	}
	return a.JobRecords.Load(ctx, id)
}

func (a *away) Save(ctx context.Context, r *broker.Record) error {
	if a.gone() {
		return fmt.Errorf("test: %w", broker.ErrUnavailable)
	}
	return a.JobRecords.Save(ctx, r)
}

// While the records are out of reach, nothing is accepted, delivered or lost.
func TestStoreThatIsAway(t *testing.T) {
	app := serveRaw(t)
	seen := app.answering(okNoBody)
	queues, _ := openNATS(t)
	q := newFakeQueue()
	queue := queues["jobs"]
	store := &away{queue.Records, make(chan struct{})}
	queue.Publisher, queue.Consumer, queue.Depths, queue.Records = q, q, q.depths, store
	g := start(t, jobsRead, app.url(), map[string]Queue{"jobs": queue})
	const id = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	wantRefusal(t, g.fetch("POST", "/jobs/1", nil), 503, "broker_unavailable")
	wantRefusal(t, g.get(jobsPrefix+id), 503, "broker_unavailable")
	wantRefusal(t, g.fetch("DELETE", jobsPrefix+id, nil), 503, "broker_unavailable")
	q.again(id)
	eventually(t, "its message waits", func() bool { return strings.Contains(g.log.String(), "its message waits") })
	if n := len(seen.all()) + len(q.settlements()); n != 0 {
		t.Errorf("%d deliveries and settlements", n)
	}
	if status, page := g.adminGet("/readyz"); status != 503 || !strings.Contains(page, "queue jobs: states of its jobs") {
		t.Errorf("readyz: %d %s", status, page)
	}
	close(store.shut)
	eventually(t, "it is ready with the store", func() bool { status, _ := g.adminGet("/readyz"); return status == 200 })
	if got := q.settlement(t, 1); got != id+" done" {
		t.Errorf("settled as %q", got)
	}
	if j := g.status(jobsPrefix + id); j.State != jobDone {
		t.Errorf("it is %+v", j)
	}
}

// readOnly is a store that takes nothing.
type readOnly struct{ JobRecords }

func (readOnly) Save(context.Context, *broker.Record) error {
	return fmt.Errorf("test: %w", broker.ErrUnavailable)
}

// A message whose job can't be claimed does not keep its slot from requests.
func TestStoreThatTakesNothing(t *testing.T) {
	app := serveRaw(t)
	seen := app.answering(okNoBody)
	queues, _ := openNATS(t)
	q := newFakeQueue()
	queue := queues["jobs"]
	queue.Publisher, queue.Consumer, queue.Depths, queue.Records = q, q, q.depths, readOnly{queue.Records}
	g := start(t, jobsRead, app.url(), map[string]Queue{"jobs": queue})
	q.again("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	eventually(t, "its message waits", func() bool { return strings.Contains(g.log.String(), "its message waits") })
	for range 10 {
		if f := g.get("/page"); f.err != nil || f.StatusCode != 200 {
			t.Fatalf("a request got %+v, want the slot", f)
		}
	}
	if n := len(seen.all()); n != 10 {
		t.Errorf("the app saw %d requests, want 10 and no delivery", n)
	}
}

// A gateway that shuts down while the records are out of reach gives its messages
// back.
func TestShutdownWithTheStoreAway(t *testing.T) {
	queues, _ := openNATS(t)
	q := newFakeQueue()
	queue := queues["jobs"]
	queue.Publisher, queue.Consumer, queue.Depths, queue.Records = q, q, q.depths, &away{queue.Records, make(chan struct{})}
	g := start(t, jobsRead, deadAddress(t), map[string]Queue{"jobs": queue})
	const id = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	q.again(id)
	eventually(t, "its message waits", func() bool { return strings.Contains(g.log.String(), "its message waits") })
	if err := g.Shutdown(testContext(t)); err != nil {
		t.Error(err)
	}
	if got := q.settlement(t, 1); got != id+" retry 0s" {
		t.Errorf("settled as %q", got)
	}
}

// stuck is a store whose first Load does not return before its context ends.
type stuck struct {
	JobRecords
	asked chan struct{}
	later atomic.Bool
}

func (s *stuck) Load(ctx context.Context, id string) (broker.Record, error) {
	if !s.later.Swap(true) {
		close(s.asked)
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return broker.Record{}, ctx.Err()
	}
	return broker.Record{ID: id, Revision: 1, Value: []byte("the key")}, nil
}

// One request that waits for the store keeps no other waiting.
func TestKeyOfIDsIsNotWaitedForInLine(t *testing.T) {
	store := &stuck{asked: make(chan struct{})}
	book := &jobBook{records: store}
	ctx, cancel := context.WithCancel(testContext(t))
	failed := make(chan error, 1)
	go func() {
		_, err := book.secret(ctx)
		failed <- err
	}()
	receive(t, "the first question", store.asked)
	got := make(chan string, 1)
	go func() {
		key, _ := book.secret(testContext(t))
		got <- string(key)
	}()
	if key := receive(t, "the second request's key", got); key != "the key" {
		t.Errorf("it is %q", key)
	}
	cancel()
	if err := receive(t, "the end of the first", failed); !errors.Is(err, context.Canceled) {
		t.Errorf("the first one got %v", err)
	}
}

// Whatever comes in whatever order: what has ended stays as it has ended, and
// only who claimed a job last can give it back.
func TestRecordOfAJobNeverGoesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(1, 0)
		r := record{job: job{ID: "A", State: jobQueued}, Unpublished: rapid.Bool().Draw(t, "unpublished")}
		claims := []time.Time{at}
		for range rapid.IntRange(1, 30).Draw(t, "events") {
			before := r
			at = at.Add(time.Second)
			event := rapid.SampledFrom([]string{"claim", "requeue", "done", "failed", "cancel", "settle", "published", "doubt", "withdraw", "answered"}).Draw(t, "event")
			var changed bool
			switch event {
			case "claim":
				if changed = r.claim(len(claims), at); changed {
					claims = append(claims, at)
				}
			case "requeue":
				by := rapid.SampledFrom(claims).Draw(t, "by")
				if changed = r.requeue(by, "why"); changed != (before.State == jobRunning && by == claims[len(claims)-1]) {
					t.Fatalf("given back by the claim of %v: %v, from %+v", by, changed, before)
				}
			case "done", "failed":
				changed = r.finish(jobState(event), "", at)
			case "cancel":
				changed = r.cancel(at)
			case "settle":
				changed = r.settle()
			case "published":
				changed = r.published()
			case "doubt":
				changed = r.doubt()
			case "withdraw":
				changed = r.withdraw()
			case "answered":
				changed = r.answered(&jobAnswer{Status: 200}, "x")
			}
			if changed == (r == before) {
				t.Fatalf("%s reports %v and makes %+v of %+v", event, changed, r, before)
			}
			if before.State.ended() && r.State != before.State {
				t.Fatalf("%s makes %s of %s", event, r.State, before.State)
			}
			if r.Attempts < before.Attempts {
				t.Fatalf("%s makes %d of %d attempts", event, r.Attempts, before.Attempts)
			}
		}
	})
}

func TestHowLongRecordsLive(t *testing.T) {
	keep := time.Hour
	for _, tc := range []struct {
		name        string
		record      record
		keep, least time.Duration
	}{
		{"queued", record{job: job{State: jobQueued}}, recordLife, 0},
		{"cancelled, with its message in the lane", record{job: job{State: jobCancelled}}, recordLife, 0},
		{"cancelled", record{job: job{State: jobCancelled}, Settled: true}, keep, leastLife},
		{"done", record{job: job{State: jobDone}, Settled: true}, keep, leastLife},
		{"done, and may be repeated", record{job: job{State: jobDone}, Settled: true, Print: "x"}, keep, keyedLife},
		{"perhaps accepted", record{job: job{State: jobQueued}, Unpublished: true}, leastLife, 0},
		{"perhaps accepted, and may be repeated", record{job: job{State: jobQueued}, Unpublished: true, Print: "x"}, keyedLife, 0},
		{"not accepted", record{job: job{State: jobFailed}, Withdrawn: true}, leastLife, 0},
	} {
		if r := tc.record.stored(7, keep); r.Keep != tc.keep || r.Least != tc.least || r.Revision != 7 {
			t.Errorf("%s: %v, %v at the least", tc.name, r.Keep, r.Least)
		}
	}
}
