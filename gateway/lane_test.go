package gateway

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"overtake/gateway/config"
)

// The messages in hand follow the upstream's limit, up and down.
func TestLaneFollowsTheLimit(t *testing.T) {
	app := newGate()
	q := newFakeQueue()
	g := start(t, `
routes: [{match: {path: "/jobs/**"}, queue: jobs}, {upstream: app}]
upstreams: {app: {servers: [$APP], limit: {max: 1}}}
queues: {jobs: {deliver: {upstream: app}}}
`, serveApp(t, app.ServeHTTP), q.open())
	const jobs = 16
	for n := range jobs {
		g.fetch("POST", fmt.Sprint("/jobs/", n), nil)
	}
	receive(t, "the first delivery", app.arrived)
	limit := func(n int) {
		g.upstreams["app"].scheduler.Reconfigure(schedulerConfig(g.config, config.Upstream{Servers: make([]string, 1), Limit: config.Limit{Mode: "fixed", Max: n}}))
	}
	limit(6)
	for range 5 {
		receive(t, "as many deliveries as there are slots", app.arrived)
	}
	if n := g.running(); n != 6 {
		t.Errorf("%d run, with limit 6", n)
	}
	limit(1)
	var most int
	for range 5 {
		app.pass <- struct{}{}
	}
	q.settlement(t, 5)
	eventually(t, "no more than the limit run", func() bool { return g.running() == 1 })
	for n := 5; n < jobs; n++ {
		app.pass <- struct{}{}
		q.settlement(t, n+1)
		most = max(most, g.running())
	}
	if most > 1 {
		t.Errorf("%d ran, with limit 1", most)
	}
}

// In a dry run a lane is not emptied into the app at once: of each, no more
// messages are on their way than the limit.
func TestLaneInADryRun(t *testing.T) {
	var running, most atomic.Int32
	app := newGate()
	q := newFakeQueue()
	g := start(t, `
dry_run: true
routes: [{match: {path: "/jobs/**"}, queue: jobs}, {upstream: app}]
upstreams: {app: {servers: [$APP], limit: {max: 3}}}
queues: {jobs: {deliver: {upstream: app}}}
`, serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		n := running.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		app.ServeHTTP(w, r)
		running.Add(-1)
	}), q.open())
	for n := range 12 {
		g.fetch("POST", fmt.Sprint("/jobs/", n), nil)
	}
	for range 12 {
		receive(t, "a delivery", app.arrived)
		if len(app.arrived) == 0 {
			app.pass <- struct{}{}
		}
	}
	close(app.pass)
	q.settlement(t, 12)
	if n := most.Load(); n > 3 {
		t.Errorf("%d deliveries at once, with limit 3", n)
	}
}
