package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overtake/gateway/config"
	"overtake/gateway/socket"
	"overtake/scheduler"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp's own: they sleep for up to an idle time after the last use.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*Client).mCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}

// patience is how long a test waits for what must happen. It bounds a broken
// run and decides nothing.
const patience = time.Minute

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never happened that %s", what)
		}
	}
}

// receive takes the next value of a channel.
func receive[T any](t *testing.T, what string, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// testGateway is a gateway under test, shut down when the test ends. At the end
// of each test no slot may be in use, all must be there again, and whatever used a
// generation must have left it.
type testGateway struct {
	*Gateway
	*generation // the first one
	t           *testing.T
	addr        string // of the first listener
	log         *logBuffer
	// file returns the configuration, and what is wrong with it, for a reload.
	file func() (*config.Config, error)
}

// start runs a gateway with the configuration. $APP in it is the upstream's URL.
func start(t *testing.T, yaml, app string, queues ...map[string]Queue) *testGateway {
	t.Helper()
	g := newGateway(t, yaml, app, queues...)
	g.run()
	return g
}

// run starts the gateway until the test ends.
func (g *testGateway) run() {
	t := g.t
	t.Helper()
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	g.addr = g.listeners[0].inner.Addr().String()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if g.draining.Load() {
			return // the test did it
		}
		g.wholeAgain()
		if err := g.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if n := len(g.generations); n > 0 {
			t.Errorf("%d generations have not ended", n)
		}
	})
}

// parseConfig completes a configuration for a test and parses it.
func parseConfig(yaml, app string) (*config.Config, error) {
	if !strings.Contains(yaml, "listeners:") {
		yaml = "listeners: [{address: \"127.0.0.1:0\"}]\n" + yaml
	}
	if !strings.Contains(yaml, "admin:") {
		yaml = "admin: \"127.0.0.1:0\"\n" + yaml
	}
	if !strings.Contains(yaml, "upstreams:") {
		yaml += "\nupstreams: {app: {servers: [$APP], limit: {max: 4}}}\n"
	}
	return config.Parse("test.yaml", []byte(strings.ReplaceAll(yaml, "$APP", strconv.Quote(app))), func(string) (string, bool) { return "s3cret", true })
}

func newGateway(t *testing.T, yaml, app string, queues ...map[string]Queue) *testGateway {
	t.Helper()
	cfg, err := parseConfig(yaml, app)
	if err != nil {
		t.Fatalf("%v in\n%s", err, yaml)
	}
	log := &logBuffer{}
	tg := &testGateway{t: t, log: log}
	level := new(slog.LevelVar)
	level.Set(slog.LevelDebug)
	o := Options{
		Config: cfg, Read: func() (*config.Config, error) { return tg.file() },
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: level})), Level: level,
	}
	o.Sockets = socket.NewSetter(cfg.SocketOptions(), o.Logger)
	if len(queues) > 0 {
		o.Queues = queues[0]
	}
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the gateway's log:\n%s", log.String())
		}
	})
	tg.Gateway, tg.generation = g, g.present.Load()
	return tg
}

// wholeAgain checks that every slot has come back, once: none is in use, nothing
// waits, and as many as the limit says can be taken.
func (g *testGateway) wholeAgain() {
	g.t.Helper()
	for u := range g.inUse() {
		eventually(g.t, "all slots of "+u.name+" are free", func() bool {
			return g.running() == 0 && g.waiting() == 0
		})
		if g.draining.Load() {
			continue
		}
		var leases []scheduler.Lease
		for range u.scheduler.Snapshot().Limit {
			lease, ok := u.scheduler.TryAcquire(scheduler.Work{})
			if !ok {
				g.t.Errorf("%s: only %d slots can be taken", u.name, len(leases))
				break
			}
			leases = append(leases, lease)
		}
		for _, lease := range leases {
			lease.Release()
		}
	}
}

func (g *testGateway) running() (n int) {
	for u := range g.inUse() {
		n += u.scheduler.Snapshot().Running
	}
	return n
}

func (g *testGateway) waiting() (n int) {
	for u := range g.inUse() {
		for _, c := range u.scheduler.Snapshot().Classes {
			n += c.Waiting
		}
	}
	return n
}

func (g *testGateway) url(target string) string { return "http://" + g.addr + target }

// logBuffer keeps the log for a test that fails, or that looks for a line.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// serveApp runs handler as the app and returns its URL.
func serveApp(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	ln := listenLoopback(t)
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(ln) }()
	t.Cleanup(func() { server.Close(); <-done })
	return "http://" + ln.Addr().String()
}

func listenLoopback(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// deadAddress is where nobody listens, nor will before the test has ended: a socket
// has the port.
func deadAddress(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("http://127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
}

// client returns an HTTP client with connections of its own.
func client(t *testing.T) *http.Client {
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// fetched is a response that was read to its end.
type fetched struct {
	*http.Response
	body string
	err  error // of sending, or of reading the body
}

// fetch sends a request by a client of its own; header are "Name: value" lines.
func (g *testGateway) fetch(method, target string, body io.Reader, header ...string) fetched {
	return g.fetchBy(client(g.t), method, target, body, header...)
}

func (g *testGateway) fetchBy(c *http.Client, method, target string, body io.Reader, header ...string) fetched {
	req, err := http.NewRequest(method, g.url(target), body)
	if err != nil {
		panic(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Add(name, value)
	}
	resp, err := c.Do(req)
	if err != nil {
		return fetched{err: err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return fetched{resp, string(text), err}
}

// get is fetch for a GET that must be answered.
func (g *testGateway) get(target string, header ...string) fetched {
	g.t.Helper()
	f := g.fetch(http.MethodGet, target, nil, header...)
	if f.err != nil {
		g.t.Fatalf("GET %s: %v", target, f.err)
	}
	return f
}

// wantRefusal checks that an answer is what the contract says about a refusal.
func wantRefusal(t *testing.T, f fetched, status int, reason string) {
	t.Helper()
	if f.err != nil {
		t.Fatalf("want %d %s, got error %v", status, reason, f.err)
	}
	if f.StatusCode != status || f.Header.Get("Overtake-Reason") != reason {
		t.Fatalf("got %d %q, want %d %q; body %s", f.StatusCode, f.Header.Get("Overtake-Reason"), status, reason, f.body)
	}
	if got := f.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %q, want application/problem+json", got)
	}
	if want := fmt.Sprintf(`"status":%d`, status); !strings.Contains(f.body, want) || !strings.Contains(f.body, `"reason":"`+reason+`"`) {
		t.Errorf("body %s, want status %d and reason %s in it", f.body, status, reason)
	}
	if got := f.Header.Get("Retry-After") != ""; got != (status == http.StatusServiceUnavailable) {
		t.Errorf("Retry-After is there: %v, with status %d", got, status)
	}
}

// gate is an app's handler that holds each request until the test lets it go.
type gate struct {
	arrived chan *http.Request
	pass    chan struct{}
}

func newGate() *gate {
	return &gate{arrived: make(chan *http.Request, 256), pass: make(chan struct{})}
}

// ServeHTTP answers "ok" after one pass.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.arrived <- r
	select {
	case <-g.pass:
		io.WriteString(w, "ok")
	case <-r.Context().Done():
	}
}
