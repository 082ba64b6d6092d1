package loadgen

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/loadgen/arrival"
	"overtake/loadgen/completion"
	"overtake/loadgen/content"
)

// sentTargets returns the target of each request that came, by its number from
// the first on.
func sentTargets(t *testing.T, work time.Duration, opts Options) (byNumber map[int64]string, result ClassResult) {
	t.Helper()
	var mu sync.Mutex
	byNumber = make(map[int64]string)
	url := serve(t, func(ctx *fasthttp.RequestCtx) {
		_, number, _ := strings.Cut(string(ctx.Request.Header.Peek(completion.HeaderID)), "/")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			t.Errorf("id %q", number)
		}
		mu.Lock()
		byNumber[n] = string(ctx.RequestURI())
		mu.Unlock()
		time.Sleep(work)
	})
	result, _ = runClass(t, url, 300*time.Millisecond, Class{
		Name: "a", Arrivals: arrival.Steady(200), Request: content.Spec{Path: "/{{hex 16}}"},
	}, opts)
	mu.Lock()
	defer mu.Unlock()
	first := int64(math.MaxInt64) // is never skipped
	for n := range byNumber {
		first = min(first, n)
	}
	fromFirst := make(map[int64]string)
	for n, target := range byNumber {
		fromFirst[n-first] = target
	}
	return fromFirst, result
}

// The n-th request of a seed is the same, however many before it were skipped.
func TestSkippedRequestsAreDrawn(t *testing.T) {
	all, result := sentTargets(t, 0, Options{})
	some, skipping := sentTargets(t, 20*time.Millisecond, Options{MaxOutstanding: 1})
	if result.Skipped != 0 || skipping.Skipped == 0 || skipping.Sent < 2 || skipping.Intended != result.Intended {
		t.Fatalf("of %d intended, skipped %d; of %d, %d", result.Intended, result.Skipped, skipping.Intended, skipping.Skipped)
	}
	for n, target := range some {
		if all[n] != target {
			t.Errorf("request %d was %s, with skips %s", n, all[n], target)
		}
	}
}

// instant is a sender that finishes each call at once, as one for messages might.
type instant struct {
	mu    sync.Mutex
	calls *[]string
	shut  bool
}

func (s *instant) Send(c *Call) {
	s.mu.Lock()
	*s.calls = append(*s.calls, c.ID)
	s.mu.Unlock()
	c.Finish(Outcome{Kind: OutcomeOK, Queue: -1})
}

func (s *instant) Close() error {
	s.shut = true
	return nil
}

// A scenario needs no target if each class has an endpoint.
func TestEndpoints(t *testing.T) {
	var orders []string
	queue := &instant{calls: &orders}
	url := serve(t, func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("ok") })
	sc := Scenario{
		Duration:  100 * time.Millisecond,
		Endpoints: map[string]Endpoint{"web": {Kind: "http", URL: url}, "orders": {Kind: "queue", URL: "queue://somewhere"}},
		Classes: []Class{
			{Name: "page", Endpoint: "web", Arrivals: arrival.Plan{Bursts: arrival.Bursts{Size: 3}}, Request: content.Spec{Path: "/"}},
			{Name: "order", Endpoint: "orders", Arrivals: arrival.Plan{Bursts: arrival.Bursts{Size: 5}}, Request: content.Spec{BodyBytes: 9}},
		},
	}
	if _, err := Run(t.Context(), sc, Options{}); err == nil || !strings.Contains(err.Error(), `endpoint "orders": kind "queue" is not known`) {
		t.Errorf("without a sender: %v", err)
	}
	var opened Endpoint
	open := func(_ context.Context, e Endpoint, classes []Class) (Sender, error) {
		opened = e
		if len(classes) != 1 || classes[0].Name != "order" {
			return nil, errors.New("not the classes that name it")
		}
		return queue, nil
	}
	report, err := Run(t.Context(), sc, Options{Senders: map[string]OpenSender{"queue": open}})
	if err != nil {
		t.Fatal(err)
	}
	page, order := checkBooks(t, report.Runs[0].Classes[0]), checkBooks(t, report.Runs[0].Classes[1])
	if page.OK != 3 || page.Endpoint != "web" || page.Bytes != 6 || order.OK != 5 || order.Endpoint != "orders" {
		t.Errorf("page: ok %d of %q; order: ok %d of %q", page.OK, page.Endpoint, order.OK, order.Endpoint)
	}
	if opened.URL != "queue://somewhere" || len(orders) != 5 || !queue.shut || report.Target != "" {
		t.Errorf("opened %+v, sent %v, closed %v, target %q", opened, orders, queue.shut, report.Target)
	}
}

// Requests have a trace each, of which a share is sampled, unless they bring one.
func TestTraceParent(t *testing.T) {
	const own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	var mu sync.Mutex
	seen := make(map[string][]string)
	url := serve(t, func(ctx *fasthttp.RequestCtx) {
		mu.Lock()
		defer mu.Unlock()
		for _, value := range ctx.Request.Header.PeekAll("traceparent") {
			seen[string(ctx.Path())] = append(seen[string(ctx.Path())], string(value))
		}
	})
	burst := arrival.Plan{Bursts: arrival.Bursts{Size: 40}}
	report, err := Run(t.Context(), Scenario{Target: url, Duration: 100 * time.Millisecond, Classes: []Class{
		{Name: "a", Arrivals: burst, Request: content.Spec{Path: "/a"}},
		{Name: "b", Arrivals: burst, Request: content.Spec{Path: "/b"}},
		{Name: "own", Arrivals: burst, Request: content.Spec{Path: "/own", Fields: []content.Field{{Name: "Traceparent", Value: own}}}},
	}}, Options{TraceSample: 0.25, Jaeger: "http://jaeger:16686/"})
	if err != nil {
		t.Fatal(err)
	}
	traces := make(map[string]string) // their flags
	for _, path := range []string{"/a", "/b"} {
		sampled := 0
		for _, value := range seen[path] {
			version, rest, _ := strings.Cut(value, "-")
			id, flags := traceID(value), rest[len(rest)-2:]
			if version != "00" || len(value) != len(own) || flags != "00" && flags != "01" {
				t.Errorf("%s: traceparent %q", path, value)
			}
			if flags == "01" {
				sampled++
			}
			traces[id] = flags
		}
		if len(seen[path]) != 40 || sampled != 10 {
			t.Errorf("%s: %d traces, %d of them sampled", path, len(seen[path]), sampled)
		}
	}
	if len(traces) != 80 || !slices.Equal(slices.Compact(seen["/own"]), []string{own}) || len(seen["/own"]) != 40 {
		t.Errorf("%d traces, own: %v", len(traces), seen["/own"])
	}
	slow := report.Runs[0].Classes[0].Slowest
	if len(slow) != keepSlowest {
		t.Errorf("%d slowest requests", len(slow))
	}
	for _, s := range slow {
		link := map[string]string{"00": "", "01": "http://jaeger:16686/trace/" + s.TraceID} // where there is a trace
		if want, known := link[traces[s.TraceID]]; !known || s.URL != want || s.Request != "GET /a" {
			t.Errorf("one of the slowest: %+v", s)
		}
	}
}
