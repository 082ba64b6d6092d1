package gateway

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"overtake/gateway/config"
)

// reloadTo reloads to another configuration, and fails unless that is in effect.
func (g *testGateway) reloadTo(yaml, app string) {
	g.t.Helper()
	if why := g.tryReload(yaml, app); why != nil {
		g.t.Fatalf("not reloaded: %v", why)
	}
}

// tryReload reloads and returns why there is no new generation.
func (g *testGateway) tryReload(yaml, app string) error {
	before := g.present.Load()
	g.file = func() (*config.Config, error) { return parseConfig(yaml, app) }
	g.Reload()
	g.mu.Lock()
	defer g.mu.Unlock()
	if (g.failed == nil) == (g.present.Load() == before) {
		g.t.Errorf("there is a new generation: %v, and the reload failed: %v", g.present.Load() != before, g.failed)
	}
	if g.failed != nil {
		return g.failed.err
	}
	return nil
}

// alone waits until the generations before the present one have ended.
func (g *testGateway) alone() {
	g.t.Helper()
	eventually(g.t, "the generations before have ended", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.generations) == 1
	})
}

// later sends a request and returns where its answer will be.
func (g *testGateway) later(target string, header ...string) <-chan fetched {
	answer := make(chan fetched, 1)
	go func() { answer <- g.fetch(http.MethodGet, target, nil, header...) }()
	return answer
}

// countedApp is an app that counts the connections it has.
func countedApp(t *testing.T, handler http.HandlerFunc) (url string, open *atomic.Int32) {
	t.Helper()
	open = new(atomic.Int32)
	ln := listenLoopback(t)
	server := &http.Server{Handler: handler, ConnState: func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			open.Add(-1)
		}
	}}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(ln) }()
	t.Cleanup(func() { server.Close(); <-done })
	return "http://" + ln.Addr().String(), open
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }
}

// A request ends as it began, whatever is configured meanwhile; the next one goes by
// what is new. When the last one has ended, the old upstream's connections close.
func TestReloadWithRequestsInFlight(t *testing.T) {
	old := newGate()
	oldURL, open := countedApp(t, old.ServeHTTP)
	newURL, _ := countedApp(t, says("new"))
	g := start(t, "rules: [{name: all, class: batch}]\nexpose: all", oldURL)
	running := g.later("/running")
	receive(t, "the request", old.arrived)
	kept := client(t) // its connection stays
	if f := g.fetchBy(kept, "GET", "/_overtake/none", nil); f.StatusCode != http.StatusNotFound {
		t.Errorf("before the reload: %s", f.Status)
	}

	g.reloadTo("rules: [{name: all, class: interactive}]\nexpose: all", newURL)
	if f := g.fetchBy(kept, "GET", "/", nil); f.body != "new" || f.Header.Get("Latency-Class") != "interactive" || f.Close {
		t.Errorf("after the reload: %q, class %q, closing %v", f.body, f.Header.Get("Latency-Class"), f.Close)
	}
	if len(running) > 0 {
		t.Error("the running request has been answered")
	}
	close(old.pass)
	if f := receive(t, "its answer", running); f.body != "ok" || f.Header.Get("Latency-Class") != "batch" {
		t.Errorf("the request that was running: %q, class %q, error %v", f.body, f.Header.Get("Latency-Class"), f.err)
	}
	g.alone()
	eventually(t, "the connections to the old app are closed", func() bool { return open.Load() == 0 })
}

// A body that is being streamed goes on.
func TestReloadWithBodiesInFlight(t *testing.T) {
	const parts = 20
	next := make(chan struct{})
	app := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		for n := range parts {
			fmt.Fprintf(w, "part %d\n", n)
			w.(http.Flusher).Flush()
			<-next
		}
	})
	g := start(t, "", app)
	resp, err := client(t).Get(g.url("/"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for n := range parts {
		line := make([]byte, len(fmt.Sprintf("part %d\n", n)))
		if _, err := io.ReadFull(resp.Body, line); err != nil {
			t.Fatalf("part %d: %v", n, err)
		}
		g.reloadTo("", deadAddress(t))
		next <- struct{}{}
	}
	if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
		t.Errorf("at the end %q, %v", rest, err)
	}
	g.alone()
}

const singleSlot = "upstreams: {app: {servers: [$APP], limit: {max: 1}}}"

// Where only its limit or what classes may do has changed, an upstream goes on: with
// what runs and waits, what it has counted, and its connections.
func TestReloadKeepsUpstreams(t *testing.T) {
	app := newGate()
	url, open := countedApp(t, app.ServeHTTP)
	g := start(t, singleSlot, url)
	answers := []<-chan fetched{g.later("/1"), g.later("/2"), g.later("/3")}
	receive(t, "the first", app.arrived)
	eventually(t, "two wait", func() bool { return g.waiting() == 2 })

	g.reloadTo("upstreams: {app: {servers: [$APP], limit: {max: 2}}}\nclasses: [{name: interactive}, {name: standard, floor: 20%}, {name: batch}]", url)
	receive(t, "one that waited, in the new slot", app.arrived)
	if n := g.waiting(); n != 1 {
		t.Errorf("%d wait, want 1", n)
	}
	g.reloadTo(singleSlot, url)
	if _, state := g.adminGet("/debug/queues"); !strings.Contains(state, `"in_flight": 2`) || !strings.Contains(state, `"limit": 1`) {
		t.Errorf("the state after two reloads is %s", state)
	}
	close(app.pass)
	for _, answer := range answers {
		if f := receive(t, "an answer", answer); f.body != "ok" {
			t.Errorf("got %q, %v", f.body, f.err)
		}
	}
	g.alone()
	if n := g.present.Load().upstreams["app"].scheduler.Snapshot().Classes[1].Dispatched; n != 3 {
		t.Errorf("%d were dispatched, want 3 since the start", n)
	}
	if open.Load() == 0 {
		t.Error("the connections to the app are closed")
	}
}

// Where its servers have changed, what waits is served by those it waited for, and
// does not stand in the way of what comes.
func TestReloadReplacesUpstreams(t *testing.T) {
	app := newGate()
	g := start(t, singleSlot, serveApp(t, app.ServeHTTP))
	answers := []<-chan fetched{g.later("/1"), g.later("/2")}
	receive(t, "the first", app.arrived)
	eventually(t, "one waits", func() bool { return g.waiting() == 1 })
	g.reloadTo(singleSlot, serveApp(t, says("new")))
	for range 3 {
		if f := g.get("/"); f.body != "new" {
			t.Errorf("got %q", f.body)
		}
	}
	var state queuesState
	_, page := g.adminGet("/debug/queues")
	must(t, json.Unmarshal([]byte(page), &state))
	if want := (closingState{"app", 1, 1}); len(state.Closing) != 1 || state.Closing[0] != want || state.Upstreams["app"].Classes["standard"].Waiting != 0 {
		t.Errorf("of the old upstream and the new it is said: %s", page)
	}
	close(app.pass)
	for _, answer := range answers {
		if f := receive(t, "an answer", answer); f.body != "ok" {
			t.Errorf("got %q, %v", f.body, f.err)
		}
	}
	g.alone()
}

// The authorities that servers' certificates are checked by are read again.
func TestReloadAuthorities(t *testing.T) {
	ca := newIssuer(t).file
	yaml := "upstreams: {app: {servers: [\"https://127.0.0.1:1\"], tls: {ca: " + ca + "}}}"
	g := start(t, yaml, "")
	present := func() *upstream { return g.present.Load().upstreams["app"] }
	first := present()
	g.reloadTo(yaml, "")
	if present() != first {
		t.Error("with the same authorities, the upstream is another")
	}
	other, err := os.ReadFile(newIssuer(t).file)
	must(t, err)
	write(t, ca, string(other))
	g.reloadTo(yaml, "")
	if present() == first {
		t.Error("with other authorities, the upstream is the same")
	}
	g.alone()
	write(t, ca, "none")
	if err := g.tryReload(yaml, ""); err == nil || !strings.Contains(err.Error(), ca) {
		t.Errorf("without any, the error is %v, want %s in it", err, ca)
	}
}

// A dry run can be ended, and begun.
func TestReloadDryRun(t *testing.T) {
	app := newGate()
	url := serveApp(t, app.ServeHTTP)
	g := start(t, "dry_run: true\n"+singleSlot, url)
	answers := []<-chan fetched{g.later("/1"), g.later("/2")}
	receive(t, "the first", app.arrived)
	receive(t, "the second, beyond the limit", app.arrived)
	g.reloadTo(singleSlot, url)
	answers = append(answers, g.later("/3"), g.later("/4"))
	receive(t, "the third", app.arrived)
	eventually(t, "the fourth waits", func() bool {
		return g.present.Load().upstreams["app"].scheduler.Snapshot().Running == 1 && g.waiting() > 0
	})
	g.reloadTo("dry_run: true\n"+singleSlot, url)
	answers = append(answers, g.later("/5"), g.later("/6"))
	receive(t, "the fifth", app.arrived)
	receive(t, "the sixth", app.arrived)
	close(app.pass)
	for _, answer := range answers {
		if f := receive(t, "an answer", answer); f.body != "ok" {
			t.Errorf("got %q, %v", f.body, f.err)
		}
	}
	g.alone()
}

// A drain that is over ends also what waits for an upstream that is gone.
func TestShutdownAfterReload(t *testing.T) {
	app := newGate()
	g := start(t, singleSlot, serveApp(t, app.ServeHTTP))
	first := g.later("/1")
	receive(t, "the first", app.arrived)
	second := g.later("/2")
	eventually(t, "one waits", func() bool { return g.waiting() == 1 })
	g.reloadTo(singleSlot, serveApp(t, says("new")))
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.Shutdown(over); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown: %v", err)
	}
	wantRefusal(t, receive(t, "the second's answer", second), http.StatusServiceUnavailable, "draining")
	if f := receive(t, "the first's answer", first); f.err == nil && f.StatusCode < 500 {
		t.Errorf("the first was answered with %s", f.Status)
	}
	g.Reload() // does nothing any more
	if n := len(g.generations); n > 0 {
		t.Errorf("%d generations have not ended", n)
	}
}

// What is wrong, or can't change, changes nothing at all, and is told with its line.
func TestReloadRefused(t *testing.T) {
	app := serveApp(t, says("ok"))
	const rules = "rules: [{name: good, class: batch}]\nexpose: all\n"
	g := start(t, rules, app)
	const bad = "\nrules: [{name: other, class: interactive}]\nexpose: all\n" // would be seen
	for name, test := range map[string]struct{ yaml, want string }{
		"not YAML":  {bad + "x: [", "test.yaml:"},
		"unknown":   {bad + "rulez: []", "test.yaml:6:1: rulez: "},
		"a rule":    {bad + "default_class: bulk", "test.yaml:6:16: default_class: "},
		"an expr":   {strings.Replace(bad, "interactive", "interactive, match: {expr: 'request.size >'}", 1), "test.yaml:4:"},
		"listener":  {"listeners: [{address: \"127.0.0.1:1\"}]" + bad, "test.yaml:2:23: listeners[0].address: can't change while the process runs; restart it"},
		"classes":   {bad + "classes: [{name: interactive}, {name: batch}]", ": classes: can't change"},
		"two wrong": {bad + "default_class: bulk\nadmin: nowhere", ": admin: "},
	} {
		t.Run(name, func(t *testing.T) {
			err := g.tryReload(test.yaml, app)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %s in it", err, test.want)
			}
			if f := g.get("/"); f.body != "ok" || f.Header.Get("Latency-Class") != "batch" {
				t.Errorf("got %q of class %q", f.body, f.Header.Get("Latency-Class"))
			}
			_, page := g.adminGet("/debug/config")
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.Contains(page, "#   "+line+"\n") || !strings.Contains(g.log.String(), strings.ReplaceAll(line, `"`, `\"`)) {
					t.Errorf("%q is not both in the log and in\n%s", line, page)
				}
			}
			if !strings.Contains(page, "name: good") {
				t.Errorf("the configuration in effect is said to be\n%s", page)
			}
			g.wantMetric("overtake_config_last_reload_successful 0")
		})
	}
	g.wantMetric(`overtake_reloads_total{result="failure"} 7`)
	g.wantMetric(`overtake_reloads_total{result="success"} 0`)
	g.reloadTo(rules, app)
	g.wantMetric(`overtake_reloads_total{result="success"} 1`)
	g.wantMetric("overtake_config_last_reload_successful 1")
	if _, page := g.adminGet("/debug/config"); !strings.HasPrefix(page, "# in effect since ") || strings.Contains(page, "refused") {
		t.Errorf("after all went well, the page is\n%s", page)
	}
}

// What is not configured any more is not counted any more.
func TestReloadForgetsMetrics(t *testing.T) {
	app := newGate()
	url := serveApp(t, app.ServeHTTP)
	const yaml = "rules: [{name: %[1]s, class: batch}]\nroutes: [{upstream: %[1]s}]\nupstreams: {%[1]s: {servers: [$APP]}}"
	g := start(t, fmt.Sprintf(yaml, "old"), url)
	answer := g.later("/")
	receive(t, "the request", app.arrived)
	g.reloadTo(fmt.Sprintf(yaml, "new"), url)
	close(app.pass)
	receive(t, "its answer", answer)
	g.alone()
	g.get("/")
	g.wantMetric(`overtake_classified_total{class="batch",rule="new"} 1`)
	_, page := g.adminGet("/metrics")
	for line := range strings.SplitSeq(page, "\n") {
		if strings.Contains(line, `"old"`) {
			t.Error(line)
		}
	}
	for _, name := range []string{"overtake_limit", "overtake_queue_wait_seconds_count"} {
		if !strings.Contains(page, name+"{") {
			t.Errorf("there is no %s", name)
		}
	}
}

// Messages go where the queue's upstream is now, also those in hand while the app
// is away.
func TestReloadMovesDeliveries(t *testing.T) {
	q := newFakeQueue()
	const yaml = `
routes: [{match: {path: "/jobs/**"}, queue: jobs}, {upstream: app}]
queues: {jobs: {deliver: {upstream: app}}}
`
	g := start(t, yaml, deadAddress(t), q.open())
	g.fetch("POST", "/jobs/1", nil)
	eventually(t, "the message is in hand and the app away", func() bool {
		return strings.Contains(g.log.String(), "the app can't be reached")
	})
	first := newGate()
	g.reloadTo(yaml, serveApp(t, first.ServeHTTP))
	if r := receive(t, "the message", first.arrived); r.URL.Path != "/jobs/1" {
		t.Errorf("the app got %s", r.URL.Path)
	}
	second := newGate()
	g.reloadTo(yaml, serveApp(t, second.ServeHTTP))
	g.fetch("POST", "/jobs/2", nil)
	if r := receive(t, "the next message", second.arrived); r.URL.Path != "/jobs/2" {
		t.Errorf("the app got %s", r.URL.Path)
	}
	close(first.pass)
	close(second.pass)
	q.settlement(t, 2)
	g.alone()
}

// So do those that have been refused by each of fewer servers.
func TestReloadToMoreServers(t *testing.T) {
	f := farm{urls: []string{deadAddress(t), deadAddress(t)}}
	const jobs = `
routes: [{match: {path: /jobs}, queue: jobs}, {upstream: app}]
queues: {jobs: {deliver: {upstream: app}}}
`
	g := start(t, f.upstream("timeout: 1m")+jobs, "", newFakeQueue().open())
	g.fetch("POST", "/jobs", strings.NewReader("work"))
	eventually(t, "the message is in hand and the app away", func() bool {
		return strings.Contains(g.log.String(), "the app can't be reached")
	})
	more := serveFarm(t, 4, fails("", 0))
	g.reloadTo(more.upstream("timeout: 1m")+jobs, "")
	eventually(t, "the message is done", func() bool { return g.settlements("done") == 1 })
	if calls := more.all(); len(calls) != 1 || calls[0].body != "work" {
		t.Errorf("the app got %+v", calls)
	}
}

// What a listener believes changes for the next request.
func TestReloadOfTrust(t *testing.T) {
	app := serveApp(t, says("ok"))
	const yaml = "listeners: [{address: \"127.0.0.1:0\", trust: [%s]}]\nexpose: all"
	g := start(t, fmt.Sprintf(yaml, "10.0.0.0/8"), app)
	ask := func() string { return g.get("/", "Latency-Class: interactive").Header.Get("Latency-Class") }
	if got := ask(); got == "interactive" {
		t.Errorf("from a network that is not trusted: %s", got)
	}
	g.reloadTo(fmt.Sprintf(yaml, "127.0.0.0/8"), app)
	if got := ask(); got != "interactive" {
		t.Errorf("from one that is trusted now: %s", got)
	}
}

// The names that a certificate had are believed by what the file says now.
func TestReloadOfTrustInNames(t *testing.T) {
	ca := newIssuer(t)
	cert, key := ca.issue(t.TempDir(), "gateway.example")
	app := serveApp(t, says("ok"))
	yaml := `
listeners: [{address: "127.0.0.1:0", tls: {cert: ` + cert + `, key: ` + key + `, client_ca: ` + ca.file + `, trust: ["%s"]}}]
expose: all
`
	g := start(t, fmt.Sprintf(yaml, "*.internal"), app)
	c, err := tls.Dial("tcp", g.addr, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{ca.pair("hop.internal")}})
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, c)
	for _, trusted := range []bool{true, false, true} {
		p.send("GET / HTTP/1.1\r\nHost: a\r\nLatency-Class: interactive\r\n\r\n")
		if resp, _ := p.response("GET"); (resp.Header.Get("Latency-Class") == "interactive") != trusted {
			t.Errorf("class %s, trusted %v", resp.Header.Get("Latency-Class"), trusted)
		}
		g.reloadTo(fmt.Sprintf(yaml, map[bool]string{true: "nobody", false: "hop.*"}[trusted]), app)
	}
}
