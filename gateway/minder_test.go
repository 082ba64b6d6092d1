package gateway

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// adaptive asks nobody how much the servers can do.
const adaptive = "upstreams: {app: {servers: [%q, %q], limit: {mode: adaptive, initial: 4}, eject: {ramp: 0s}}}"

// A server that takes no connections gets no requests while there is another, and
// gets them again when it is back; no client notices.
func TestDownServerIsLeftAlone(t *testing.T) {
	reachable := serveApp(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "first") })
	socket := filepath.Join(t.TempDir(), "app.sock") // nobody listens there yet
	g := start(t, fmt.Sprintf(adaptive, reachable, "unix://"+socket), "")
	for range 20 {
		if f := g.fetch("POST", "/", nil); f.err != nil || f.body != "first" {
			t.Fatalf("got %q, %v", f.body, f.err)
		}
	}
	state := func() upstreamState { return g.upstreams["app"].state(g.classes.Names()) }
	if s := state(); !s.Servers[1].Down || s.Servers[0].Down || s.Limit != 4 {
		t.Errorf("with the second server down, the state is %+v", s)
	}

	back, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "second") })}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(back) }()
	defer func() { server.Close(); <-done }()
	eventually(t, "the server is in use again", func() bool { return !state().Servers[1].Down })
	if s := state(); s.Limit != 8 || s.Servers[1].Limit != 4 {
		t.Errorf("with the server back, the state is %+v", s)
	}
	seen := make(map[string]int)
	for range 20 {
		seen[g.get("/").body]++
	}
	if seen["first"] != 10 || seen["second"] != 10 {
		t.Errorf("the servers answered %v times", seen)
	}
}

// When all servers are down, requests fail at once rather than wait for nothing.
func TestAllServersDown(t *testing.T) {
	g := start(t, fmt.Sprintf(adaptive, deadAddress(t), deadAddress(t)), "")
	for range 5 {
		wantRefusal(t, g.get("/"), http.StatusBadGateway, "connect_failed")
	}
}

// Each server has slots of its own: one that hangs holds up no more than those.
func TestServersHaveSlotsOfTheirOwn(t *testing.T) {
	hanging := newGate()
	quick := serveApp(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "quick") })
	g := start(t, fmt.Sprintf("upstreams: {app: {servers: [%q, %q], limit: {max: 2}}}", serveApp(t, hanging.ServeHTTP), quick), "")
	answers := make(chan string, 20)
	for range 20 {
		go func() { answers <- g.fetch("GET", "/", nil).body }()
	}
	for range 18 {
		if got := receive(t, "an answer", answers); got != "quick" {
			t.Errorf("got %q", got)
		}
	}
	eventually(t, "as many as it has slots reach the hanging server", func() bool { return len(hanging.arrived) == 2 })
	close(hanging.pass)
	for range 2 {
		if got := receive(t, "the last answers", answers); got != "ok" {
			t.Errorf("got %q", got)
		}
	}
}

// What can't be done in time does not reach the app.
func TestHopelessRequest(t *testing.T) {
	reached := make(chan string, 100)
	app := serveApp(t, func(_ http.ResponseWriter, r *http.Request) {
		reached <- r.URL.Path
		time.Sleep(50 * time.Millisecond)
	})
	g := start(t, "", app)
	for range 16 {
		g.get("/known")
	}
	deadline := func(in time.Duration) string {
		return fmt.Sprintf("Latency-Deadline: %d", time.Now().Add(in).UnixMilli())
	}
	wantRefusal(t, g.get("/hopeless", deadline(30*time.Millisecond)), http.StatusGatewayTimeout, "deadline")
	if f := g.get("/in-time", deadline(patience)); f.StatusCode != http.StatusOK {
		t.Errorf("with time enough: %s", f.Status)
	}
	close(reached)
	for path := range reached {
		if path == "/hopeless" {
			t.Error("the hopeless request reached the app")
		}
	}
}
