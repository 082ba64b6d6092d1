package gateway

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// sidecar is a gateway beside an app: g.addr is its inbound listener.
type sidecar struct {
	*testGateway
	outbound string // address
}

// startSidecar runs a sidecar; yaml is the configuration without its listeners.
func startSidecar(t *testing.T, yaml, app string, queues ...map[string]Queue) sidecar {
	t.Helper()
	g := start(t, "listeners: [{address: \"127.0.0.1:0\", role: inbound}, {address: \"127.0.0.1:0\", role: outbound}]\n"+yaml, app, queues...)
	return sidecar{g, g.Addr("outbound").String()}
}

// caller is a client as an app beside the sidecar has it: by HTTP_PROXY.
func (s sidecar) caller() *http.Client {
	c := client(s.t)
	c.Transport.(*http.Transport).Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: s.outbound})
	return c
}

// dialOutbound opens a connection to the outbound listener.
func (s sidecar) dialOutbound() *peer {
	s.t.Helper()
	g := *s.testGateway
	g.addr = s.outbound
	return g.dial()
}

// serveNext is the next hop: it answers with the header it saw, a line per field.
func serveNext(t *testing.T) string {
	return serveApp(t, func(w http.ResponseWriter, r *http.Request) { r.Header.Write(w) })
}

// seen reads one field of what serveNext answered.
func seen(answer, name string) string {
	for line := range strings.Lines(answer) {
		if n, v, _ := strings.Cut(strings.TrimSpace(line), ": "); strings.EqualFold(n, name) {
			return v
		}
	}
	return ""
}

// callThrough asks the sidecar's app, which asks next with what forward makes of the
// header it got, and returns what next saw.
func callThrough(t *testing.T, yaml string, forward func(in, out http.Header), header ...string) string {
	t.Helper()
	next := serveNext(t)
	var s sidecar
	app := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		req, _ := http.NewRequest("GET", next+"/next", nil)
		forward(r.Header, req.Header)
		resp, err := s.caller().Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		io.Copy(w, resp.Body)
	})
	s = startSidecar(t, yaml, app)
	return s.get("/", header...).body
}

// copyFields forwards the named fields and nothing else.
func copyFields(names ...string) func(in, out http.Header) {
	return func(in, out http.Header) {
		for _, name := range names {
			for _, value := range in.Values(name) {
				out.Add(name, value)
			}
		}
	}
}

const aTrace = "0af7651916cd43dd8448eb211c80319c"

// TestProvenance: whatever single part of the trail an app passes on, its call has
// the class of the request that it is made for; with none, never interactive.
func TestProvenance(t *testing.T) {
	child := func(in, out http.Header) { // as a tracing library does
		parts := strings.Split(in.Get("traceparent"), "-")
		out.Set("traceparent", strings.Join([]string{parts[0], parts[1], "00f067aa0ba902b7", parts[3]}, "-"))
	}
	for name, tc := range map[string]struct {
		forward func(in, out http.Header)
		found   bool
		trace   bool // the call is of the request's trace
	}{
		"traceparent":       {copyFields("traceparent"), true, true},
		"child traceparent": {child, true, true},
		"x-request-id":      {copyFields("x-request-id"), true, true},
		"uber-trace-id":     {copyFields("uber-trace-id"), true, true},
		"b3":                {copyFields("b3"), true, true},
		"B3 multi":          {copyFields("x-b3-traceid", "x-b3-spanid", "x-b3-sampled"), true, true},
		"nothing":           {copyFields(), false, false},
	} {
		for _, class := range []string{"interactive", "batch"} {
			t.Run(name+" "+class, func(t *testing.T) {
				got := callThrough(t, "", tc.forward, "Latency-Class: "+class, "x-request-id: r-1",
					"traceparent: 00-"+aTrace+"-b7ad6b7169203331-01")
				want := class
				if !tc.found {
					want = "standard"
				}
				if seen(got, "Latency-Class") != want || !strings.Contains(seen(got, "baggage"), "latency.class="+want) {
					t.Errorf("the next hop saw\n%s\nwant class %s", got, want)
				}
				if strings.Contains(seen(got, "traceparent"), aTrace) != tc.trace {
					t.Errorf("the next hop saw trace %s", seen(got, "traceparent"))
				}
			})
		}
	}
}

// TestProvenanceBounds: the deadline only shrinks, and baggage that an app dropped
// with the rest of the trail is there again.
func TestProvenanceBounds(t *testing.T) {
	got := callThrough(t, "", copyFields("x-request-id"), "x-request-id: r-1", "Latency-Deadline: 4102444800000",
		"traceparent: 00-"+aTrace+"-b7ad6b7169203331-01", "tracestate: a=1", "baggage: tenant=7")
	if seen(got, "Latency-Deadline") != "4102444800000" || seen(got, "tracestate") != "a=1" || !strings.Contains(seen(got, "baggage"), "tenant=7") {
		t.Errorf("the next hop saw\n%s", got)
	}
	sooner := func(in, out http.Header) {
		out.Set("traceparent", in.Get("traceparent"))
		out.Set("Latency-Deadline", "4102444700000")
	}
	if got := callThrough(t, "", sooner, "Latency-Deadline: 4102444800000"); seen(got, "Latency-Deadline") != "4102444700000" {
		t.Errorf("the next hop saw\n%s", got)
	}
	later := func(in, out http.Header) {
		out.Set("traceparent", in.Get("traceparent"))
		out.Set("Latency-Deadline", "4102444900000")
	}
	if got := callThrough(t, "", later, "Latency-Deadline: 4102444800000"); seen(got, "Latency-Deadline") != "4102444800000" {
		t.Errorf("the next hop saw\n%s", got)
	}
}

// TestAppMayLowerItsCalls, and never raise them.
func TestAppMayLowerItsCalls(t *testing.T) {
	for _, tc := range []struct{ let, asked, want string }{
		{"interactive", "batch", "batch"}, {"interactive", "standard", "standard"}, {"standard", "batch", "batch"},
		{"standard", "interactive", "standard"}, {"batch", "interactive", "batch"}, {"batch", "standard", "batch"},
		{"interactive", "no-such", "interactive"},
		{"", "batch", "batch"}, {"", "interactive", "standard"},
	} {
		for _, field := range []string{"Latency-Class: %s", "baggage: latency.class=%s"} {
			t.Run(tc.let+" "+fmt.Sprintf(field, tc.asked), func(t *testing.T) {
				forward := func(in, out http.Header) {
					if tc.let != "" {
						out.Set("traceparent", in.Get("traceparent"))
					}
					name, value, _ := strings.Cut(fmt.Sprintf(field, tc.asked), ": ")
					out.Set(name, value)
				}
				if got := callThrough(t, "", forward, "Latency-Class: "+tc.let); seen(got, "Latency-Class") != tc.want {
					t.Errorf("the next hop saw\n%s\nwant class %s", got, tc.want)
				}
			})
		}
	}
}

// TestDefaultClassOfCalls is never the most urgent, unless there is no other.
func TestDefaultClassOfCalls(t *testing.T) {
	for classes, want := range map[string]string{
		"default_class: interactive":                        "standard",
		"default_class: batch":                              "batch",
		"classes: [{name: a}, {name: b}]\ndefault_class: a": "b",
		"classes: [{name: a}]":                              "a",
	} {
		if got := callThrough(t, classes, copyFields()); seen(got, "Latency-Class") != want {
			t.Errorf("%s: the next hop saw\n%s\nwant class %s", classes, got, want)
		}
	}
}

// TestClassOfAStrangerIsNotRemembered: a class counts only from those who are
// trusted, and the call has what the request got.
func TestClassOfAStrangerIsNotRemembered(t *testing.T) {
	next := serveNext(t)
	var s sidecar
	app := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		req, _ := http.NewRequest("GET", next, nil)
		copyFields("traceparent")(r.Header, req.Header)
		resp, err := s.caller().Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		io.Copy(w, resp.Body)
	})
	g := start(t, `
listeners:
  - {address: "127.0.0.1:0", role: inbound, trust: ["192.0.2.0/24"]}
  - {address: "127.0.0.1:0", role: outbound}
rules: [{class: batch, match: {path: "/b"}}]`, app)
	s = sidecar{g, g.Addr("outbound").String()}
	if got := s.get("/", "Latency-Class: interactive").body; seen(got, "Latency-Class") != "standard" {
		t.Errorf("the next hop saw\n%s", got)
	}
	if got := s.get("/b", "Latency-Class: interactive").body; seen(got, "Latency-Class") != "batch" {
		t.Errorf("the next hop saw\n%s", got)
	}
}

// TestReusedIdsGainNothing: two requests with one request id and different classes
// are both worked on; a call with that id alone has the less urgent class, one with
// the exact span its own.
func TestReusedIdsGainNothing(t *testing.T) {
	app := newGate()
	s := startSidecar(t, "", serveApp(t, app.ServeHTTP))
	next := serveNext(t)
	done := make(chan fetched, 2)
	spans := map[string]string{}
	for _, class := range []string{"batch", "interactive"} {
		go func() { done <- s.fetch("GET", "/", nil, "x-request-id: r-1", "Latency-Class: "+class) }()
		r := receive(t, "the request", app.arrived)
		spans[class] = r.Header.Get("traceparent")
	}
	call := func(name, value string) string {
		req, _ := http.NewRequest("GET", next, nil)
		req.Header.Set(name, value)
		resp, err := s.caller().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return seen(string(body), "Latency-Class")
	}
	if got := call("x-request-id", "r-1"); got != "batch" {
		t.Errorf("by the id of both: %s", got)
	}
	for class, parent := range spans {
		if got := call("traceparent", parent); got != class {
			t.Errorf("by the span of the %s request: %s", class, got)
		}
	}
	for range 2 {
		app.pass <- struct{}{}
		receive(t, "the answer", done)
	}
}

// TestLongRequestIsNotForgotten: what is remembered stays until the request has
// ended, and for keep after that.
func TestLongRequestIsNotForgotten(t *testing.T) {
	app := newGate()
	s := startSidecar(t, "provenance: {keep: 1s}", serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			app.ServeHTTP(w, r)
		}
	}))
	next := serveNext(t)
	done := make(chan fetched, 1)
	go func() { done <- s.fetch("GET", "/", nil, "Latency-Class: batch") }()
	parent := receive(t, "the request", app.arrived).Header.Get("traceparent")
	class := func() string {
		req, _ := http.NewRequest("GET", next, nil)
		req.Header.Set("traceparent", parent)
		resp, err := s.caller().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return seen(string(body), "Latency-Class")
	}
	// Others come and go until one of them, which ended after the call's request
	// had begun, is forgotten: more than keep has passed.
	short := s.get("/short")
	eventually(t, "a request that ended is forgotten", func() bool { return s.remembered() == 1 })
	if got := class(); got != "batch" || short.StatusCode != 200 {
		t.Errorf("while the request runs: %s", got)
	}
	app.pass <- struct{}{}
	receive(t, "the answer", done)
	eventually(t, "the long request is forgotten", func() bool { return class() == "standard" })
}

// remembered is how many requests provenance has.
func (s sidecar) remembered() int { return s.provenance.Stats(time.Now()).Entries }

// TestCallsForAMessage have its class: a delivery is let in to the app as a request
// is.
func TestCallsForAMessage(t *testing.T) {
	next := serveNext(t)
	answers := make(chan string, 1)
	var s sidecar
	app := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		req, _ := http.NewRequest("GET", next, nil)
		copyFields("traceparent")(r.Header, req.Header)
		resp, err := s.caller().Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answers <- string(body)
	})
	q := newFakeQueue()
	s = startSidecar(t, `
upstreams: {app: {servers: [$APP]}}
queues: {jobs: {deliver: {upstream: app}}}
routes: [{queue: jobs}]`, app, q.open())
	s.fetch("POST", "/", nil, "Latency-Class: batch")
	if got := receive(t, "the call", answers); seen(got, "Latency-Class") != "batch" {
		t.Errorf("the next hop saw\n%s", got)
	}
}

// TestManyAtOnce: each of many requests at once keeps its own class, whatever it
// shares the process with, tunnels and reused connections among them.
func TestManyAtOnce(t *testing.T) {
	next := serveNext(t)
	var c *http.Client
	app := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"traceparent", "x-request-id", "b3"} {
			req, _ := http.NewRequest("GET", next, nil)
			copyFields(name)(r.Header, req.Header)
			resp, err := c.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			fmt.Fprintln(w, seen(string(body), "Latency-Class"))
		}
	})
	s := startSidecar(t, "upstreams: {app: {servers: [$APP], limit: {mode: off}}}", app)
	c = s.caller()
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			class := []string{"interactive", "standard", "batch"}[i%3]
			f := s.fetch("GET", "/", nil, "Latency-Class: "+class)
			if want := strings.Repeat(class+"\n", 3); f.body != want {
				t.Errorf("a %s request made calls of %q, %v", class, f.body, f.err)
			}
		})
	}
	tunnelled := serveRaw(t)
	for range 20 {
		p, far := s.connectTo(tunnelled)
		p.Close()
		far.closed()
		far.Close()
	}
	all.Wait()
}
