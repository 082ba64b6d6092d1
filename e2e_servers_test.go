//go:build e2e

package main

import (
	"context"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"overtake/broker/brokertest/freeport"
)

var soakTime = flag.Duration("soak", 20*time.Second, "of the servers' test: for how long servers are killed, stopped and restarted under load")

// What a server of the soak is told in its environment.
const (
	soakAddress = "SOAK_ADDRESS" // http://, https:// or unix://
	soakLog     = "SOAK_LOG"     // the file in which it notes the requests that reach it
)

// TestE2EServers kills, stops, restarts and confuses the servers of an upstream, one
// at a time, while requests of all kinds are on their way. Every answer is that of its
// own request; errors come only where a request can't be repeated; and what can't be
// repeated reaches one server, once, at the most.
func TestE2EServers(t *testing.T) {
	if os.Getenv(soakAddress) != "" {
		serveSoak(t)
		return
	}
	s := newSoak(t)
	ctx, cancel := context.WithTimeout(t.Context(), *soakTime)
	defer cancel()
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() { s.load(ctx) })
	}
	strikes := s.strike(ctx)
	clients.Wait()
	s.settle()
	t.Logf("%d strikes, answers %v, retries: %v answered by another server, %v failed there, too", strikes, s.results(),
		s.gateway.metric(t, `overtake_retries_total{result="answered",upstream="app"}`), s.gateway.metric(t, `overtake_retries_total{result="failed",upstream="app"}`))
	if s.gateway.metric(t, `overtake_retries_total{result="answered",upstream="app"}`) == 0 {
		t.Error("nothing was tried again: the strikes did not strike")
	}
	s.checkOnce()
	s.gateway.checkRSS(t)
	s.gateway.stop(t)
}

// soak is a gateway, its servers and what came of the requests.
type soak struct {
	t       *testing.T
	gateway gatewayProgram
	servers []*soakServer
	dir     string
	next    atomic.Int64 // request

	mu       sync.Mutex
	counts   map[string]int
	problems []string
	once     map[string]int // by the id of what must not be repeated: its status
}

type soakServer struct {
	url     string
	program *program
}

func newSoak(t *testing.T) *soak {
	s := &soak{t: t, dir: t.TempDir(), counts: make(map[string]int), once: make(map[string]int)}
	ports, err := freeport.Choose(2)
	if err != nil {
		t.Fatal(err)
	}
	secure := httptest.NewTLSServer(nil) // all of them have the same certificate
	ca := filepath.Join(s.dir, "ca.pem")
	err = os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600)
	secure.Close()
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{fmt.Sprint("http://127.0.0.1:", ports[0]), fmt.Sprint("https://127.0.0.1:", ports[1]), "unix://" + filepath.Join(s.dir, "app.sock")} {
		server := &soakServer{url: url}
		s.servers = append(s.servers, server)
		s.start(server)
	}
	s.gateway = startGateway(t, fmt.Sprintf(`
upstreams:
  app:
    servers: [%q, %q, %q]
    tls: {ca: %s}
    limit: {max: 64}
    try_timeout: 2s
    health: {path: /healthz, interval: 200ms, timeout: 1s, failures: 3, successes: 1}
    eject: {failures: 3, for: 200ms, ramp: 500ms}
    retry: {attempts: 3, budget: 100%%}
`, s.servers[0].url, s.servers[1].url, s.servers[2].url, ca))
	return s
}

// start runs a server until it takes connections.
func (s *soak) start(server *soakServer) {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	server.program = startTool(s.t, []string{childOfTest + "=yes", soakAddress + "=" + server.url, soakLog + "=" + filepath.Join(s.dir, "log")},
		self, "-test.run=^TestE2EServers$", "-test.timeout=0")
	server.program.find(s.t, "serving")
}

// strike does something bad to one server after the other, each time until the gateway
// has taken it into use again, and returns how often.
func (s *soak) strike(ctx context.Context) (n int) {
	signals := func(first, then syscall.Signal, after time.Duration) func(*soakServer) {
		return func(server *soakServer) {
			server.program.signal(s.t, first)
			time.Sleep(after) // that is how long it lasts
			server.program.signal(s.t, then)
		}
	}
	restart := func(signal syscall.Signal) func(*soakServer) {
		return func(server *soakServer) {
			server.program.signal(s.t, signal)
			server.program.wait(s.t)
			s.start(server)
		}
	}
	strikes := []func(*soakServer){
		restart(syscall.SIGKILL),
		signals(syscall.SIGUSR1, syscall.SIGUSR2, 300*time.Millisecond), // answers 503
		restart(syscall.SIGTERM),
		signals(syscall.SIGSTOP, syscall.SIGCONT, 2500*time.Millisecond), // hangs
	}
	for ; ctx.Err() == nil; n++ {
		server := s.servers[n%len(s.servers)]
		strikes[n%len(strikes)](server)
		s.isUp(server)
	}
	return n
}

// isUp waits until the gateway sends requests to a server.
func (s *soak) isUp(server *soakServer) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); s.gateway.metric(s.t, fmt.Sprintf(`overtake_server_up{server=%q,upstream="app"}`, server.url)) != 1; {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s is not up again", server.url)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// settle waits until all is as before the strikes.
func (s *soak) settle() {
	s.t.Helper()
	for _, server := range s.servers {
		s.isUp(server)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.problems {
		s.t.Error(p)
	}
}

// soakKind is one kind of requests.
type soakKind struct {
	method   string
	upload   int
	download int  // in parts, with pauses
	repeated bool // may be, as the method is idempotent and the body kept
}

var soakKinds = []soakKind{
	{"GET", 0, 0, true}, {"GET", 0, 0, true}, {"GET", 0, 256 << 10, true}, {"PUT", 2000, 0, true}, {"DELETE", 0, 0, true},
	{"POST", 0, 0, false}, {"POST", 2000, 0, false}, {"POST", 100_000, 64 << 10, false}, {"PUT", 100_000, 0, false},
}

// load sends one request after the other until ctx ends.
func (s *soak) load(ctx context.Context) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}, Timeout: patience}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		n := s.next.Add(1)
		kind := soakKinds[rand.N(len(soakKinds))]
		id := fmt.Sprintf("%s-%d-%d;", kind.method, n, rand.Uint64())
		status, result := s.send(client, kind, id)
		s.mu.Lock()
		s.counts[result]++
		if !kind.repeated {
			s.once[id] = status
		}
		if problem := misbehaved(kind, status, result); problem != "" && len(s.problems) < 20 {
			s.problems = append(s.problems, fmt.Sprintf("%s %+v: %s", id, kind, problem))
		}
		s.mu.Unlock()
	}
}

// misbehaved says what is wrong about what came of a request.
func misbehaved(kind soakKind, status int, result string) string {
	switch {
	case result == "200", result == "503 of the app":
		return ""
	case result == "200 broken off" && kind.download > 0:
		return "" // a part of it had been sent
	case !kind.repeated && (result == "502 upstream_failed" || result == "504 upstream_timeout"):
		return ""
	}
	return fmt.Sprintf("came to %s", result)
}

// send sends one request and says what came of it.
func (s *soak) send(client *http.Client, kind soakKind, id string) (status int, result string) {
	upload := strings.Repeat("u", kind.upload)
	req, err := http.NewRequest(kind.method, fmt.Sprintf("%s/soak?n=%d", s.gateway.url, kind.download), strings.NewReader(upload))
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Soak-Id", id)
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	want := soakAnswer(id, kind.upload, kind.download)
	switch reason := resp.Header.Get("Overtake-Reason"); {
	case reason != "":
		return resp.StatusCode, fmt.Sprint(resp.StatusCode, " ", reason)
	case resp.StatusCode == 503 && string(body) == "503 "+id:
		return resp.StatusCode, "503 of the app"
	case resp.StatusCode != 200 || !strings.HasPrefix(want, string(body)):
		return resp.StatusCode, fmt.Sprintf("%d with another body: %.100q", resp.StatusCode, body)
	case err != nil:
		return resp.StatusCode, "200 broken off"
	case len(body) < len(want):
		return resp.StatusCode, "200 cut short without a sign"
	}
	return resp.StatusCode, "200"
}

// soakAnswer is the body that answers a request.
func soakAnswer(id string, upload, download int) string {
	answer := fmt.Sprintf("%s got %d ", id, upload)
	return answer + strings.Repeat(id, download/len(id))
}

func (s *soak) results() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// checkOnce checks by what the servers have noted that nothing was repeated that must
// not be, and that what was answered was worked on.
func (s *soak) checkOnce() {
	log, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	times := make(map[string]int)
	for line := range strings.Lines(string(log)) {
		times[strings.TrimSpace(line)]++
	}
	for id, status := range s.once {
		if n := times[id]; n > 1 || n == 0 && status == 200 {
			s.t.Errorf("%s, which was answered with %d, reached servers %d times", id, status, n)
		}
	}
	again := 0
	for _, n := range times {
		again += min(n-1, 1)
	}
	s.t.Logf("of %d requests that reached a server, %d reached another one as well; %d must not", len(times), again, len(s.once))
}

// serveSoak is a server of the soak, in a process of its own.
func serveSoak(t *testing.T) {
	network, address := "tcp", os.Getenv(soakAddress)
	scheme, rest, _ := strings.Cut(address, "://")
	if scheme == "unix" {
		network = "unix"
		_ = os.Remove(rest) // of one that was killed
	}
	ln, err := net.Listen(network, rest)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(os.Getenv(soakLog), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	var confused atomic.Bool
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTERM)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			return
		}
		id := r.Header.Get("Soak-Id")
		_, _ = io.WriteString(log, id+"\n") // in one write, before anything else
		n, _ := io.Copy(io.Discard, r.Body)
		if confused.Load() {
			w.WriteHeader(503)
			_, _ = io.WriteString(w, "503 "+id)
			return
		}
		download, _ := strconv.Atoi(r.FormValue("n"))
		answer := soakAnswer(id, int(n), download)
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		for part := range slices.Chunk([]byte(answer), 16<<10) {
			if _, err := w.Write(part); err != nil {
				return
			}
			if len(answer) > len(part) {
				w.(http.Flusher).Flush()
				time.Sleep(time.Millisecond)
			}
		}
	}))
	server.Listener.Close()
	server.Listener = ln
	if scheme == "https" {
		server.StartTLS()
	} else {
		server.Start()
	}
	fmt.Println("serving")
	for s := range signals {
		switch s {
		case syscall.SIGUSR1, syscall.SIGUSR2:
			confused.Store(s == syscall.SIGUSR1)
		default:
			os.Exit(0) // without a word to anybody
		}
	}
}
