package gateway

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"overtake/gateway/console"
	"overtake/scheduler"
)

// labelValues returns what each label of our metrics says, anywhere on the page.
func labelValues(page string) map[string][]string {
	all := make(map[string][]string)
	label := regexp.MustCompile(`(\w+)="((?:[^"\\]|\\.)*)"`)
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "overtake_") {
			for _, m := range label.FindAllStringSubmatch(line, -1) {
				if !slices.Contains(all[m[1]], m[2]) {
					all[m[1]] = append(all[m[1]], m[2])
				}
			}
		}
	}
	return all
}

// knownLabels are the values that labels can have, by what is configured: whatever
// clients, apps and publishers send, there are no others.
func (g *testGateway) knownLabels() map[string][]string {
	cfg := g.Config()
	known := map[string][]string{
		"class": {""}, "upstream": {""}, "version": {""}, "rule": {"default", "trusted", "provenance"}, "result": deliveryResults, "cause": causes,
		"found_by": {originNone, "span", "trace", "request_id"},
		"reason":   append(slices.Collect(maps.Keys(details)), reasonLeft),
	}
	known["result"] = append(slices.Clone(deliveryResults), reloadDone, reloadFailed, "exported", "dropped", "failed")
	for r := range numRetryResults {
		known["result"] = append(known["result"], r.String())
	}
	for _, r := range scheduler.Reasons() {
		known["reason"] = append(known["reason"], r.String())
	}
	for _, c := range cfg.Classes {
		known["class"] = append(known["class"], c.Name)
	}
	for _, l := range cfg.Listeners {
		known["listener"] = append(known["listener"], l.Name)
	}
	for name, u := range cfg.Upstreams {
		known["upstream"] = append(known["upstream"], name)
		known["server"] = append(known["server"], u.Servers...)
	}
	for name := range cfg.Queues {
		known["queue"] = append(known["queue"], name)
	}
	known["rule"] = append(known["rule"], rulesOfMetrics(cfg)...)
	for _, bound := range append(slices.Clone(waitBuckets), 0) {
		known["le"] = append(known["le"], fmt.Sprint(bound))
	}
	known["le"] = append(known["le"], "+Inf")
	return known
}

// checkLabels fails for each value that nobody has configured.
func (g *testGateway) checkLabels() {
	g.t.Helper()
	_, page := g.adminGet("/metrics")
	known := g.knownLabels()
	for label, values := range labelValues(page) {
		for _, value := range values {
			isCode := label == "code" && regexp.MustCompile(`^[1-5][0-9][0-9]$`).MatchString(value)
			if !isCode && !slices.Contains(known[label], value) {
				g.t.Errorf("there is %s=%q in the metrics, which nobody configured", label, value)
			}
		}
	}
}

// Every field that some label could be made of is sent with values of its own.
func TestHostileClientsMakeNoSeries(t *testing.T) {
	q := newFakeQueue()
	q.breaks(nil)
	g, _ := startTraced(t, `
flow: {header: X-Api-Key}
tracing: {sample: 1}
rules:
- {name: expr, class: batch, match: {expr: 'int(request.headers["x-odd"]) > 1'}}
- {name: dry, class: batch, dry_run: true, match: {headers: {X-Odd: "*"}}}
routes: [{match: {path: "/jobs/**"}, queue: jobs}, {match: {path: "/none/**"}, upstream: app}]
queues: {jobs: {deliver: {upstream: app}}}
`, serveApp(t, func(http.ResponseWriter, *http.Request) {}), q.open())
	for i := range 40 {
		odd := fmt.Sprintf("odd%d", i)
		g.fetch("M"+odd, []string{"/none/", "/jobs/", "/"}[i%3]+odd, strings.NewReader(odd),
			"Host: "+odd, "Latency-Class: "+odd, "X-Api-Key: "+odd, "X-Request-Id: "+odd, "X-Odd: "+odd,
			"baggage: latency.class="+odd, "Priority: u="+odd, "Sec-Purpose: "+odd, "Overtake-Reason: "+odd, "Via: 1.1 "+odd,
			fmt.Sprintf("traceparent: 00-%032x-00000000000000aa-01", i+1), "tracestate: a="+odd, "Idempotency-Key: "+odd)
		p := g.dial()
		p.send(odd, " / ", odd, "\r\n\r\n")
		p.response("GET")
	}
	g.checkLabels()
	if _, page := g.adminGet("/metrics"); strings.Contains(page, "odd") || strings.Contains(page, "oDD") {
		t.Error("the metrics carry what clients sent")
	}
}

// An app can't make series by what it answers with, status and reason included.
func TestHostileAppsMakeNoSeries(t *testing.T) {
	answers := []string{"999 x", "099 x", "600 x", "000 x", "1000 x", "20 x", "-20 x", "2e2 x", "200\t x", "٢٠٠ x"}
	app := serveRaw(t)
	g := start(t, "", app.url())
	for i, answer := range append(answers, "599 "+strings.Repeat("x", 999)) {
		status := make(chan int, 1)
		go func() { status <- g.get("/").StatusCode }()
		conn := app.next()
		conn.head()
		conn.send("HTTP/1.1 ", answer, fmt.Sprintf("\r\nOvertake-Reason: odd%d\r\nLatency-Class: odd%d\r\nContent-Length: 0\r\n\r\n", i, i))
		conn.Close()
		want := http.StatusBadGateway
		if i == len(answers) {
			want = 599
		}
		if got := receive(t, "an answer", status); got != want {
			t.Errorf("after the status line %.30q: %d, want %d", answer, got, want)
		}
	}
	g.checkLabels()
}

// The app's own calls go anywhere: where is no label, and the console counts by no
// address, be it that calls fail or that they are shed.
func TestHostileDestinationsMakeNoSeries(t *testing.T) {
	for name, yaml := range map[string]string{"failed": "", "shed": "classes: [{name: standard, deadline: 1ns}]"} {
		t.Run(name, func(t *testing.T) {
			s := startSidecar(t, yaml, serveApp(t, func(http.ResponseWriter, *http.Request) {}))
			s.callAnywhere()
			s.checkLabels()
			reason := reasonConnectFailed
			if name == "shed" {
				reason = reasonDeadline
			}
			s.consoleShows("what failed, under no address", func(state *console.State) bool {
				return len(state.Failures) == 2 && !slices.ContainsFunc(state.Failures, func(f console.Failure) bool { // calls and tunnels
					return f.Upstream != "" || f.Reason != reason || f.Total < 10
				})
			})
		})
	}
}

// callAnywhere calls addresses at which nobody is.
func (s sidecar) callAnywhere() {
	t := s.t
	t.Helper()
	for range 10 {
		for _, request := range []string{"GET http://%s/ HTTP/1.1\r\nHost: x\r\n\r\n", "CONNECT %s HTTP/1.1\r\nHost: x\r\n\r\n"} {
			p := s.dialOutbound()
			p.send(fmt.Sprintf(request, fmt.Sprintf("127.0.%d.%d:1", rand.N(250)+1, rand.N(250)+1)))
			if _, err := io.ReadAll(io.LimitReader(p.br, 12)); err != nil {
				t.Fatal(err)
			}
			p.Close()
		}
	}
}
