package loadgen

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/loadgen/arrival"
	"overtake/loadgen/content"
)

// jobAPI takes jobs by POST, each of which ends after lasting, and tells of them at
// /jobs/<number>. Jobs are numbered from 0.
type jobAPI struct {
	lasting time.Duration
	// state is how a job ends; nil is done.
	state func(n int) string
	// location is the Location of a job; nil is that of its resource.
	location func(n int) string
	// finished formats the time when a job ended; nil leaves it out.
	finished func(time.Time) string

	mu    sync.Mutex
	ends  []time.Time
	looks int
}

func (a *jobAPI) serve(ctx *fasthttp.RequestCtx) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ctx.IsPost() {
		n := len(a.ends)
		a.ends = append(a.ends, time.Now().Add(a.lasting))
		ctx.SetStatusCode(202)
		location := fmt.Sprintf("/jobs/%d", n)
		if a.location != nil {
			location = a.location(n)
		}
		if location != "" {
			ctx.Response.Header.Set("Location", location)
		}
		return
	}
	a.looks++
	var n int
	if _, err := fmt.Sscanf(string(ctx.Path()), "/jobs/%d", &n); err != nil || n >= len(a.ends) {
		ctx.Error(`{"title":"no such job"}`, 404)
		return
	}
	view := map[string]any{"id": fmt.Sprint(n), "state": "running"}
	if end := a.ends[n]; time.Now().After(end) {
		view["state"] = "done"
		if a.state != nil {
			view["state"] = a.state(n)
		}
		if a.finished != nil {
			view["finished"] = a.finished(end)
		}
	}
	body, _ := json.Marshal(view)
	ctx.SetBody(body)
}

// postJobs posts jobs to a for half a second and returns what became of them.
func postJobs(t *testing.T, a *jobAPI, rate float64) ClassResult {
	t.Helper()
	got, _ := runClass(t, serve(t, a.serve), 500*time.Millisecond,
		Class{Name: "jobs", Arrivals: arrival.Steady(rate), Request: content.Spec{Method: "POST", Path: "/jobs"}, Job: true}, Options{})
	return got
}

func TestJobsAreFollowedToTheirEndByLocation(t *testing.T) {
	const lasting = 150 * time.Millisecond
	for name, a := range map[string]*jobAPI{
		"with the time": {finished: func(at time.Time) string { return at.Format(time.RFC3339Nano) }},
		"without":       {},
		"another clock": {finished: func(at time.Time) string { return at.Add(-time.Hour).Format(time.RFC3339Nano) }},
		"no time":       {finished: func(time.Time) string { return "yesterday" }},
	} {
		t.Run(name, func(t *testing.T) {
			a.lasting = lasting
			got := postJobs(t, a, 100)
			if got.Sent == 0 || got.Accepted != got.Sent || got.OK != got.Sent {
				t.Errorf("sent %d, accepted %d, completed %d, failed %v", got.Sent, got.Accepted, got.OK, got.Failed)
			}
			// Where no time can be believed, it is off by half the time between two looks,
			// or since the post if that is the first.
			least := Millis(lasting.Milliseconds())
			if name != "with the time" {
				least *= 0.5
			}
			if got.Service.P50 < least {
				t.Errorf("latency %+v, want %v at least", got.Service, least)
			}
		})
	}
}

func TestHowJobsFail(t *testing.T) {
	a := &jobAPI{
		state: func(n int) string { return []string{"done", "failed", "cancelled"}[n%3] },
		location: func(n int) string {
			switch n % 10 {
			case 7:
				return ""
			case 8:
				return "http://192.0.2.1/jobs/8" // somebody else's: is sent nothing
			case 9:
				return "/jobs/99999"
			}
			return fmt.Sprintf("/jobs/%d", n)
		},
	}
	got := postJobs(t, a, 200)
	want := map[string]int64{}
	for n := range got.Sent {
		switch n % 10 {
		case 7, 8:
			want[FailLocation]++
		case 9:
			want[FailUnknown]++
		default:
			if n%3 != 0 {
				want[FailJob]++
			}
		}
	}
	if fmt.Sprint(got.Failed) != fmt.Sprint(want) || got.Accepted != got.Sent || got.Unfinished != 0 || got.OK == 0 {
		t.Errorf("%+v, want %v", got.Counts, want)
	}
}

// Who may not ask is told nothing, as with an API that wants a token.
func TestLooksHaveTheCredentialsOfTheirJob(t *testing.T) {
	a := &jobAPI{}
	url := serve(t, func(ctx *fasthttp.RequestCtx) {
		h := &ctx.Request.Header
		if string(h.Peek("Authorization")) != "Bearer me" || string(h.Peek("X-Api-Key")) != "k" || ctx.IsGet() && h.Peek("X-Other") != nil {
			ctx.SetStatusCode(401)
			return
		}
		a.serve(ctx)
	})
	fields := []content.Field{{Name: "authorization", Value: "Bearer me"}, {Name: "X-API-Key", Value: "k"}, {Name: "X-Other", Value: "o"}}
	got, _ := runClass(t, url, 200*time.Millisecond,
		Class{Name: "jobs", Arrivals: arrival.Steady(100), Request: content.Spec{Method: "POST", Path: "/jobs", Fields: fields}, Job: true}, Options{})
	if got.Sent == 0 || got.OK != got.Sent {
		t.Errorf("%+v", got.Counts)
	}
}

func TestLocationsOfOneServer(t *testing.T) {
	for _, test := range []struct {
		target, location string
		want             bool
	}{
		{"http://api.test", "http://API.test:80/jobs/1", true},
		{"https://api.test:443", "https://api.test/jobs/1", true},
		{"http://[::1]:8080", "//[::1]:8080/jobs/1", true},
		{"http://api.test", "http://api.test:443/jobs/1", false},
		{"https://api.test", "http://api.test/jobs/1", false},
		{"http://api.test", "http://api.test.evil/jobs/1", false},
	} {
		l, err := openLocations(test.target, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.follow(&Call{Request: &content.Request{}}, test.location, time.Now()); got != test.want {
			t.Errorf("%s of %s: %v", test.location, test.target, got)
		}
	}
}

// Looks are few, however many jobs there are and however long they take.
func TestLooksAreNoLoadOfTheirOwn(t *testing.T) {
	a := &jobAPI{lasting: 700 * time.Millisecond}
	began := time.Now()
	got := postJobs(t, a, 1000)
	bound := looksPerJob*int(got.Accepted) + int(looksPerSecond*(time.Since(began).Seconds()+1))
	if a.looks > bound || got.OK != got.Sent {
		t.Errorf("%d looks for %d jobs, %d of which were seen to end; want up to %d looks", a.looks, got.Accepted, got.OK, bound)
	}
}

func TestJobsThatDoNotEndAreUnfinished(t *testing.T) {
	a := &jobAPI{lasting: time.Hour}
	got, _ := runClass(t, serve(t, a.serve), 200*time.Millisecond,
		Class{Name: "jobs", Arrivals: arrival.Steady(100), Request: content.Spec{Method: "POST", Path: "/jobs"}, Job: true},
		Options{Grace: 100 * time.Millisecond})
	if got.Sent == 0 || got.Unfinished != got.Sent || got.Accepted != got.Sent {
		t.Errorf("%+v", got.Counts)
	}
}

// A resource that is not there for a while is asked again.
func TestLooksAreRepeatedAfterTrouble(t *testing.T) {
	a := &jobAPI{}
	var mu sync.Mutex
	trouble := 30
	url := serve(t, func(ctx *fasthttp.RequestCtx) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.IsGet() && trouble > 0 {
			trouble--
			ctx.SetStatusCode([]int{429, 500, 503}[trouble%3])
			return
		}
		a.serve(ctx)
	})
	got, _ := runClass(t, url, 200*time.Millisecond,
		Class{Name: "jobs", Arrivals: arrival.Steady(100), Request: content.Spec{Method: "POST", Path: "/jobs"}, Job: true}, Options{})
	if got.Sent == 0 || got.OK != got.Sent {
		t.Errorf("%+v", got.Counts)
	}
}

func FuzzJobView(f *testing.F) {
	for _, seed := range []string{
		`{"id":"A","state":"done","finished":"2026-11-21T10:18:25.387702063Z"}`, `{"state":"queued"}`, `{"state":1}`,
		`{"state":"done","finished":7}`, `{}`, `[]`, ``, `{"state":"done","finished":"9999-99-99"}`,
	} {
		f.Add(seed)
	}
	from := time.Now()
	to := from.Add(time.Second)
	f.Fuzz(func(t *testing.T, body string) {
		view, ok := parseJob([]byte(body))
		if ok != (view.State != "") || !ok && !view.Finished.IsZero() {
			t.Errorf("%+v, %v", view, ok)
		}
		if ok && !strings.Contains(body, "{") {
			t.Errorf("%+v of no object", view)
		}
		if end, within := view.end(from, to); end.Add(-within).Before(from) || end.Add(within).After(to) {
			t.Errorf("ended %v, to within %v, want between %v and %v", end, within, from, to)
		}
	})
}
