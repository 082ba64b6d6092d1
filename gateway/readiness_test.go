package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"overtake/broker"
)

// A load balancer that leaves out what else is needed sends requests to a gateway whose
// broker and app are away, until it drains.
func TestReadinessLeavesOut(t *testing.T) {
	q := newFakeQueue()
	q.deaf = broker.ErrUnavailable
	g := start(t, "queues: {jobs: {}}", deadAddress(t), q.open())
	for _, test := range []struct {
		query    string
		status   int
		has, not string
	}{
		{"", 503, "queue jobs", "nothing"},
		{"", 503, "upstream app", "nothing"},
		{"?exclude=queues", 503, "upstream app", "queue jobs"},
		{"?exclude=upstreams", 503, "queue jobs", "upstream app"},
		{"?exclude=queues&exclude=upstreams", 200, `"ready": true`, "jobs"},
		{"?exclude=upstreams&exclude=queues&exclude=queues", 200, `"problems": []`, "app"},
		{"?exclude=draining", 400, "want one of: queues, upstreams", "ready"},
		{"?exclude=queues,upstreams", 400, "exclude= once for each", "ready"},
		{"?exclude=", 400, "want one of: queues, upstreams", "ready"},
		{"?exclude=queues&exclude=app", 400, "exclude=app", "ready"},
	} {
		status, body := g.adminGet("/readyz" + test.query)
		if status != test.status || !strings.Contains(body, test.has) || strings.Contains(body, test.not) {
			t.Errorf("/readyz%s: %d %s, want %d with %q and without %q", test.query, status, body, test.status, test.has, test.not)
		}
	}
	g.draining.Store(true)
	defer g.draining.Store(false)
	if status, body := g.adminGet("/readyz?exclude=queues&exclude=upstreams"); status != 503 || !strings.Contains(body, "draining") {
		t.Errorf("while draining: %d %s", status, body)
	}
}

// A broker that hangs is the one that is named: others have their own time to answer.
func TestReadinessNamesTheOneThatHangs(t *testing.T) {
	queues := map[string]Queue{}
	var yaml strings.Builder
	yaml.WriteString("queues:\n")
	for i := range 8 {
		name := fmt.Sprint("good", i)
		q := newFakeQueue().open()["jobs"]
		depths := q.Depths
		q.Depths = func(ctx context.Context) (map[string]int, error) {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return depths(ctx)
		}
		queues[name] = q
		yaml.WriteString("  " + name + ": {}\n")
	}
	hung := newFakeQueue().open()["jobs"]
	hung.Ping = func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
	queues["hung"] = hung
	g := start(t, yaml.String()+"  hung: {}\n", serveApp(t, func(http.ResponseWriter, *http.Request) {}), queues)
	if status, body := g.adminGet("/readyz"); status != 503 || !strings.Contains(body, "queue hung") || strings.Contains(body, "good") || strings.Contains(body, "upstream") {
		t.Errorf("%d %s, want the queue hung and nothing else", status, body)
	}
}

// Who asks often does not have brokers and servers asked often.
func TestAnswersAreShared(t *testing.T) {
	var pings, looks atomic.Int32
	q := newFakeQueue().open()["jobs"]
	ping, inspect := q.Ping, q.Inspect
	q.Ping = func(ctx context.Context) error { pings.Add(1); return ping(ctx) }
	q.Inspect = func(ctx context.Context) ([]broker.Lane, error) { looks.Add(1); return inspect(ctx) }
	app := serveRaw(t)
	began := time.Now()
	g := start(t, "queues: {jobs: {}}", app.url(), map[string]Queue{"jobs": q})
	var asking sync.WaitGroup
	for range 10 {
		asking.Go(func() {
			for _, target := range []string{"/readyz", "/metrics", "/debug/queues", "/readyz"} {
				g.adminGet(target)
			}
		})
	}
	asking.Wait()
	knocks := len(app.accepted)
	most := 1 + int(time.Since(began)/answerAge)
	if int(pings.Load()) > most || int(looks.Load()) > most || knocks > most {
		t.Errorf("within %v the broker was asked %d and %d times and the server %d times, want at most %d each",
			time.Since(began), pings.Load(), looks.Load(), knocks, most)
	}
}

// A broker that hangs does not have scrapes pile up.
func TestScrapesAreBounded(t *testing.T) {
	let := make(chan struct{})
	q := newFakeQueue().open()["jobs"]
	q.Depths = func(context.Context) (map[string]int, error) { <-let; return nil, nil }
	g := start(t, "queues: {jobs: {}}", serveRaw(t).url(), map[string]Queue{"jobs": q})
	statuses := make(chan int)
	const scrapes = 3 * adminScrapes
	for range scrapes {
		go func() { status, _ := g.adminGet("/metrics"); statuses <- status }()
	}
	for range scrapes - adminScrapes {
		if status := receive(t, "one that is refused", statuses); status != http.StatusServiceUnavailable {
			t.Errorf("a scrape more than %d: %d", adminScrapes, status)
		}
	}
	close(let)
	for range adminScrapes {
		if status := receive(t, "one that waited", statuses); status != http.StatusOK {
			t.Errorf("a scrape that waited: %d", status)
		}
	}
}
