package gateway

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// moody is an app whose answers a test chooses, and which counts what it is asked.
type moody struct {
	name   string
	status atomic.Int32 // of answers; 0 for 200
	health atomic.Int32 // of /healthz
	hang   atomic.Bool  // on /healthz
	reason atomic.Value // Overtake-Reason of answers
	asked  atomic.Int32
	checks sync.Map // what is remarkable about checks
}

func (m *moody) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/healthz" {
		m.checks.Store(fmt.Sprintf("%s %s %s %s %s", r.Method, r.RequestURI, r.Host, r.UserAgent(), r.Header.Get("Latency-Class")), true)
		if m.hang.Load() {
			<-r.Context().Done()
			return
		}
		w.WriteHeader(int(max(m.health.Load(), 200)))
		return
	}
	m.asked.Add(1)
	if reason, _ := m.reason.Load().(string); reason != "" {
		w.Header().Set("Overtake-Reason", reason)
	}
	w.WriteHeader(int(max(m.status.Load(), 200)))
	io.WriteString(w, m.name)
}

// startTwo runs a gateway in front of two of them.
func startTwo(t *testing.T, config string) (g *testGateway, one, two *moody) {
	one, two = &moody{name: "one"}, &moody{name: "two"}
	g = start(t, fmt.Sprintf("upstreams: {app: {servers: [$APP, %q], limit: {max: 10}, %s}}", serveApp(t, two.ServeHTTP), config), serveApp(t, one.ServeHTTP))
	return g, one, two
}

// second waits until the second server has the standing.
func (g *testGateway) second(standing standing) {
	g.t.Helper()
	eventually(g.t, "the second server is "+standing.String(), func() bool { return g.upstreams["app"].standings()[1].standing == standing })
}

// ask sends n requests, one after the other, and returns how many each server answered
// with which status.
func (g *testGateway) ask(n int) map[string]int {
	g.t.Helper()
	got := make(map[string]int)
	for range n {
		f := g.get("/")
		got[fmt.Sprint(f.body, " ", f.StatusCode)]++
	}
	return got
}

func TestEjection(t *testing.T) {
	for _, tc := range []struct {
		status  int
		reason  string
		ejected bool
	}{
		{502, "", true},
		{503, "", true},
		{504, "", true},
		{503, "draining", true},
		{502, "connect_failed", true},
		{503, "max_wait", false},
		{503, "queue_full", false},
		{504, "deadline", false},
		{504, "upstream_timeout", true},
		{500, "", false},
		{429, "", false},
		{404, "", false},
	} {
		t.Run(fmt.Sprint(tc.status, tc.reason), func(t *testing.T) {
			g, one, two := startTwo(t, "eject: {failures: 3, for: 1m}")
			two.status.Store(int32(tc.status))
			two.reason.Store(tc.reason)
			g.ask(20)
			if got := two.asked.Load() == 3; got != tc.ejected || one.asked.Load()+two.asked.Load() != 20 {
				t.Errorf("of 20 requests the servers got %d and %d", one.asked.Load(), two.asked.Load())
			}
			state := g.upstreams["app"].state(g.classes.Names()).Servers[1]
			if (state.State == "ejected") != tc.ejected || state.Down != tc.ejected || (state.Error != "") != tc.ejected {
				t.Errorf("/debug/queues says %+v", state)
			}
			up := 1
			if tc.ejected {
				up = 0
			}
			g.wantMetric(fmt.Sprintf(`overtake_server_up{server=%q,upstream="app"} %d`, g.upstreams["app"].servers[1].name, up))
		})
	}
}

// TestEjectedServerComesBack: with a share of its limit first; one failure then is
// enough to be away again, and no server is taken out that is the last.
func TestEjectedServerComesBack(t *testing.T) {
	g, _, two := startTwo(t, "eject: {failures: 2, for: 100ms, ramp: 1h}")
	two.status.Store(503)
	g.ask(4)
	g.second(serverRamping)
	if s := g.upstreams["app"].state(g.classes.Names()); s.Limit != 11 || s.Servers[1].Limit != 1 || s.Servers[1].State != "ramping" {
		t.Errorf("while it ramps, the state is %+v", s)
	}
	if got := g.ask(4); got["two 503"] < 1 || got["one 200"]+got["two 503"] != 4 {
		t.Errorf("while it ramps and fails, the answers are %v", got)
	}
	two.status.Store(200)
	g.second(serverRamping)
	if got := g.ask(20); got["one 200"] != 10 || got["two 200"] != 10 {
		t.Errorf("when it ramps and is well, the answers are %v", got)
	}
	eventually(t, "every change is in the log, once", func() bool {
		ejected := strings.Count(g.log.String(), "server is ejected")
		return ejected >= 2 && strings.Count(g.log.String(), "server is back") == ejected
	})
}

// TestLastServerIsNotEjected: what it answers is better than nothing.
func TestLastServerIsNotEjected(t *testing.T) {
	g, one, two := startTwo(t, "eject: {failures: 2, for: 1h}")
	one.status.Store(503)
	two.status.Store(504)
	g.ask(30)
	first, second := one.asked.Load(), two.asked.Load()
	if min(first, second) != 2 || first+second != 30 {
		t.Errorf("of 30 requests the servers got %d and %d", first, second)
	}
}

// TestEjectedServerIsRecalled: it is better than none.
func TestEjectedServerIsRecalled(t *testing.T) {
	one := &moody{name: "one"}
	dying := serveRaw(t)
	recorded := dying.answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\ntwo")
	g := start(t, fmt.Sprintf("upstreams: {app: {servers: [%q, $APP], eject: {failures: 2, for: 1h}}}", dying.url()), serveApp(t, one.ServeHTTP))
	one.status.Store(503)
	g.ask(4)
	g.second(serverEjected)
	one.status.Store(200)
	before := len(recorded.all())
	if got := g.ask(5); len(recorded.all()) != before+5 {
		t.Fatalf("while it is ejected: %v", got)
	}
	dying.ln.Close()
	if got := g.ask(5); got["one 200"] != 5 {
		t.Errorf("with the other one down: %v", got)
	}
	if s := g.upstreams["app"].standings(); s[0].standing != serverDown || s[1].standing != serverUp {
		t.Errorf("the servers are %v and %v", s[0].standing, s[1].standing)
	}
}

// TestHangingServerIsEjected: what was never answered in time counts.
func TestHangingServerIsEjected(t *testing.T) {
	hangs := newGate()
	good := &moody{name: "good"}
	g := start(t, fmt.Sprintf("upstreams: {app: {servers: [$APP, %q], try_timeout: 50ms, retry: {budget: 100%%}, eject: {failures: 2, for: 1h}}}",
		serveApp(t, hangs.ServeHTTP)), serveApp(t, good.ServeHTTP))
	if got := g.ask(10); got["good 200"] != 10 {
		t.Errorf("the answers are %v", got)
	}
	g.second(serverEjected)
	if n := len(hangs.arrived); n != 2 {
		t.Errorf("%d requests reached the server that hangs, want 2", n)
	}
}

// TestServerThatIsSlowToConnectIsEjected: the next request may have more patience, so
// that it is not down.
func TestServerThatIsSlowToConnectIsEjected(t *testing.T) {
	silent := serveRaw(t) // to which TLS can't be spoken in time
	good := &moody{name: "good"}
	g := start(t, fmt.Sprintf("upstreams: {app: {servers: [$APP, %q], try_timeout: 50ms, eject: {failures: 2, for: 1h}}}",
		strings.Replace(silent.url(), "http", "https", 1)), serveApp(t, good.ServeHTTP))
	for range 10 {
		if f := g.fetch("POST", "/", strings.NewReader("nothing of it was sent")); f.body != "good" {
			t.Errorf("got %q, %v", f.body, f.err)
		}
	}
	g.second(serverEjected)
	if n := len(silent.accepted); n != 2 {
		t.Errorf("%d connections to the server that is slow, want 2", n)
	}
}

// TestRampOfTheOnlyServer: there is nobody to make up for what it leaves.
func TestRampOfTheOnlyServer(t *testing.T) {
	m := &moody{name: "only"}
	m.status.Store(503)
	path := filepath.Join(t.TempDir(), "app.sock")
	stop := serveUnix(t, path, m.ServeHTTP)
	g := start(t, "upstreams: {app: {servers: [$APP], limit: {max: 10}, eject: {failures: 1, ramp: 1h}}}", "unix://"+path)
	g.ask(10)
	if s := g.upstreams["app"].standings()[0].standing; s != serverUp {
		t.Errorf("it is %v", s)
	}
	stop()
	wantRefusal(t, g.get("/"), 502, "connect_failed")
	serveUnix(t, path, m.ServeHTTP)
	eventually(t, "it is back", func() bool { return g.upstreams["app"].standings()[0].standing == serverRamping })
	if limit := g.upstreams["app"].scheduler.Limit(); limit != 10 {
		t.Errorf("the limit is %d, want 10", limit)
	}
}

// serveUnix runs an app on a socket until the test ends or stop is called.
func serveUnix(t *testing.T, path string, handler http.HandlerFunc) (stop func()) {
	t.Helper()
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(ln) }()
	stop = func() { server.Close(); <-done }
	t.Cleanup(stop)
	return stop
}

// TestHealthChecks: a server whose checks fail gets no requests, and gets them again
// when they succeed; a request never waits for that.
func TestHealthChecks(t *testing.T) {
	g, _, two := startTwo(t, "eject: {ramp: 0s}, health: {path: '/healthz?deep=1', interval: 100ms, timeout: 50ms, failures: 2, successes: 2}")
	both := map[string]int{"one 200": 5, "two 200": 5}
	for _, tc := range []struct {
		name            string
		fail, heal      func()
		error, notReady string
	}{
		{"a status", func() { two.health.Store(500) }, func() { two.health.Store(204) }, "answered with 500", ""},
		{"a hang", func() { two.hang.Store(true) }, func() { two.hang.Store(false) }, "timeout", ""},
	} {
		tc.fail()
		g.second(serverDown)
		if got := g.ask(10); got["one 200"] != 10 {
			t.Errorf("%s: the answers are %v", tc.name, got)
		}
		if why := g.upstreams["app"].standings()[1].why; why == nil || !strings.Contains(why.Error(), tc.error) {
			t.Errorf("%s: it is down for %v", tc.name, why)
		}
		tc.heal()
		g.second(serverUp)
		if got := g.ask(10); fmt.Sprint(got) != fmt.Sprint(both) {
			t.Errorf("%s is over: the answers are %v", tc.name, got)
		}
	}
	want := "GET /healthz?deep=1 " + g.upstreams["app"].servers[1].host + " overtake-check "
	two.checks.Range(func(check, _ any) bool {
		if check != want {
			t.Errorf("a check was %q, want %q", check, want)
		}
		return true
	})
}

// TestHealthChecksOfAll: when the checks of all servers fail, requests are sent all the
// same, and /readyz tells.
func TestHealthChecksOfAll(t *testing.T) {
	g, one, two := startTwo(t, "eject: {ramp: 0s}, health: {path: /healthz, interval: 100ms, failures: 1, successes: 1}")
	one.health.Store(503)
	two.health.Store(503)
	eventually(t, "it is not ready", func() bool {
		code, body := g.adminGet("/readyz")
		return code == 503 && strings.Count(body, "answered with 503") == 2
	})
	if got := g.ask(10); got["one 200"] != 5 || got["two 200"] != 5 {
		t.Errorf("the answers are %v", got)
	}
	one.health.Store(200)
	eventually(t, "it is ready", func() bool { code, _ := g.adminGet("/readyz"); return code == 200 })
}
