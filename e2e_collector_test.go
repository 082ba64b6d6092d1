//go:build e2e

package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// spansOfRequest is how many spans a request to an app makes in a gateway: the
// request's, that of its time in the queue, and that of its only try.
const spansOfRequest = 3

// collector takes spans over OTLP, HTTP or gRPC, and Jaeger's Thrift over HTTP, and
// looks at none of them. What it answers can change.
type collector struct {
	*httptest.Server
	answer atomic.Pointer[http.HandlerFunc]
}

func startCollector(t *testing.T, answer http.HandlerFunc) *collector {
	t.Helper()
	c := &collector{}
	c.answer.Store(&answer)
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		(*c.answer.Load())(w, r)
	}))
	c.Config.Protocols = new(http.Protocols)
	c.Config.Protocols.SetHTTP1(true)
	c.Config.Protocols.SetUnencryptedHTTP2(true)
	c.Start()
	t.Cleanup(func() {
		c.CloseClientConnections() // who hangs there, hangs no more
		c.Close()
	})
	return c
}

// become makes the collector answer otherwise, also those who wait for an answer.
func (c *collector) become(answer http.HandlerFunc) {
	c.answer.Store(&answer)
	c.CloseClientConnections()
}

// takeSpans answers that all spans are welcome.
func takeSpans(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = w.Write(make([]byte, 5)) // one empty message
		w.Header().Set("Grpc-Status", "0")
	}
}

// collectorFaults are the ways in which a collector that is there can fail.
var collectorFaults = []struct {
	name   string
	answer http.HandlerFunc
}{
	{"never answering", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
	{"answering 503", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }},
	{"answering 400", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }},
	{"answering garbage", answerGarbage},
}

func answerGarbage(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // the connection is closed already
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("\x00\xff\x17 this is no HTTP\n\n\n\x03"))
}

// tracedConfig is a gateway that records a share of all requests to app.
func tracedConfig(app, exporter, protocol, endpoint string, sample float64) string {
	return fmt.Sprintf("upstreams: {app: {servers: [%q], limit: {max: 64}}}\ntracing: {exporter: %s, protocol: %q, endpoint: %q, sample: %v}\n",
		app, exporter, protocol, endpoint, sample)
}

// spans returns what became of the spans so far.
func (g gatewayProgram) spans(t *testing.T) (exported, dropped, failed int) {
	t.Helper()
	of := func(result string) int {
		return int(g.metric(t, fmt.Sprintf(`overtake_spans_total{result=%q}`, result)))
	}
	return of("exported"), of("dropped"), of("failed")
}

// load sends requests, each of which must succeed.
func (g gatewayProgram) load(t *testing.T, requests int) {
	t.Helper()
	out, _ := tool(t, "h2load", "--h1", "-c32", fmt.Sprint("-n", requests), g.url+"/healthz")
	if want := fmt.Sprintf("status codes: %d 2xx, 0 3xx, 0 4xx, 0 5xx", requests); !strings.Contains(out, want) {
		t.Errorf("h2load does not say %q:\n%s", want, out)
	}
}

// wantAllCounted waits until it is known of each span of the requests what became
// of it.
func (g gatewayProgram) wantAllCounted(t *testing.T, requests int) {
	t.Helper()
	var exported, dropped, failed int
	defer func() { t.Logf("%d spans exported, %d dropped, %d failed", exported, dropped, failed) }()
	eventually(t, "all spans are counted", func() bool {
		exported, dropped, failed = g.spans(t)
		return exported+dropped+failed == spansOfRequest*requests
	})
}

// A collector that is killed costs spans, and nothing else; when it is back, spans
// come to it.
func TestE2ECollectorKilled(t *testing.T) {
	j := startJaeger(t)
	app := startApp(t, 8)
	exporters := []struct{ name, exporter, protocol, endpoint string }{
		{"OTLP over HTTP", "otlp", "http", j.otlpHTTP},
		{"OTLP over gRPC", "otlp", "grpc", j.otlpGRPC},
		{"Thrift over HTTP", "jaeger", "", j.thrift},
	}
	gateways := make([]gatewayProgram, len(exporters))
	requests := make([]int, len(exporters))
	arrives := func(t *testing.T, i, trace int) {
		t.Helper()
		id := fmt.Sprintf("%032x", trace)
		eventually(t, "a trace arrives by "+exporters[i].name, func() bool {
			requests[i]++
			resp, _ := traced(t, gateways[i].url+"/healthz", id)
			return resp.StatusCode == http.StatusOK && len(j.ask(t, "/api/traces/"+id)) > 0
		})
	}
	for i, e := range exporters {
		gateways[i] = startGateway(t, tracedConfig(app, e.exporter, e.protocol, e.endpoint, 1))
		arrives(t, i, 0xbef0+i)
	}
	j.kill(t)
	const meanwhile = 10_000
	for i, g := range gateways {
		g.load(t, meanwhile)
		requests[i] += meanwhile
	}
	j.restart(t)
	for i, g := range gateways {
		arrives(t, i, 0xaf70+i)
		g.wantAllCounted(t, requests[i])
		if _, dropped, failed := g.spans(t); dropped+failed == 0 {
			t.Errorf("%s: no span was lost of %d requests without a collector", exporters[i].name, meanwhile)
		}
		g.checkRSS(t)
		g.stop(t)
	}
}

// Whatever a collector answers, or does not, requests are served, memory is bounded
// and each span is counted; when the collector works, it gets spans.
func TestE2ECollectorFaults(t *testing.T) {
	app := startApp(t, 8)
	for _, fault := range collectorFaults {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			c := startCollector(t, fault.answer)
			g := startGateway(t, tracedConfig(app, "otlp", "http", c.URL, 1))
			const requests = 10_000
			g.load(t, requests)
			eventually(t, "an export has failed", func() bool { _, _, failed := g.spans(t); return failed > 0 })
			if exported, _, _ := g.spans(t); exported > 0 {
				t.Errorf("%d spans are said to be exported", exported)
			}
			g.find(t, "spans can't be exported")
			c.become(takeSpans)
			more := 0
			eventually(t, "spans are exported", func() bool {
				more++
				get(t, g.url+"/healthz")
				exported, _, _ := g.spans(t)
				return exported > 0
			})
			g.wantAllCounted(t, requests+more)
			g.checkRSS(t)
			g.stop(t)
		})
	}
}

// A collector that hangs does not keep a gateway from ending.
func TestE2ECollectorHangsAtTheEnd(t *testing.T) {
	app := startApp(t, 8)
	c := startCollector(t, collectorFaults[0].answer)
	var gateways []gatewayProgram
	for _, e := range [][2]string{{"otlp", "http"}, {"otlp", "grpc"}, {"jaeger", ""}} {
		g := startGateway(t, tracedConfig(app, e[0], e[1], c.URL, 1))
		g.load(t, 1000)
		gateways = append(gateways, g)
	}
	for _, g := range gateways {
		g.signal(t, syscall.SIGTERM)
	}
	for _, g := range gateways {
		if code := g.wait(t); code != exitOK {
			t.Errorf("after SIGTERM it exited with %d, want %d", code, exitOK)
		}
	}
}
