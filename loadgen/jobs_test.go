package loadgen

import (
	"bytes"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
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
func TestJobBooks(t *testing.T) { synctest.Test(t, testJobBooks) }

func testJobBooks(t *testing.T) {
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
	time.Sleep(3 * time.Second)
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

// However many jobs a run has, only the latest are remembered when they are done.
func TestJobsThatAreDoneAreForgotten(t *testing.T) {
	f := &flow{recorder: newRecorder(0, time.Minute, 0, nil), start: time.Now()}
	next := &answering{}
	j := newJobs(next)
	for n := range rememberedJobs + 1 {
		f.recorder.start(0, 0)
		id := strconv.Itoa(n)
		j.Send(&Call{ID: id, Class: &Class{Job: true}, flow: f, finish: (*Call).record, repeat: (*Call).recordRepeat})
		if n%2 == 0 {
			j.complete(id, time.Now())
		}
		next.calls[n].Finish(ok)
		if n%2 == 1 {
			j.complete(id, time.Now())
		}
	}
	if len(j.byID) != 0 || j.pending() != 0 {
		t.Errorf("%d jobs are remembered as not done, %d as pending", len(j.byID), j.pending())
	}
	j.complete("0", time.Now()) // forgotten
	j.complete("1", time.Now())
	j.complete(strconv.Itoa(rememberedJobs), time.Now())
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	if got := checkBooks(t, f.recorder.result(Class{}, time.Minute, "")); got.OK != rememberedJobs+1 || got.Repeated != 2 {
		t.Errorf("%d done, %d repeated; want %d and 2", got.OK, got.Repeated, rememberedJobs+1)
	}
}

// What the 202 tells counts whichever way the end of the job becomes known.
func TestWhatTheAnswerToAJobTellsIsKept(t *testing.T) {
	accepted := Outcome{Kind: OutcomeOK, Bytes: 7, Queue: 5 * time.Millisecond}
	for name, finish := range map[string]func(*jobs, *answering){
		"answered first":  func(j *jobs, next *answering) { next.finish("a", accepted); j.complete("a", time.Now()) },
		"completed first": func(j *jobs, next *answering) { j.complete("a", time.Now()); next.finish("a", accepted) },
		"by its resource": func(j *jobs, next *answering) { next.finish("a", accepted); j.end("a", ok) },
	} {
		f := &flow{recorder: newRecorder(0, time.Minute, 0, nil), start: time.Now().Add(-time.Second)} // no request waits for longer than it takes
		f.recorder.start(0, 0)
		next := &answering{}
		j := newJobs(next)
		j.Send(&Call{ID: "a", Class: &Class{Job: true}, flow: f, finish: (*Call).record, repeat: (*Call).recordRepeat})
		finish(j, next)
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		if got := f.recorder.result(Class{}, time.Minute, ""); got.OK != 1 || got.Bytes != 7 || got.Queue.Count != 1 {
			t.Errorf("%s: %d done with %d bytes, %d of them told their time in the gateway", name, got.OK, got.Bytes, got.Queue.Count)
		}
	}
}

func TestCompletionsOverTLS(t *testing.T) {
	app := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"next":7}`)) }))
	defer app.Close()
	app.Config.ErrorLog = log.New(io.Discard, "", 0)
	if _, err := openCompletions(t.Context(), app.URL, nil); err == nil {
		t.Error("a certificate of nobody was trusted")
	}
	r, err := openCompletions(t.Context(), app.URL, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	if r.close(); r.next != 7 {
		t.Errorf("the list ends at %d, want 7", r.next)
	}
}

// The clock of an app is not to be trusted with memory or latencies.
func TestCompletionsOfAnotherClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(0, time.Minute, 0, nil)
		f := &flow{recorder: r, start: time.Now()}
		next := &answering{}
		j := newJobs(next)
		for _, id := range []string{"past", "future", "right"} {
			r.start(0, 0)
			j.Send(&Call{ID: id, Class: &Class{Job: true}, flow: f, finish: (*Call).record, repeat: (*Call).recordRepeat})
			next.finish(id, ok)
		}
		posted := time.Now()
		time.Sleep(2 * time.Second)
		j.complete("past", posted.Add(-time.Second))
		j.complete("future", posted.AddDate(100, 0, 0))
		j.complete("right", posted.Add(2*time.Second))
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		got := checkBooks(t, r.result(Class{}, time.Minute, ""))
		if got.OK != 3 || near(got.Latency.Max, 2000) || near(got.Latency.P50, 2000) || len(got.Series) != 3 || j.mistimedCompletions() != 2 {
			t.Errorf("%d mistimed, latency %+v in %d seconds", j.mistimedCompletions(), got.Latency, len(got.Series))
		}
	})
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
