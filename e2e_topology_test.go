//go:build e2e

package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"overtake/broker/rabbitmq/rabbitmqtest"
)

// seenClasses is a server that notes the class of each request.
type seenClasses struct {
	url string

	mu      sync.Mutex
	classes []string
	ids     []string
}

func watchClasses(t *testing.T) *seenClasses {
	t.Helper()
	s := &seenClasses{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.classes = append(s.classes, r.Header.Get("Latency-Class"))
		s.ids = append(s.ids, r.Header.Get("X-Request-Id"))
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *seenClasses) all() (classes, ids string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.classes, " "), strings.Join(s.ids, " ")
}

func writeGraph(t *testing.T, format string, args ...any) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "graph.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, format, args...), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// until fails the test unless cond holds in time.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

func refuses(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		conn.Close()
	}
	return err != nil
}

// The class of a request reaches a hop three services on, although the services
// forward a request id and nothing else. The sidecars end with the app, drained or
// killed.
func TestE2ETopologySidecars(t *testing.T) {
	seen := watchClasses(t)
	graph := writeGraph(t, `
services:
  a: {sidecar: true, forward: [x-request-id], endpoints: [{path: /, calls: [{service: b, path: /}]}]}
  b: {sidecar: true, forward: [x-request-id], endpoints: [{path: /, calls: [{service: c, path: /}]}]}
  c: {sidecar: true, forward: [x-request-id], endpoints: [{path: /, calls: [{url: %q}]}]}
`, seen.url)
	for _, end := range []func(*program, *testing.T){(*program).stop, (*program).kill} {
		p := start(t, "app", "-f", graph)
		var listeners []string
		for _, service := range []string{"a", "b", "c"} {
			for _, listener := range []string{"inbound", "outbound"} {
				listeners = append(listeners, p.find(t, "service="+service+" .* "+listener+`=(\S+)`))
			}
		}
		for _, class := range []string{"interactive", "batch"} {
			stdout, stderr := tool(t, "curl", "-sS", "-f", "-H", "Latency-Class: "+class, "-H", "x-request-id: r-"+class, "http://"+listeners[0]+"/")
			if stdout+stderr != "" {
				t.Errorf("%s%s", stdout, stderr)
			}
		}
		end(p, t)
		for _, address := range listeners {
			until(t, "the sidecar at "+address+" has ended", func() bool { return refuses(address) })
		}
	}
	if classes, ids := seen.all(); classes != "interactive batch interactive batch" || ids != "r-interactive r-batch r-interactive r-batch" {
		t.Errorf("the last hop saw %q of %q", classes, ids)
	}
}

// A gateway in front of the port of a service gives the class, and it is kept in every
// hop: that port is of the service's sidecar, where there is one. The services forward
// what they do by default, and the sidecars know the classes from their configuration.
func TestE2ETopologyBehindAGateway(t *testing.T) {
	var seen [3]*seenClasses
	for i := range seen {
		seen[i] = watchClasses(t)
	}
	graph := writeGraph(t, `
services:
  a: {endpoints: [{path: /**, calls: [{url: %q}, {parallel: [{service: b, path: /}, {service: c, path: /}]}]}]}
  b: {endpoints: [{path: /, calls: [{url: %q}]}]}
  c: {endpoints: [{path: /, calls: [{url: %q}]}]}
`, seen[0].url, seen[1].url, seen[2].url)
	base := freePorts(t, 3)
	classes := "classes: [{name: people}, {name: usual}, {name: night}]\ndefault_class: usual\n"
	config := filepath.Join(t.TempDir(), "sidecars.yaml")
	if err := os.WriteFile(config, []byte(classes), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "app", "-f", graph, "--sidecars", "--sidecar-config", config, "--listen-base", strconv.Itoa(base))
	door := p.find(t, `front door: (\S+) \(a\)`)
	if want := fmt.Sprintf("http://127.0.0.1:%d", base); door != want {
		t.Errorf("the front door is %s, want %s", door, want)
	}
	gateway := startGateway(t, classes+fmt.Sprintf(`
upstreams: {app: {servers: [%q]}}
rules: [{class: night, match: {path: /reports}}, {class: people, match: {path: /**}}]
`, door))
	for _, path := range []string{"/reports", "/page", "/reports"} {
		stdout, stderr := tool(t, "curl", "-sS", "-f", gateway.url+path)
		if stdout+stderr != "" {
			t.Errorf("%s: %s%s", path, stdout, stderr)
		}
	}
	for i, hop := range seen {
		if got, _ := hop.all(); got != "night people night" {
			t.Errorf("hop %d calls with the classes %q, want those that the gateway gave: night people night", i, got)
		}
	}
}

// freePorts returns the first of n ports in a row that were free a moment ago, and that
// Linux hands out to nobody who asks for any port.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for range 100 {
		base := 10_000 + rand.IntN(20_000)
		free := 0
		for free < n && refuses(net.JoinHostPort("127.0.0.1", strconv.Itoa(base+free))) {
			free++
		}
		if free == n {
			return base
		}
	}
	t.Fatal("no free ports in a row")
	return 0
}

// Messages go through a real RabbitMQ with the forwarded headers, and go on after it
// was away.
func TestE2ETopologyRabbitMQ(t *testing.T) {
	server, err := rabbitmqtest.Start(rabbitmqtest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	seen := watchClasses(t)
	p := start(t, "app", "-f", writeGraph(t, `
services:
  front: {endpoints: [{path: /, publish: [{queue: orders, broker: rabbit, body: 50KiB, timeout: 5s}]}]}
  worker: {consumes: [{queue: orders, broker: rabbit, concurrency: 2, time: 1ms, calls: [{url: %q}]}]}
brokers: {rabbit: {amqp: %q}}
`, seen.url, server.URL()))
	front := "http://" + p.find(t, `service=front address=(\S+)`) + "/"
	publish := func(id string) string {
		stdout, _ := tool(t, "curl", "-sS", "-w", "%{http_code}", "-H", "x-request-id: "+id, front)
		return stdout
	}
	if got := publish("one"); got != "200" {
		t.Fatalf("published: %s", got)
	}
	until(t, "the message is consumed", func() bool { _, ids := seen.all(); return ids == "one" })
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	p.find(t, "broker=rabbit queue=orders state=away")
	if got := publish("lost"); !strings.Contains(got, "publish 1 to queue orders at rabbit: the broker is away") || !strings.HasSuffix(got, "502") {
		t.Errorf("without a broker: %s", got)
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	p.find(t, "broker=rabbit queue=orders state=connected")
	if got := publish("two"); got != "200" {
		t.Errorf("after the restart: %s", got)
	}
	until(t, "the message is consumed", func() bool { _, ids := seen.all(); return ids == "one two" })
	p.stop(t)
}

// A graph whose services run in two processes; and a job route in front of one.
func TestE2ETopologyInTwoProcesses(t *testing.T) {
	graph := writeGraph(t, `
services:
  front: {listen: "127.0.0.1:0", endpoints: [{path: /, calls: [{service: back, path: /}]}]}
  back: {listen: %q, endpoints: [{path: /, time: 300ms, response: 1KiB}]}
`, freeAddress(t))
	front := start(t, "app", "-f", graph, "--service", "front")
	back := start(t, "app", "-f", graph, "--service", "back")
	url := "http://" + front.find(t, `service=front address=(\S+)`) + "/"
	stats := "http://" + back.find(t, `service=back address=(\S+)`) + "/_app/stats"
	curl := startTool(t, nil, "curl", "-sS", "-w", "%{http_code}", url)
	until(t, "the request is at hand", func() bool {
		stdout, _ := tool(t, "curl", "-sS", stats)
		return strings.Contains(stdout, `"requests":1`)
	})
	front.stop(t) // drains
	back.stop(t)
	if curl.wait(t); curl.text() != "200" {
		t.Errorf("answered %s", curl.text())
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestE2ETopologyCommandLine(t *testing.T) {
	bad := writeGraph(t, "services: {a: {endpoints: [{path: /, calls: [{service: b, path: /}]}]}}")
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--list"}, exitOK, "e-library"},
		{[]string{"-f", "bookinfo", "--check"}, exitOK, "└═ reviews /reviews"},
		{[]string{"-f", "bookinf"}, exitUsage, `did you mean "bookinfo"?`},
		{[]string{"-f", "./nowhere.yaml"}, exitUsage, "no such file"},
		{[]string{"-f", bad}, exitUsage, `graph.yaml:1:56: services.a.endpoints[0].calls[0].service: "b" is not a service`},
		{[]string{"-f", "bookinfo", "--service", "rating"}, exitUsage, `did you mean "ratings"?`},
		{[]string{"-f", "bookinfo", "--listen-base", "65535"}, exitUsage, "--listen-base 65535"},
		{[]string{"--check"}, exitUsage, "--file"},
		{[]string{"--service", "often"}, exitUsage, "want fixed or exponential"},
	} {
		p := start(t, append([]string{"app"}, test.args...)...)
		if code := p.wait(t); code != test.code || !strings.Contains(p.text(), test.want) {
			t.Errorf("%v: exit code %d, want %d with %q:\n%s", test.args, code, test.code, test.want, p.text())
		}
	}
}
