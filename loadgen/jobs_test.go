package loadgen

import (
	"bytes"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/loadgen/app"
	"overtake/loadgen/arrival"
	"overtake/loadgen/completion"
	"overtake/loadgen/content"
)

// jobGateway answers every POST with 202 and delivers it to the app later, as
// a gateway with a queue does; every tenth delivery is repeated.
func jobGateway(t *testing.T, appURL string) string {
	t.Helper()
	var deliveries sync.WaitGroup
	t.Cleanup(deliveries.Wait) // after the server has stopped
	slots := make(chan struct{}, 16)
	var mu sync.Mutex
	n := 0
	return serve(t, func(ctx *fasthttp.RequestCtx) {
		mu.Lock()
		n++
		times := 1 + n%10/9
		mu.Unlock()
		id, query, body := string(ctx.Request.Header.Peek(completion.HeaderID)), string(ctx.QueryArgs().QueryString()), bytes.Clone(ctx.PostBody())
		deliveries.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			for range times {
				req, _ := http.NewRequest("POST", appURL+"/work?"+query, bytes.NewReader(body))
				req.Close = true
				req.Header.Set(completion.HeaderID, id)
				if resp, err := http.DefaultClient.Do(req); err == nil {
					_ = resp.Body.Close()
				}
			}
		})
		ctx.SetStatusCode(202)
	})
}

func TestJobsAreMeasuredToTheirCompletion(t *testing.T) {
	app, appURL := startApp(t, app.Config{Workers: 1})
	ask(t, "GET", appURL+"/work?ms=0", "jobs/1", "") // of somebody else, before
	url := jobGateway(t, appURL)
	got, phase := runClass(t, url, 500*time.Millisecond,
		Class{Name: "jobs", Class: "batch", Arrivals: arrival.Steady(60), Request: content.Spec{Method: "POST", Path: "/jobs?ms=20", Body: []byte("x")}, Job: true},
		Options{Completions: appURL + "/completions"})
	if got.Sent == 0 || got.Accepted != got.Sent || got.OK != got.Sent || !got.Job {
		t.Errorf("sent %d, accepted %d, completed %d, failed %v", got.Sent, got.Accepted, got.OK, got.Failed)
	}
	// One worker with 20 ms for each job has work for longer than the schedule
	// lasts: the last job ends that much after the last intended start.
	backlog := 20*Millis(got.Sent) - 500
	if got.Latency.P50 < 20 || got.Latency.Max < backlog {
		t.Errorf("latency %+v of %d jobs, app %+v", got.Latency, got.Sent, app.Stats())
	}
	if phase.Generator.LostCompletions != 0 {
		t.Errorf("lost %d", phase.Generator.LostCompletions)
	}
}

func TestJobsThatAreNeverDoneAreUnfinished(t *testing.T) {
	_, appURL := startApp(t, app.Config{})
	url := serve(t, func(ctx *fasthttp.RequestCtx) {
		if bytes.HasSuffix(ctx.Request.Header.Peek(completion.HeaderID), []byte("0")) {
			return // 200 is the wrong answer to a job
		}
		ctx.SetStatusCode(202)
	})
	got, _ := runClass(t, url, 300*time.Millisecond, Class{Name: "jobs", Arrivals: arrival.Steady(200), Request: content.Spec{Method: "POST", Path: "/"}, Job: true},
		Options{Completions: appURL + "/completions", Grace: 100 * time.Millisecond})
	if got.OK != 0 || got.Unfinished != got.Accepted || got.Failed["status 200, not 202"] != got.Sent-got.Accepted || got.Failed["status 200, not 202"] == 0 {
		t.Errorf("sent %d, accepted %d, ok %d, failed %v", got.Sent, got.Accepted, got.OK, got.Failed)
	}
}

func TestAMissingListOfCompletionsIsNoticed(t *testing.T) {
	url := serve(t, func(*fasthttp.RequestCtx) {})
	sc := Scenario{Target: url, Duration: time.Hour, Classes: []Class{{Name: "jobs", Arrivals: arrival.Steady(1), Request: content.Spec{Path: "/"}, Job: true}}}
	if _, err := Run(t.Context(), sc, Options{Completions: url + "/nothing"}); err == nil {
		t.Error("no list of completions there, and no error")
	}
}

// The answer and the completion of a job come in either order, and twice.
func TestJobBooks(t *testing.T) {
	r := newRecorder(0, time.Minute, 0, nil)
	f := &flow{recorder: r, start: time.Now()}
	at := func(seconds int) time.Time { return f.start.Add(time.Duration(seconds) * time.Second) }
	next := &answering{}
	j := newJobs(next)
	for _, id := range []string{"a", "b", "c", "d"} {
		r.start(0, 0)
		f.outstanding.Add(1)
		j.Send(&Call{ID: id, Class: &Class{Job: true}, flow: f, finish: (*Call).record, repeat: (*Call).recordRepeat})
	}
	next.finish("a", ok)
	j.complete("a", at(2))
	j.complete("a", at(3)) // delivered again
	j.complete("b", at(2)) // before its 202
	next.finish("b", ok)
	next.finish("c", failed(FailRead))
	j.complete("c", at(2)) // done although the post failed
	next.finish("d", ok)
	j.complete("of somebody else", at(1))
	if n := f.outstanding.Load(); n != 0 {
		t.Errorf("%d outstanding, but all posts are answered", n)
	}
	if n := j.pending(); n != 1 {
		t.Errorf("%d pending, want d", n)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	got := checkBooks(t, r.result(Class{}, time.Minute, ""))
	if got.OK != 2 || got.Accepted != 3 || got.Repeated != 1 || got.Failed[FailRead] != 1 || got.Unfinished != 1 ||
		near(got.Latency.Max, 2000) {
		t.Errorf("%+v", got)
	}
}

// answering is a Sender whose answers the test decides.
type answering struct{ calls []*Call }

func (a *answering) Send(c *Call) { a.calls = append(a.calls, c) }
func (a *answering) Close() error { return nil }

func (a *answering) finish(id string, o Outcome) {
	for _, c := range a.calls {
		if c.ID == id {
			c.Finish(o)
		}
	}
}
