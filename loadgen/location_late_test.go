package loadgen

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/loadgen/arrival"
	"overtake/loadgen/content"
)

// jobClass posts jobs to path at this rate.
func jobClass(name string, rate float64) Class {
	return Class{Name: name, Arrivals: arrival.Steady(rate), Request: content.Spec{Method: "POST", Path: "/" + name}, Job: true}
}

// hanging serves a, but for looks at the jobs for which hangs is true: they get no
// answer before the test ends. The Location of jobs posted to /hang ends with ?hang.
func hanging(t *testing.T, a *jobAPI, hangs func(uri string) bool) string {
	t.Helper()
	over := make(chan struct{})
	url := serve(t, func(ctx *fasthttp.RequestCtx) {
		if ctx.IsGet() && hangs(string(ctx.RequestURI())) {
			<-over
			return
		}
		a.serve(ctx)
		if string(ctx.Path()) == "/hang" {
			ctx.Response.Header.Set("Location", string(ctx.Response.Header.Peek("Location"))+"?hang")
		}
	})
	t.Cleanup(func() { close(over) }) // before the server is shut down
	return url
}

// A resource that hangs holds up looks at no other job: neither of another class, nor
// of its own.
func TestLooksThatHangHoldUpNoOther(t *testing.T) {
	finished := func(at time.Time) string { return at.Format(time.RFC3339Nano) }
	a, b := &jobAPI{finished: finished}, &jobAPI{finished: finished}
	odd := func(uri string) bool { return strings.ContainsAny(uri[len(uri)-1:], "13579") }
	sc := Scenario{Duration: time.Second, Seed: 1, Classes: []Class{jobClass("good", 100), jobClass("hang", 60), jobClass("mixed", 60)}, Endpoints: map[string]Endpoint{
		"a": {Kind: kindHTTP, URL: hanging(t, a, func(uri string) bool { return strings.HasSuffix(uri, "?hang") })},
		"b": {Kind: kindHTTP, URL: hanging(t, b, odd)},
	}}
	sc.Classes[0].Endpoint, sc.Classes[1].Endpoint, sc.Classes[2].Endpoint = "a", "a", "b"
	report, err := Run(t.Context(), sc, Options{Grace: 4 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	classes := report.Runs[0].Classes
	if good := checkBooks(t, classes[0]); good.Sent == 0 || good.OK != good.Sent || good.EndError.Max != 0 {
		t.Errorf("good: %+v, ends known to within %+v", good.Counts, good.EndError)
	}
	if hang := checkBooks(t, classes[1]); hang.Sent < lookers/8 || hang.Unfinished != hang.Sent || hang.OverdueLooks != 0 {
		t.Errorf("hang: %+v, %d overdue", hang.Counts, hang.OverdueLooks)
	}
	if mixed := checkBooks(t, classes[2]); mixed.OK != (mixed.Sent+1)/2 || mixed.OK+mixed.Unfinished != mixed.Sent || mixed.EndError.Max != 0 {
		t.Errorf("mixed: %+v, ends known to within %+v", mixed.Counts, mixed.EndError)
	}
}

// What a slow resource leaves open is counted and judged, and what it tells is not.
func TestEndsThatAreNotKnownAreJudged(t *testing.T) {
	for name, a := range map[string]*jobAPI{
		"told":     {finished: func(at time.Time) string { return at.Format(time.RFC3339Nano) }},
		"not told": {},
	} {
		url := serve(t, func(ctx *fasthttp.RequestCtx) {
			a.serve(ctx)
			if ctx.IsGet() {
				time.Sleep(200 * time.Millisecond) // the answer is slow
			}
		})
		report, err := Run(t.Context(), Scenario{Target: url, Duration: 500 * time.Millisecond, Classes: []Class{jobClass("jobs", 100)}}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		run := report.Runs[0]
		got := checkBooks(t, run.Classes[0])
		if got.OK != got.Sent || got.LookLag.Count < got.OK || got.EndError.Count != got.OK {
			t.Errorf("%s: %+v; %d looks, %d ends", name, got.Counts, got.LookLag.Count, got.EndError.Count)
		}
		judged := strings.Contains(run.Verdict.String(), "when jobs of class jobs were done is only known to within")
		if told := name == "told"; told != (got.EndError.Max == 0) || told == judged {
			t.Errorf("%s: ends are known to within %+v of %+v: %s", name, got.EndError, got.Latency, run.Verdict)
		}
	}
}

// What waits for a look when the run ends may have ended.
func TestOverdueLooks(t *testing.T) {
	l, err := openLocations("http://127.0.0.1:1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &flow{recorder: newRecorder(0, time.Minute, 0, nil), start: time.Now()}
	for _, late := range []time.Duration{-time.Second, overdueLook / 2, 2 * overdueLook, 3 * overdueLook} {
		call := &Call{Request: &content.Request{}, flow: f}
		l.follow(call, "/jobs/1", time.Now())
		l.fresh.due[len(l.fresh.due)-1].next = time.Now().Add(-late)
	}
	l.stuck.due = slices.Clone(l.fresh.due)
	want := int64(2)
	for _, l.slow = range []bool{false, true} {
		l.reportOverdue()
		if got := f.recorder.looks.overdue; got != want {
			t.Errorf("%d overdue, want %d", got, want)
		}
		want = 6
	}
	v := judge(GeneratorUsage{}, []lateness{f.recorder.lateness("a")})
	if v.State != GeneratorBound || !strings.Contains(v.String(), "6 jobs of class a count as unfinished") {
		t.Error(v)
	}
}

// A time in whole seconds was cut: the end is in the second that begins there, and in
// between the two looks.
func TestEndOfAJobInWholeSeconds(t *testing.T) {
	second := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(ms int) time.Time { return second.Add(time.Duration(ms) * time.Millisecond) }
	for _, c := range []struct {
		name                 string
		finished             time.Time
		from, to, at, within int
	}{
		{"exact", at(250), -100, 900, 250, 0},
		{"cut, within one second", second, 300, 500, 400, 100},
		{"cut, the second ends first", second, 600, 1400, 800, 200},
		{"cut, another second", second, 1200, 1400, 1300, 100},
		{"not told", time.Time{}, 300, 500, 400, 100},
	} {
		end, within := jobView{Finished: c.finished}.end(at(c.from), at(c.to))
		if !end.Equal(at(c.at)) || within != time.Duration(c.within)*time.Millisecond {
			t.Errorf("%s: %v within %v, want %v within %d ms", c.name, end, within, at(c.at), c.within)
		}
	}
}
