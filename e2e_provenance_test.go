//go:build e2e

package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// forwarding is what an app does with the trace headers of a request when it makes
// a call: most apps know one format, or none.
var forwarding = map[string][]string{
	"w3c":        {"traceparent", "tracestate", "baggage"},
	"b3":         {"b3"},
	"b3multi":    {"x-b3-traceid", "x-b3-spanid", "x-b3-sampled"},
	"jaeger":     {"uber-trace-id"},
	"request-id": {"x-request-id"},
	"nothing":    {},
}

// chain is the way gateway -> service a with a sidecar -> service b with a sidecar ->
// queue -> worker. All apps forward what the first segment of the path says.
type chain struct {
	jaeger *jaegerServer
	url    string // of the gateway
}

// startChain starts all of it. The worker's sidecar has the broker in it.
func startChain(t *testing.T) chain {
	t.Helper()
	c := chain{jaeger: startJaeger(t)}
	nats := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	worker := serveApp(t, func(w http.ResponseWriter, r *http.Request) {})
	c.run(t, "worker", fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0", role: inbound}]
upstreams: {app: {servers: [%q]}}
brokers: {local: {type: nats, embedded: true, dir: %q, listen: %q}}
queues: {jobs: {deliver: {upstream: app}}}
`, worker, t.TempDir(), nats))

	sidecar := func(name, config string) (inbound string) {
		var outbound string
		app := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
			pass(t, w, r, outbound, "http://"+map[string]string{"a": "b", "b": "jobs"}[name]+".internal")
		})
		p := c.run(t, name, fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0", role: inbound}, {address: "127.0.0.1:0", role: outbound}]
upstreams: {app: {servers: [%q]}%s`, app, config))
		outbound = p.find(t, `msg=listening listener=outbound address=(\S+)`)
		return "http://" + p.find(t, `msg=listening listener=inbound address=(\S+)`)
	}
	b := sidecar("b", fmt.Sprintf(`}
routes: [{match: {hosts: [jobs.internal]}, queue: jobs}, {upstream: app}]
brokers: {jobs: {type: nats, url: "nats://%s"}}
queues: {jobs: {}}
`, nats))
	a := sidecar("a", fmt.Sprintf(`, b: {servers: [%q]}}
routes: [{match: {hosts: [b.internal]}, upstream: b}, {upstream: app}]
`, b))
	gateway := c.run(t, "gateway", fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
upstreams: {a: {servers: [%q]}}
rules: [{class: interactive, match: {path: "/*/interactive"}}, {class: batch, match: {path: "/*/batch"}}]
`, a))
	c.url = "http://" + gateway.find(t, `msg=listening listener=public address=(\S+)`)
	return c
}

// run runs one hop, with every span exported under its name.
func (c *chain) run(t *testing.T, name, config string) *program {
	t.Helper()
	file := filepath.Join(t.TempDir(), name+".yaml")
	config += fmt.Sprintf("admin: \"127.0.0.1:0\"\ntracing: {exporter: otlp, endpoint: %q, sample: 1, service: %s}\n", c.jaeger.otlpHTTP, name)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	command := "sidecar"
	if name == "gateway" {
		command = name
	}
	p := start(t, command, "-c", file)
	p.find(t, `msg=listening listener=admin`)
	return p
}

// serveApp serves an app of the test and returns its URL.
func serveApp(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

// pass is an app that makes one call by its sidecar for each request, and answers
// what that does.
func pass(t *testing.T, w http.ResponseWriter, r *http.Request, sidecar, to string) {
	call, err := http.NewRequest(http.MethodPost, to+r.URL.Path, strings.NewReader("{}"))
	if err != nil {
		t.Error(err)
		return
	}
	names, known := forwarding[strings.Split(r.URL.Path, "/")[1]]
	if !known {
		t.Errorf("the path %s says nothing about forwarding", r.URL.Path)
	}
	for _, name := range names {
		for _, value := range r.Header.Values(name) {
			call.Header.Add(name, value)
		}
	}
	client := http.Client{Transport: &http.Transport{
		Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: sidecar}), DisableKeepAlives: true,
	}}
	resp, err := client.Do(call)
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

// classes returns the classes that a service gave its spans, each once, in order.
func (trace jaegerTrace) classes(service string) string {
	found := make(map[string]bool)
	for _, span := range trace.Spans {
		if trace.Processes[span.ProcessID].ServiceName != service {
			continue
		}
		for _, tag := range span.Tags {
			if tag.Key == "overtake.class" {
				found[fmt.Sprint(tag.Value)] = true
			}
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(found)), " ")
}

// A request keeps its class through two services and a queue, whatever their apps
// forward of its trace; if they forward nothing, it is standard from there on.
func TestE2EProvenance(t *testing.T) {
	c := startChain(t)
	trace := 0
	for _, mode := range slices.Sorted(maps.Keys(forwarding)) {
		for _, class := range []string{"interactive", "batch"} {
			t.Run(mode+"/"+class, func(t *testing.T) {
				trace++
				id := fmt.Sprintf("4bf92f3577b34da6%016x", trace)
				path := "/" + mode + "/" + class
				resp, body := traced(t, c.url+path, id)
				if resp.StatusCode != http.StatusAccepted {
					t.Fatalf("got %d %s", resp.StatusCode, body)
				}
				if mode == "nothing" {
					c.wantBreak(t, path, id, class)
				} else {
					c.wantOneTrace(t, id, class)
				}
			})
		}
	}
}

// How many spans a request has in each hop.
const (
	spansOfGateway = 3
	spansOfA       = 6
	spansOfB       = 5
	spansOfWorker  = 4
)

// wantOneTrace checks that the trace has every hop, each with the class.
func (c chain) wantOneTrace(t *testing.T, id, class string) {
	t.Helper()
	trace := c.jaeger.trace(t, id, spansOfGateway+spansOfA+spansOfB+spansOfWorker)
	services := []string{"gateway", "a", "b", "worker"}
	for _, service := range services {
		if got := trace.classes(service); got != class {
			t.Errorf("%s has the classes %q, want %q", service, got, class)
		}
	}
	shown := runProgram(t, nil, "trace", "--jaeger", c.jaeger.query, id)
	if shown.code != 0 {
		t.Fatalf("overtake trace exited with %d: %s", shown.code, shown.stderr)
	}
	for _, want := range append(services, class, c.jaeger.query+"/trace/"+id) {
		if !strings.Contains(shown.stdout, want) {
			t.Errorf("overtake trace does not show %q:\n%s", want, shown.stdout)
		}
	}
}

// wantBreak checks that the class holds as far as the first app, and that what it
// calls is standard, in another trace.
func (c chain) wantBreak(t *testing.T, path, id, class string) {
	t.Helper()
	trace := c.jaeger.trace(t, id, spansOfGateway+spansOfA/2)
	for _, service := range []string{"gateway", "a"} {
		if got := trace.classes(service); got != class {
			t.Errorf("%s has the classes %q, want %q", service, got, class)
		}
	}
	query := url.Values{"service": {"b"}, "tags": {fmt.Sprintf(`{"url.path":%q}`, path)}}
	var after []jaegerTrace
	eventually(t, "the second app was called", func() bool {
		after = c.jaeger.ask(t, "/api/traces?"+query.Encode())
		return len(after) > 0
	})
	for _, trace := range after {
		for _, service := range []string{"a", "b", "worker"} {
			if got := trace.classes(service); got != "standard" && got != "" {
				t.Errorf("after the break, %s has the classes %q", service, got)
			}
		}
	}
}
