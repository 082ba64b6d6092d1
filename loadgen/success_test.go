package loadgen

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/loadgen/arrival"
	"overtake/loadgen/content"
)

// A class says which answers are successes; all others are what they were.
func TestWhatASuccessIs(t *testing.T) {
	statuses := []int{200, 204, 302, 304, 404, 503}
	for _, test := range []struct {
		success []Statuses
		job     bool
		want    string // the rounds of statuses that are ok, shed and failed
		shown   []string
	}{
		{nil, false, "2 1 map[status 302:1 status 304:1 status 404:1]", []string{"2xx"}},
		{[]Statuses{2, 304}, false, "3 1 map[status 302:1 status 404:1]", []string{"2xx", "304"}},
		{[]Statuses{404}, false, "1 1 map[status 200:1 status 204:1 status 302:1 status 304:1]", []string{"404"}},
		{[]Statuses{2, 3, 4, 5}, false, "6 0 map[]", []string{"2xx", "3xx", "4xx", "5xx"}},
		{nil, true, "0 1 map[status 200, not 202:1 status 204, not 202:1 status 302:1 status 304:1 status 404:1]", []string{"202"}},
	} {
		var n atomic.Int64
		url := serve(t, func(ctx *fasthttp.RequestCtx) {
			status := statuses[int(n.Add(1)-1)%len(statuses)]
			ctx.SetStatusCode(status)
			if status == 503 {
				ctx.Response.Header.Set(HeaderReason, "queue_full")
			}
		})
		class := Class{Name: "a", Arrivals: arrival.Plan{Bursts: arrival.Bursts{Size: len(statuses)}},
			Request: content.Spec{Method: "POST", Path: "/"}, Success: test.success, Job: test.job}
		got, _ := runClass(t, url, 100*time.Millisecond, class, Options{})
		if what := fmt.Sprint(got.OK, got.ShedTotal(), got.Failed); what != test.want || !slices.Equal(got.Success, test.shown) {
			t.Errorf("%v: %s, want %s; successes are %v, want %v", test.success, what, test.want, got.Success, test.shown)
		}
	}
}

func TestSuccessOfJobsAndMessagesIsRefused(t *testing.T) {
	class := jobClass("a", 1)
	class.Success = []Statuses{2}
	for http, job := range map[bool]bool{true: true, false: false} {
		if class.Job = job; class.check(http) == nil {
			t.Errorf("with HTTP %v, a job %v: accepted", http, job)
		}
	}
}

func FuzzParseStatuses(f *testing.F) {
	for _, seed := range []string{"200", "2xx", "5xx", "599", "6xx", "199", "20x", "", "+20", "2Xx", "٢٠٠"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, ok := ParseStatuses(text)
		if ok != (s != 0) || ok && s.String() != text {
			t.Errorf("%q is %d, %v, and written %q", text, s, ok, s)
		}
		if ok && !s.Has(s) || ok && s >= 10 && !(s/100).Has(s) {
			t.Errorf("%s is not in itself, or its class", s)
		}
	})
}
