package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"overtake/broker"
)

// A message that comes again although its job has ended does not reach the app.
func TestRecordSettlesTheMessage(t *testing.T) {
	app := serveRaw(t)
	seen := app.answering(okNoBody)
	queues, _ := openNATS(t)
	q := newFakeQueue()
	broken := queues["jobs"]
	broken.Publisher, broken.Consumer, broken.Depths = q, q, q.depths
	g := start(t, jobsRead, app.url(), map[string]Queue{"jobs": broken})
	location := g.post("/jobs/1")
	g.becomes(location, jobDone)
	id := strings.TrimPrefix(location, jobsPrefix)
	if got := q.settlement(t, 1); got != id+" done" {
		t.Errorf("settled as %q", got)
	}
	q.again(id)
	if got := q.settlement(t, 2); got != id+" done" {
		t.Errorf("settled as %q", got)
	}
	if n := len(seen.all()); n != 1 {
		t.Errorf("the app saw it %d times", n)
	}
}

// again delivers a message once more.
func (q *fakeQueue) again(id string) { q.replay(id, "") }

// replay delivers a message that was a dead letter.
func (q *fakeQueue) replay(id, replayed string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	m := &fakeMessage{attempt: 1, Message: broker.Message{ID: id, Class: "standard"}}
	if replayed != "" {
		m.attempt, m.Header = 0, broker.Header{broker.HeaderReplayed: {replayed}}
	}
	q.put(m)
}

// A job whose dead letter is replayed is worked on again, once for each replay.
func TestReplayedJobIsWorkedOnAgain(t *testing.T) {
	var cured atomic.Bool
	var seen atomic.Int32
	app := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		if !cured.Load() {
			http.Error(w, "no", http.StatusUnprocessableEntity)
		}
	})
	queues, _ := openNATS(t)
	q := newFakeQueue()
	queue := queues["jobs"]
	queue.Publisher, queue.Consumer, queue.Depths = q, q, q.depths
	g := start(t, jobsRead, app, map[string]Queue{"jobs": queue})
	location := g.post("/jobs/1")
	id := strings.TrimPrefix(location, jobsPrefix)
	g.becomes(location, jobFailed)
	for i, replayed := range []string{"", "1", "1", "2"} {
		q.replay(id, replayed)
		if got := q.settlement(t, i+2); got != id+" dead: the app answered 422" {
			t.Errorf("replay %q was settled as %q", replayed, got)
		}
	}
	if n := seen.Load(); n != 3 {
		t.Errorf("the app saw it %d times, want one for each life", n)
	}
	cured.Store(true)
	q.replay(id, "3")
	if j := g.becomes(location, jobDone); j.Attempts != 1 || j.Answer == nil || j.Answer.Status != 200 {
		t.Errorf("it is %+v", j)
	}
}

func TestAppThatIsAwayLeavesJobsQueued(t *testing.T) {
	g := startJobs(t, deadAddress(t))
	location := g.post("/jobs/1")
	eventually(t, "the courier has found nobody", func() bool {
		return g.status(location).Reason == "connect_failed"
	})
	if f := g.fetch("DELETE", location, nil); !strings.Contains(f.body, `"state":"cancelled"`) {
		t.Errorf("DELETE: %v %s", f.Response, f.body)
	}
	eventually(t, "it is settled", func() bool { return g.settlements("cancelled") == 1 })
	again := g.post("/jobs/2")
	eventually(t, "the courier looks for the app again", func() bool {
		return g.status(again).Reason == "connect_failed"
	})
	g.fetch("DELETE", again, nil)
	eventually(t, "it is settled", func() bool { return g.settlements("cancelled") == 2 })
}

func TestNoStoreForJobs(t *testing.T) {
	q := newFakeQueue()
	g := start(t, jobsOnly, deadAddress(t), q.open())
	location := g.post("/jobs/1", "Prefer: wait=60")
	wantRefusal(t, g.get(location), 404, "no_upstream")
}

func TestRecordIsGivenBackByTheBrokersRefusal(t *testing.T) {
	queues, _ := openNATS(t)
	q := newFakeQueue()
	broken := queues["jobs"]
	broken.Publisher, broken.Consumer, broken.Depths = q, q, q.depths
	g := start(t, jobsRead, deadAddress(t), map[string]Queue{"jobs": broken})
	for _, err := range []error{broker.ErrFull, broker.ErrUnavailable} {
		q.breaks(err)
		if f := g.fetch("POST", "/jobs/1", strings.NewReader("work"), "Idempotency-Key: k"); f.StatusCode != 503 {
			t.Fatalf("got %v", f.Response)
		}
	}
	q.breaks(nil)
	location := g.post("/jobs/1", "Idempotency-Key: k")
	if j := g.status(location); j.State.ended() {
		t.Errorf("it is %+v", j)
	}
	eventually(t, "its message is there", func() bool { return g.inHand("standard") == 1 })
}

func (g *testGateway) inHand(class string) (n int32) {
	for _, l := range g.lanes {
		if l.name == class {
			n += l.working.Load()
		}
	}
	return n
}

func TestDeadStatusesOfAQueue(t *testing.T) {
	for status, want := range map[int][]string{
		400: {" retry ", " dead: attempt 2 of 2: the app answered 400"},
		501: {" dead: the app answered 501"},
		429: {" dead: the app answered 429"},
	} {
		app := serveRaw(t)
		app.answering(fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", status))
		q := newFakeQueue()
		g := start(t, strings.Replace(jobsTo, "attempts: 2", "attempts: 2, dead: [501, 429]", 1), app.url(), q.open())
		g.fetch("POST", "/jobs/1", nil)
		for i, how := range want {
			if got := q.settlement(t, i+1); !strings.Contains(got, how) {
				t.Errorf("attempt %d, answered %d, was settled as %q, want %q", i+1, status, got, how)
			}
		}
	}
}
