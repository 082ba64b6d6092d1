package loadgen

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/loadgen/arrival"
	"overtake/loadgen/completion"
	"overtake/loadgen/content"
)

// runClass runs one stream and returns its result.
func runClass(t *testing.T, url string, d time.Duration, s Class, opts Options) (ClassResult, RunResult) {
	t.Helper()
	report, err := Run(t.Context(), Scenario{Target: url, Duration: d, Seed: 1, Classes: []Class{s}}, opts)
	if err != nil {
		t.Fatal(err)
	}
	return checkBooks(t, report.Runs[0].Classes[0]), report.Runs[0]
}

// checkBooks checks that every intended request ended up in one place.
func checkBooks(t *testing.T, s ClassResult) ClassResult {
	t.Helper()
	if s.Intended != s.Sent+s.Skipped {
		t.Errorf("%s: intended %d, sent %d, skipped %d", s.Name, s.Intended, s.Sent, s.Skipped)
	}
	if s.Sent != s.OK+s.Unfinished+s.ShedTotal()+s.FailedTotal() {
		t.Errorf("%s: sent %d, ok %d, shed %v, failed %v", s.Name, s.Sent, s.OK, s.Shed, s.Failed)
	}
	if s.Latency.Count != s.OK {
		t.Errorf("%s: %d latencies of %d successes", s.Name, s.Latency.Count, s.OK)
	}
	return s
}

func TestRunSendsItsSchedule(t *testing.T) {
	var mu sync.Mutex
	ids := make(map[string]bool)
	url := serve(t, func(ctx *fasthttp.RequestCtx) {
		mu.Lock()
		defer mu.Unlock()
		ids[string(ctx.Request.Header.Peek(completion.HeaderID))] = true
		if string(ctx.Request.Header.Peek("X-Plan")) != "gold" || string(ctx.RequestURI()) != "/a%2Fb/../c?x=%20" ||
			len(ctx.PostBody()) != 3 {
			ctx.SetStatusCode(500)
		}
		ctx.SetBodyString("hello")
	})
	const rate = 300
	got, phase := runClass(t, url, time.Second, Class{
		Name: "a", Arrivals: arrival.Steady(rate), Request: content.Spec{Method: "POST", Path: "/a%2Fb/../c?x=%20",
			Fields: []content.Field{{Name: "X-Plan", Value: "gold"}}, BodyBytes: 3},
	}, Options{})
	var want int64
	for due := arrival.Steady(rate).Open(1, "a"); ; want++ {
		if a, _ := due.Next(); a.At >= time.Second {
			break
		}
	}
	if got.Sent != want || got.OK != want || int64(len(ids)) != want || got.Bytes != 5*want {
		t.Errorf("sent %d, ok %d, failed %v, ids %d, bytes %d; want %d", got.Sent, got.OK, got.Failed, len(ids), got.Bytes, want)
	}
	if phase.Interrupted || phase.DurationSeconds != 1 || phase.Seed != 1 {
		t.Errorf("phase %+v", phase)
	}
	var series int64
	for _, s := range got.Series {
		series += s.Done
	}
	if series != want {
		t.Errorf("time series has %d, want %d", series, want)
	}
}

// While the server stalls, requests go on being due. A generator that measured
// from the real start would hide the stall from all but those few that were
// under way.
func TestLatencyCountsFromTheIntendedStart(t *testing.T) {
	const stall = 700 * time.Millisecond
	var first sync.Once
	begun := make(chan time.Time, 1)
	var stalledUntil atomic.Int64
	url := serve(t, func(*fasthttp.RequestCtx) {
		first.Do(func() {
			stalledUntil.Store(time.Now().Add(stall).UnixNano())
			begun <- time.Now()
		})
		time.Sleep(time.Until(time.Unix(0, stalledUntil.Load())))
	})
	got, _ := runClass(t, url, time.Second, Class{Name: "a", Arrivals: arrival.Steady(200), Request: content.Spec{Path: "/"}}, Options{})
	<-begun
	// Requests are due all through the stall: their latencies spread evenly
	// over it instead of clustering at a single value.
	var early, late int64
	for _, b := range got.Distribution {
		if b.UpTo.Duration() <= stall/10 {
			early += b.Count
		} else {
			late += b.Count
		}
	}
	if got.OK != got.Sent || late < got.OK/3 {
		t.Errorf("sent %d, ok %d, of which %d waited and %d did not", got.Sent, got.OK, late, early)
	}
	if got.Latency.P99 < Millis(stall.Milliseconds())/2 || got.Latency.P99 < got.Latency.P50 {
		t.Errorf("latency %+v", got.Latency)
	}
}

// A request that starts late has its lag in the latency, not in the service time.
func TestLagIsPartOfLatency(t *testing.T) {
	r := newRecorder(0, time.Minute, 0, nil)
	r.start(10*time.Millisecond, 40*time.Millisecond)
	r.finish(&Call{intended: 10 * time.Millisecond, started: 40 * time.Millisecond}, ok, 45*time.Millisecond)
	got := r.result(Class{}, time.Minute, "")
	if near(got.Latency.Max, 35) || near(got.Service.Max, 5) || near(got.Lag.Max, 30) {
		t.Errorf("latency %v, service %v, lag %v ms; want 35, 5, 30", got.Latency.Max, got.Service.Max, got.Lag.Max)
	}
}

// near reports whether m is off by more than the histogram's precision.
func near(m Millis, want float64) bool { return float64(m) < want || float64(m) > want*1.002 }

func TestOutcomes(t *testing.T) {
	var n atomic.Int64
	url := serve(t, func(ctx *fasthttp.RequestCtx) {
		switch n.Add(1) % 6 {
		case 0:
			ctx.Response.Header.Set(HeaderReason, "queue_full")
			ctx.SetStatusCode(503)
		case 1:
			ctx.Response.Header.Set("overtake-reason", "deadline")
			ctx.SetStatusCode(504)
		case 2:
			ctx.SetStatusCode(503)
		case 3:
			ctx.SetStatusCode(404)
		case 4:
			ctx.Response.Header.Set(HeaderReason, "connect_failed")
			ctx.SetStatusCode(502)
		}
	})
	got, _ := runClass(t, url, 500*time.Millisecond, Class{Name: "a", Arrivals: arrival.Steady(300), Request: content.Spec{Path: "/"}}, Options{})
	shed := slices.Sorted(maps.Keys(got.Shed))
	fails := slices.Sorted(maps.Keys(got.Failed))
	if !slices.Equal(shed, []string{"deadline", "queue_full"}) ||
		!slices.Equal(fails, []string{"status 404", "status 502 connect_failed", "status 503"}) {
		t.Errorf("shed %v, failed %v", got.Shed, got.Failed)
	}
	if got.OK == 0 || got.Service.Count != got.OK {
		t.Errorf("ok %d, %d service times", got.OK, got.Service.Count)
	}
}

// A connection that dies in the middle of an answer is not a success.
func TestBrokenAnswerIsAReadFailure(t *testing.T) {
	url := serve(t, func(ctx *fasthttp.RequestCtx) {
		ctx.HijackSetNoResponse(true)
		conn := ctx.Conn()
		_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\npart"))
		_ = conn.Close()
	})
	got, _ := runClass(t, url, 200*time.Millisecond, Class{Name: "a", Arrivals: arrival.Steady(100), Request: content.Spec{Path: "/"}}, Options{})
	if got.OK != 0 || got.Failed[FailRead] != got.Sent {
		t.Errorf("ok %d, failed %v of %d", got.OK, got.Failed, got.Sent)
	}
}

// An answer without a status of HTTP/1 is not a success.
func TestAnswerWithoutStatusIsAFailure(t *testing.T) {
	for _, line := range []string{"HTTP/1.1 000 x", "HTTP/1.1 099 x", "HTTP/9.9 200 OK", "SSH-2.0-x 200 OK"} {
		url := serve(t, func(ctx *fasthttp.RequestCtx) {
			ctx.HijackSetNoResponse(true)
			_, _ = ctx.Conn().Write([]byte(line + "\r\nContent-Length: 0\r\n\r\n"))
			_ = ctx.Conn().Close()
		})
		got, _ := runClass(t, url, 100*time.Millisecond, Class{Name: "a", Arrivals: arrival.Steady(100), Request: content.Spec{Path: "/"}}, Options{})
		if got.OK != 0 || got.Failed[FailRead] != got.Sent {
			t.Errorf("%s: ok %d, failed %v of %d", line, got.OK, got.Failed, got.Sent)
		}
	}
}

// Above the bound requests are skipped, not queued; what is never answered
// is unfinished after the grace time; and such a run is no result.
func TestSkipsAboveMaxOutstanding(t *testing.T) {
	release := make(chan struct{})
	var arrived atomic.Int64
	url := serve(t, func(*fasthttp.RequestCtx) { arrived.Add(1); <-release })
	t.Cleanup(func() { close(release) }) // before the server shuts down
	got, phase := runClass(t, url, 300*time.Millisecond, Class{Name: "a", Arrivals: arrival.Steady(200), Request: content.Spec{Path: "/"}},
		Options{MaxOutstanding: 1, Grace: 50 * time.Millisecond})
	if got.Sent != 1 || arrived.Load() != 1 || got.Skipped != got.Intended-1 || got.Unfinished != 1 {
		t.Errorf("intended %d, sent %d, arrived %d, skipped %d, failed %v",
			got.Intended, got.Sent, arrived.Load(), got.Skipped, got.Failed)
	}
	if phase.Verdict.State != GeneratorBound || !strings.Contains(phase.Verdict.String(), "skipped") {
		t.Errorf("verdict %v", phase.Verdict)
	}
}

func TestRequestTimeout(t *testing.T) {
	release := make(chan struct{})
	url := serve(t, func(*fasthttp.RequestCtx) { <-release })
	t.Cleanup(func() { close(release) })
	got, _ := runClass(t, url, 100*time.Millisecond, Class{Name: "a", Arrivals: arrival.Steady(100), Request: content.Spec{Path: "/"}},
		Options{RequestTimeout: 50 * time.Millisecond})
	if got.OK != 0 || got.Failed[FailTimeout] != got.Sent {
		t.Errorf("ok %d, failed %v of %d", got.OK, got.Failed, got.Sent)
	}
}

func TestWarmupIsLeftOut(t *testing.T) {
	var arrived atomic.Int64
	url := serve(t, func(*fasthttp.RequestCtx) { arrived.Add(1) })
	report, err := Run(t.Context(), Scenario{
		Target: url, Warmup: 300 * time.Millisecond, Duration: 300 * time.Millisecond,
		Classes: []Class{{Name: "a", Arrivals: arrival.Steady(200), Request: content.Spec{Path: "/"}}},
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, phase := checkBooks(t, report.Runs[0].Classes[0]), report.Runs[0]
	if got.Sent == 0 || arrived.Load() <= got.Sent || phase.WarmupSeconds != 0.3 || phase.DurationSeconds != 0.3 {
		t.Errorf("sent %d of %d, phase %+v", got.Sent, arrived.Load(), phase)
	}
}

func TestUnreachableTarget(t *testing.T) {
	ln, url := listen(t)
	_ = ln.Close()
	sc := Scenario{Target: url, Duration: time.Hour, Classes: []Class{{Name: "a", Arrivals: arrival.Steady(1), Request: content.Spec{Path: "/"}}}}
	_, err := Run(t.Context(), sc, Options{})
	if want := "loadgen: target " + url + " refused the connection; is a server running there?"; err == nil ||
		!strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

// A run that is ended early gives its report all the same, at once.
func TestCancelledRunStillReports(t *testing.T) {
	release := make(chan struct{})
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	var arrived atomic.Int64
	url := serve(t, func(*fasthttp.RequestCtx) {
		if arrived.Add(1) == 10 {
			cancel(enough)
		}
		<-release
	})
	t.Cleanup(func() { close(release) })
	report, err := Run(ctx, Scenario{Target: url, Duration: time.Hour, Classes: []Class{{Name: "a", Arrivals: arrival.Steady(200), Request: content.Spec{Path: "/"}}}}, Options{})
	if !errors.Is(err, enough) || report == nil {
		t.Fatalf("%v, report %v", err, report)
	}
	got := checkBooks(t, report.Runs[0].Classes[0])
	if !report.Runs[0].Interrupted || got.Unfinished != got.Sent || got.Sent < 10 {
		t.Errorf("interrupted %v, sent %d, unfinished %d", report.Runs[0].Interrupted, got.Sent, got.Unfinished)
	}
}

func TestProgressCountsUp(t *testing.T) {
	url := serve(t, func(*fasthttp.RequestCtx) {})
	var seen []Progress
	got, _ := runClass(t, url, 1200*time.Millisecond, Class{Name: "a", Arrivals: arrival.Steady(100), Request: content.Spec{Path: "/"}},
		Options{Progress: func(p Progress) { seen = append(seen, p) }})
	if len(seen) < 2 || !seen[len(seen)-1].Final || seen[len(seen)-1].Classes[0].OK != got.OK {
		t.Fatalf("progress: %+v", seen)
	}
	for i := 1; i < len(seen); i++ {
		if seen[i].Classes[0].Sent < seen[i-1].Classes[0].Sent || seen[i-1].Final {
			t.Errorf("call %d: %+v after %+v", i, seen[i], seen[i-1])
		}
	}
}
