package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

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
	yaml := "queues:\n"
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
		yaml += "  " + name + ": {}\n"
	}
	hung := newFakeQueue().open()["jobs"]
	hung.Ping = func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
	queues["hung"] = hung
	g := start(t, yaml+"  hung: {}\n", serveApp(t, func(http.ResponseWriter, *http.Request) {}), queues)
	if status, body := g.adminGet("/readyz"); status != 503 || !strings.Contains(body, "queue hung") || strings.Contains(body, "good") || strings.Contains(body, "upstream") {
		t.Errorf("%d %s, want the queue hung and nothing else", status, body)
	}
}
