package topology

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// One request at a front door reaches the services that it should, and no others.
func TestBuiltinGraphs(t *testing.T) {
	for _, test := range []struct{ graph, service, path, want string }{
		{"e-library", "frontend", "/books", "frontend 1, details 1, reviews 1, ratings 1"},
		{"e-library", "frontend", "/analytics", "frontend 1, details 1, reviews 1, ratings 1"},
		{"bookinfo", "productpage", "/productpage", "productpage 1, details 1, reviews 1, ratings ?"},
		{"retail-30", "web", "/checkout", "web 1, sessions 1, session-store 1, prices 1, promotions 1, promotion-rules ?, stock 1, " +
			"warehouse 1, carts 1, cart-store 1, checkout 1, addresses 1, payments 1, fraud 1, orders 1, order-db 1"},
		{"retail-30", "web", "/search", "web 1, prices 1, promotions 1, promotion-rules ?, search 1, search-index 3"},
		{"retail-30", "web", "/reports", "web 1, products 1, product-db 1, orders 1, order-db 1, reports 1"},
	} {
		t.Run(test.graph+test.path, func(t *testing.T) {
			g, ok := Builtin(test.graph)
			if !ok {
				t.Fatal("is not there")
			}
			r := run(t, g, Options{})
			r.mustGet(test.service, test.path)
			var got []string
			for _, part := range strings.Split(r.requests(), ", ") {
				name, n, _ := strings.Cut(part, " ")
				if strings.Contains(test.want+",", name+" ?") {
					n = "?"
				}
				if n != "0" {
					got = append(got, name+" "+n)
				}
			}
			if strings.Join(got, ", ") != test.want {
				t.Errorf("requests: %s\nwant:     %s", strings.Join(got, ", "), test.want)
			}
		})
	}
	if g, _ := Builtin("retail-30"); len(g.Services) != 30 {
		t.Errorf("retail-30 has %d services", len(g.Services))
	}
	if g, ok := Builtin("../x"); ok {
		t.Errorf("found %v", g)
	}
}

// What analytics gets from reviews is 200 times as large as what people get.
func TestELibraryAnalyticsIsLarge(t *testing.T) {
	g, _ := Builtin("e-library")
	r := run(t, g, Options{})
	small, large := len(r.mustGet("reviews", "/reviews")), len(r.mustGet("reviews", "/reviews/all"))
	if large != 200*small {
		t.Errorf("%d and %d bytes", small, large)
	}
}

// recorder is a service of the test's own, which graphs call by URL.
func recorder(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

// Of a request's headers, those that are listed go on, spelled as they came, and
// nothing else does.
func TestForwardedHeaders(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	url := recorder(t, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var all []string
		for name, values := range r.Header {
			all = append(all, name+"="+strings.Join(values, "+"))
		}
		slices.Sort(all)
		seen = append(seen, r.URL.Path+" "+strings.Join(all, " "))
	})
	const text = `
services:
  usual: {endpoints: [{path: /, calls: [{url: "%[1]s/usual"}]}]}
  own:   {forward: [X-Api-Key, accept-language], endpoints: [{path: /, calls: [{url: "%[1]s/own"}]}]}
  none:  {forward: [], endpoints: [{path: /, calls: [{url: "%[1]s/none", body: 10B}]}]}
`
	r := run(t, parse(t, fmt.Sprintf(text, url)), Options{})
	headers := []string{
		"traceparent", "00-1-2-01", "Tracestate", "a=1", "baggage", "b=2", "X-Request-Id", "r1", "Latency-Class", "batch",
		"X-Api-Key", "k1", "X-Api-Key", "k2", "Accept-Language", "de", "Cookie", "c=1", "X-Other", "o",
	}
	for _, service := range []string{"usual", "own", "none"} {
		r.mustGet(service, "/", headers...)
	}
	r.mustGet("usual", "/")
	want := []string{
		"/usual Baggage=b=2 Traceparent=00-1-2-01 Tracestate=a=1 X-Request-Id=r1",
		"/own Accept-Language=de X-Api-Key=k1+k2",
		"/none Content-Length=10",
		"/usual",
	}
	for i, line := range seen {
		if got := strings.TrimSpace(line); got != want[i] {
			t.Errorf("call %d: %s\nwant: %s", i+1, got, want[i])
		}
	}
	if len(seen) != len(want) {
		t.Errorf("%d calls", len(seen))
	}
}

// Calls in a list are made one after the other, those under parallel together: none
// of those here is answered before all have come.
func TestCallsInOrderAndParallel(t *testing.T) {
	var together sync.WaitGroup
	together.Add(3)
	var mu sync.Mutex
	var events []string
	note := func(event string) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, event)
	}
	url := recorder(t, func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/p") {
			together.Done()
			together.Wait()
			note("parallel")
			return
		}
		note("begin " + r.URL.Path)
		note("end " + r.URL.Path)
	})
	r := run(t, parse(t, fmt.Sprintf(`
services:
  a:
    endpoints:
      - path: /
        calls:
          - {url: "%[1]s/1"}
          - parallel: [{url: "%[1]s/p1"}, {url: "%[1]s/p2"}, {url: "%[1]s/p3"}]
          - {url: "%[1]s/2"}
`, url)), Options{})
	r.mustGet("a", "/")
	want := "begin /1, end /1, parallel, parallel, parallel, begin /2, end /2"
	if got := strings.Join(events, ", "); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// What is drawn depends on the seed alone, and comes as often as it should.
func TestChanceBySeed(t *testing.T) {
	const text = `
seed: %d
services:
  a: {endpoints: [{path: /, response: {uniform: {min: 0B, max: 1KiB}}, failures: 10%%, calls: [{service: b, path: /, probability: 30%%}]}]}
  b: {endpoints: [{path: /}]}
`
	play := func(seed int) (sequence string, calls, failures int64) {
		r := run(t, parse(t, fmt.Sprintf(text, seed)), Options{})
		var b strings.Builder
		for range 400 {
			before := r.stats("b").Requests
			status, body := r.get("a", "/")
			if status == 500 {
				body = ""
			}
			fmt.Fprintf(&b, "%d %d %d\n", status, len(body), r.stats("b").Requests-before)
		}
		return b.String(), r.stats("b").Requests, r.stats("a").Failures
	}
	first, calls, failures := play(1)
	if again, _, _ := play(1); again != first {
		t.Error("the same seed drew something else")
	}
	if other, _, _ := play(2); other == first {
		t.Error("another seed drew the same")
	}
	// Four standard deviations around 40 and 108.
	if failures < 16 || failures > 64 || calls < 74 || calls > 142 {
		t.Errorf("%d failures and %d calls of 400 requests", failures, calls)
	}
}

// One worker takes requests in the order of arrival.
func TestWorkersAreFIFO(t *testing.T) {
	release := make(chan struct{})
	var mu sync.Mutex
	var order []string
	url := recorder(t, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		order = append(order, r.Header.Get("X-N"))
		mu.Unlock()
		<-release
	})
	r := run(t, parse(t, fmt.Sprintf(`
services:
  a: {workers: 1, forward: [x-n], endpoints: [{path: /, calls: [{url: "%s/"}]}]}
`, url)), Options{})
	var clients sync.WaitGroup
	const n = 10
	var want []string
	for i := range n {
		id := fmt.Sprint(i)
		want = append(want, id)
		clients.Go(func() {
			if status, body, err := r.tryGet("a", "/", "X-N", id); status != 200 {
				t.Errorf("request %s: %d %s %v", id, status, body, err)
			}
		})
		eventually(t, "the request waits", func() bool { s := r.stats("a"); return s.Busy == 1 && s.Waiting == i })
	}
	close(release)
	clients.Wait()
	if !slices.Equal(order, want) {
		t.Errorf("order %v", order)
	}
}

func TestFailuresAreTold(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	silent := make(chan struct{})
	slow := recorder(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-silent:
		case <-r.Context().Done():
		}
	})
	defer close(silent)
	r := run(t, parse(t, fmt.Sprintf(`
services:
  a:
    endpoints:
      - {path: /down, calls: [{service: b, path: /ok}, {service: b, path: /fails}]}
      - {path: /optional, calls: [{service: b, path: /fails, optional: true}, {service: b, path: /ok}]}
      - {path: /together, calls: [{parallel: [{service: b, path: /ok}, {service: b, path: /fails}]}]}
      - {path: /away, calls: [{url: "http://%s/x"}]}
      - {path: /slow, calls: [{url: "%s/x", timeout: 50ms}]}
      - {path: /files/**}
  b: {endpoints: [{path: /ok, response: 100KiB}, {path: /fails, failures: 100%%}]}
`, closed.Addr(), slow)), Options{})
	for _, test := range []struct {
		path   string
		status int
		want   string
	}{
		{"/down", 502, "a: call 2 to b /fails: status 500\n"},
		{"/optional", 200, ""},
		{"/together", 502, "a: call 1 parallel 2 to b /fails: status 500\n"},
		{"/away", 502, "connection refused"},
		{"/slow", 502, "/x: no answer within 50ms\n"},
		{"/nowhere", 404, "a: no /nowhere here: known are /down, "},
		{"/files", 200, ""},
		{"/files/1/2?x=3", 200, ""},
		{"/filesystem", 404, "no /filesystem here"},
	} {
		if status, body := r.get("a", test.path); status != test.status || !strings.Contains(body, test.want) {
			t.Errorf("%s: %d %q, want %d with %q", test.path, status, body, test.status, test.want)
		}
	}
	_, text := r.get("a", StatsPath)
	var s Stats
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	if s.Service != "a" || s.Requests != 9 || s.Failures != 6 || s.Calls != 8 || s.FailedCalls != 5 || s.Endpoints["/files/**"] != 2 {
		t.Errorf("stats: %s", text)
	}
}

// CPU time is what the work uses, however long it takes.
func TestBurnUsesCPU(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no clock for the CPU time of a thread")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	burn(time.Millisecond) // calibrates
	var busy sync.WaitGroup
	stop := make(chan struct{})
	for range 2 * runtime.GOMAXPROCS(0) { // others want the processors too
		busy.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					spin(1000)
				}
			}
		})
	}
	before := cpuOfThread(t)
	burn(100 * time.Millisecond)
	used := cpuOfThread(t) - before
	close(stop)
	busy.Wait()
	if used < 100*time.Millisecond || used > 125*time.Millisecond {
		t.Errorf("used %v of CPU time, want 100ms", used)
	}
}

// A drain answers everything at hand, through all services.
func TestDrainAnswersWhatIsAtHand(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	url := recorder(t, func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	})
	g := parse(t, fmt.Sprintf(`
services:
  c: {endpoints: [{path: /, response: 1MiB, calls: [{service: d, path: /}]}]}
  a: {endpoints: [{path: /, response: 1MiB, calls: [{url: "%s/"}, {service: b, path: /}]}]}
  b: {endpoints: [{path: /, response: 1MiB, calls: [{service: c, path: /}]}]}
  d: {endpoints: [{path: /, response: 1MiB}]}
`, url))
	a, err := Start(t.Context(), g, Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := &running{App: a, t: t, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	answered := make(chan string, 1)
	go func() {
		status, body, err := r.tryGet("a", "/")
		answered <- fmt.Sprint(status, len(body), err)
	}()
	<-arrived
	down := make(chan error, 1)
	go func() { down <- a.Shutdown(context.Background()) }()
	eventually(t, "the front door is shut", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.url("a"), "http://"))
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	close(release)
	if got := <-answered; got != fmt.Sprint(200, 1<<20, nil) {
		t.Errorf("answered %s", got)
	}
	if err := <-down; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if got := strings.Join(a.drainOrder(), " "); got != "a b c d" {
		t.Errorf("drained %s", got)
	}
}

// A drain whose time is up leaves nothing running.
func TestDrainAbandons(t *testing.T) {
	g := parse(t, `
services:
  a: {workers: 1, endpoints: [{path: /, calls: [{service: b, path: /}]}]}
  b: {endpoints: [{path: /, time: 1m}]}
`)
	a, err := Start(t.Context(), g, Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := &running{App: a, t: t, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() {
			if status, body, err := r.tryGet("a", "/"); err == nil && status == 200 {
				t.Errorf("answered %s", body)
			}
		})
	}
	eventually(t, "one is served and one waits", func() bool {
		return r.stats("b").Requests == 1 && r.stats("a").Waiting == 1
	})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := a.Shutdown(ctx); err == nil {
		t.Error("shutdown left work behind and said nothing")
	}
	clients.Wait()
}
