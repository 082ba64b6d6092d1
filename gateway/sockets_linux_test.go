package gateway

import (
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func portOf(t *testing.T, url string) uint16 {
	t.Helper()
	ap, err := netip.ParseAddrPort(strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	return ap.Port()
}

// markedApart has two classes that are the same to the kernel and one that is not.
const markedApart = `
listeners: [{address: "127.0.0.1:0", trust: [127.0.0.0/8]}]
classes: [{name: interactive}, {name: standard}, {name: batch, socket: {priority: 1}}]
`

// onlyConn returns the one connection that the gateway has with a client.
func (g *testGateway) onlyConn() (only *clientConn) {
	g.t.Helper()
	g.leavers.mu.Lock()
	defer g.leavers.mu.Unlock()
	for c := range g.leavers.conns {
		only = c
	}
	if len(g.leavers.conns) != 1 {
		g.t.Fatalf("%d connections, want 1", len(g.leavers.conns))
	}
	return only
}

// TestClassUnchangedCostsNothing: the kernel is told of a class once and not again
// before another comes.
func TestClassUnchangedCostsNothing(t *testing.T) {
	g := start(t, markedApart, serveApp(t, func(http.ResponseWriter, *http.Request) {}))
	p := g.dial()
	ask := func(class string) (priority int) {
		t.Helper()
		p.send("GET / HTTP/1.1\r\nHost: h\r\nLatency-Class: ", class, "\r\n\r\n")
		p.response("GET")
		priority, err := unix.GetsockoptInt(g.onlyConn().fd, unix.SOL_SOCKET, unix.SO_PRIORITY)
		if err != nil {
			t.Fatal(err)
		}
		return priority
	}
	tamper := func() {
		t.Helper()
		if err := unix.SetsockoptInt(g.onlyConn().fd, unix.SOL_SOCKET, unix.SO_PRIORITY, 5); err != nil {
			t.Fatal(err)
		}
	}
	for i, step := range []struct {
		class string
		want  int
	}{
		{"batch", 1}, {"standard", 0}, {"batch", 1},
		{"tamper", 0}, {"batch", 5}, {"batch", 5}, // nobody looks, nobody sets
		{"standard", 0}, {"tamper", 0}, {"interactive", 5}, {"standard", 5}, // the same to the kernel
		{"batch", 1},
	} {
		if step.class == "tamper" {
			tamper()
		} else if got := ask(step.class); got != step.want {
			t.Errorf("step %d, %s: priority %d, want %d", i, step.class, got, step.want)
		}
	}
}

// TestPoolsByClass: classes that are not the same to the kernel never share a
// connection to the app, and those that are do.
func TestPoolsByClass(t *testing.T) {
	var mu sync.Mutex
	classes := map[string]map[string]bool{} // by the connection
	g := start(t, markedApart, serveApp(t, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if classes[r.RemoteAddr] == nil {
			classes[r.RemoteAddr] = map[string]bool{}
		}
		classes[r.RemoteAddr][r.Header.Get("Latency-Class")] = true
	}))
	for range 5 {
		for _, class := range []string{"interactive", "batch", "standard"} {
			g.get("/", "Latency-Class: "+class)
		}
	}
	if len(classes) != 2 {
		t.Errorf("connections carried %v, want one of batch and one of the others", classes)
	}
	for _, carried := range classes {
		if carried["batch"] == carried["standard"] || carried["interactive"] != carried["standard"] {
			t.Errorf("a connection carried %v", carried)
		}
	}
	for _, c := range idleConns(g) {
		got, err := priorityOf(c)
		if want := c.group / 2; got != want || err != nil { // groups are 0 and 2
			t.Errorf("an idle connection of group %d has priority %d, %v", c.group, got, err)
		}
	}
	g.upstreams["app"].closeIdle(0)
	if n := len(idleConns(g)); n != 0 {
		t.Errorf("%d idle connections are left", n)
	}
}

func priorityOf(c *upstreamConn) (n int, err error) {
	raw, err := c.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return 0, err
	}
	cerr := raw.Control(func(fd uintptr) { n, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PRIORITY) })
	if cerr != nil {
		return 0, cerr
	}
	return n, err
}

// TestRefusedOption: what the kernel refuses is said once and counted, and requests
// are answered.
func TestRefusedOption(t *testing.T) {
	g := start(t, "classes: [{name: only, socket: {congestion: nonesuch}}]", serveApp(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "ok")
	}))
	for range 3 {
		if f := g.get("/"); f.body != "ok" {
			t.Errorf("got %d %q", f.StatusCode, f.body)
		}
	}
	if n := strings.Count(g.log.String(), "option=congestion value=nonesuch"); n != 1 {
		t.Errorf("it was said %d times, want once", n)
	}
	// Three clients and one connection to the app.
	g.wantMetric(`overtake_socket_refused_total{option="congestion"} 4`)
}
