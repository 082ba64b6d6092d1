package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// A dry run sends everything on at once and counts what it would have done.
func TestDryRun(t *testing.T) {
	app := newGate()
	g := start(t, `
listeners: [{address: "127.0.0.1:0", limits: {request_timeout: 1h}}]
dry_run: true
classes: [{name: interactive, max_waiting: 2, max_wait: 0s}, {name: batch, max_waiting: 2, max_wait: 0s}]
default_class: batch
upstreams: {app: {servers: [$APP], limit: {max: 1}}}
`, serveApp(t, app.ServeHTTP))
	g.settings[0].server.Handler = func(ctx *fasthttp.RequestCtx) {
		g.serve(ctx)
		if client := clientOf(ctx.Conn()); client.request.until.IsZero() || !client.answerBy.IsZero() {
			t.Errorf("a request that would end at %v is answered until %v", client.request.until, client.answerBy)
		}
	}
	answers := make(chan fetched, 10)
	for range 10 {
		go func() { answers <- g.fetch("GET", "/", nil) }()
	}
	for range 10 {
		receive(t, "all requests at the app at once", app.arrived)
	}
	_, queues := g.adminGet("/debug/queues")
	for _, want := range []string{`"dry_run": true`, `"limit": 1`, `"in_flight": 1`, `"waiting": 2`, `"queue_full": 7`} {
		if !strings.Contains(queues, want) {
			t.Errorf("/debug/queues says nothing of %s: %s", want, queues)
		}
	}
	g.wantMetric(`overtake_shed_total{class="batch",reason="queue_full",upstream="app"} 7`)
	close(app.pass)
	for range 10 {
		if f := receive(t, "an answer", answers); f.err != nil || f.StatusCode != http.StatusOK {
			t.Errorf("got %v, %v", f.Response, f.err)
		}
	}
	// Nor does it break off what is late.
	f := g.get("/", fmt.Sprintf("Latency-Deadline: %d", time.Now().Add(-time.Second).UnixMilli()))
	if f.StatusCode != http.StatusOK {
		t.Errorf("a request past its deadline: %s", f.Status)
	}
}
