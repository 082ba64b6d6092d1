package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"overtake/scheduler"
)

// TestRetryWaitsInLine: the second try needs a slot as well, of another server.
func TestRetryWaitsInLine(t *testing.T) {
	app := newGate()
	good := serveApp(t, app.ServeHTTP)
	f := serveFarm(t, 1, fails("", -1))
	f.urls = append(f.urls, good)
	g := start(t, strings.Replace(f.upstream("retry: {budget: 100%}, eject: {failures: 0}"), "max: 4", "max: 1", 1), "")
	answers := make(chan fetched, 8)
	for range 2 {
		go func() { answers <- g.fetch("GET", "/", nil) }()
	}
	receive(t, "one at the good server", app.arrived)
	// The other one failed, and finds only the bad server's slot free.
	got := receive(t, "an answer", answers)
	wantRefusal(t, got, http.StatusBadGateway, "upstream_failed")
	g.wantMetric(`overtake_retries_total{result="no_server",upstream="app"} 1`)
	app.pass <- struct{}{}
	if got := receive(t, "the other answer", answers); got.body != "ok" {
		t.Errorf("got %q, %v", got.body, got.err)
	}
	go func() { answers <- g.fetch("GET", "/", nil) }()
	receive(t, "the next one, whichever server was asked first", app.arrived)
	app.pass <- struct{}{}
	if got := receive(t, "its answer", answers); got.body != "ok" {
		t.Errorf("got %q, %v", got.body, got.err)
	}
}

// waitForSlot waits for a slot of the app, in front of all that comes later.
func (g *testGateway) waitForSlot() <-chan scheduler.Lease {
	g.t.Helper()
	leases := make(chan scheduler.Lease, 1)
	go func() {
		lease, err := g.upstreams["app"].scheduler.Acquire(testContext(g.t), scheduler.Work{})
		if err != nil {
			g.t.Error(err)
		}
		leases <- lease
	}()
	eventually(g.t, "somebody waits", func() bool { return g.waiting() == 1 })
	return leases
}

// TestNoServerToRetry: where the other servers are down, nobody waits for them, and the
// budget is not spent.
func TestNoServerToRetry(t *testing.T) {
	bad := serveRaw(t)
	dead := deadAddress(t)
	g := start(t, fmt.Sprintf(`
classes: [{name: standard, max_wait: 0s}]
upstreams: {app: {servers: [$APP, %q], limit: {max: 1}, retry: {budget: 0%%}}}`, dead), bad.url())
	u := g.upstreams["app"]
	u.budget.anyway = rate.NewLimiter(0, 1)
	u.findDown(testContext(t))
	<-bad.accepted // by findDown
	answers := make(chan fetched, 1)
	go func() { answers <- g.fetch("GET", "/", nil) }()
	up := bad.next()
	up.head()
	leases := g.waitForSlot() // gets the bad server's before the second try
	up.Close()
	wantRefusal(t, receive(t, "the answer", answers), http.StatusBadGateway, "upstream_failed")
	g.wantMetric(`overtake_retries_total{result="no_server",upstream="app"} 1`)
	if !u.budget.take(time.Now()) {
		t.Error("the budget is spent")
	}
	receive(t, "the bad server's slot", leases).Release()
}

// TestRetryWaitsNoLongerThanTheAnswer: while the other server's slots are taken, a
// second try waits until the upstream's timeout; then the first one's error counts.
func TestRetryWaitsNoLongerThanTheAnswer(t *testing.T) {
	bad := serveRaw(t)
	g := start(t, fmt.Sprintf(`
classes: [{name: standard, max_wait: 0s}]
upstreams: {app: {servers: [$APP, %q], limit: {max: 1}, timeout: 500ms, retry: {}}}`, deadAddress(t)), bad.url())
	u := g.upstreams["app"]
	other, _ := u.scheduler.TryAcquire(scheduler.Work{Avoid: []bool{true, false}})
	answers := make(chan fetched, 1)
	go func() { answers <- g.fetch("GET", "/", nil) }()
	up := bad.next()
	up.head()
	leases := g.waitForSlot() // gets the bad server's before the second try
	up.Close()
	lease := receive(t, "the bad server's slot", leases)
	wantRefusal(t, receive(t, "the answer", answers), http.StatusBadGateway, "upstream_failed")
	lease.Release()
	other.Release()
}
