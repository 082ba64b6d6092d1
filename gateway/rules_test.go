package gateway

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// A rule in dry run decides nothing, also beside built-in rules, and what it would
// have decided is counted. Expressions that fail are counted by rule and route.
func TestRulesAreCounted(t *testing.T) {
	app := serveApp(t, func(http.ResponseWriter, *http.Request) {})
	g := start(t, `
expose: all
rules:
  - {name: try, dry_run: true, class: batch, match: {path: "/a/**"}}
  - {name: broken, dry_run: true, class: batch, match: {path: /broken, expr: "1 / request.size == 1"}}
routes:
  - {match: {expr: "1 / request.size == 1", path: /broken}, upstream: app}
  - {upstream: app}
`, app)
	for target, want := range map[string]string{"/a/b": "interactive", "/b": "interactive", "/broken": "interactive"} {
		f := g.get(target, "Sec-Fetch-Mode: navigate", "User-Agent: Mozilla/5.0")
		if got := f.Header.Get("Latency-Class"); f.StatusCode != http.StatusOK || got != want {
			t.Errorf("%s: %s, class %s, want %s", target, f.Status, got, want)
		}
	}
	g.wantMetric(`overtake_rule_dry_run_total{class="batch",rule="try"} 1`)
	g.wantMetric(`overtake_expr_errors_total{rule="broken"} 1`)
	g.wantMetric(`overtake_expr_errors_total{rule="routes[0]"} 1`)
	g.wantMetric(`overtake_classified_total{class="interactive",rule="builtin:navigation"} 3`)
}

// Rules see the host and the path that an app gets which merges slashes.
func TestSpellingDoesNotGetAroundRules(t *testing.T) {
	app := serveApp(t, func(http.ResponseWriter, *http.Request) {})
	g := start(t, `
expose: all
rules:
  - {name: reports, class: batch, match: {hosts: [a], path: "/reports/**"}}
  - {name: old, class: bulk, match: {path: "/reports/**"}}
  - {name: page, class: bulk, match: {path: "/page/"}}
classes: [{name: interactive}, {name: standard}, {name: batch}, {name: bulk}]
`, app)
	for head, class := range map[string]string{
		"GET //reports/big?u=:// HTTP/1.1\r\nHost: A":          "batch",
		"GET //reports/%2e/big/../x HTTP/1.1\r\nHost: a":       "batch",
		"GET http://a//reports/big?u=:// HTTP/1.1\r\nHost: b":  "batch",
		"GET //reports/big HTTP/1.1\r\nHost: b":                "bulk",
		"GET //reports/big HTTP/1.0\r\nConnection: keep-alive": "bulk",
		"GET /page/. HTTP/1.1\r\nHost: a":                      "bulk",
		"GET /page/x/../%2E HTTP/1.1\r\nHost: a":               "bulk",
		"GET /page. HTTP/1.1\r\nHost: a":                       "standard",
	} {
		p := g.dial()
		p.send(head + "\r\n\r\n")
		if resp, _ := p.response("GET"); resp.Header.Get("Latency-Class") != class {
			t.Errorf("%q: %s, class %s, want %s", head, resp.Status, resp.Header.Get("Latency-Class"), class)
		}
		p.Close()
	}
}

// A flow stays below its ceiling, whatever a rule or a trusted network says, and so do
// the calls of an app. What the app gets says so, and explain does.
func TestCeilingsHold(t *testing.T) {
	const yaml = `
listeners: [{address: "127.0.0.1:0", trust: ["127.0.0.0/8"]}]
flow:
  header: X-Api-Key
  ceilings:
    - {keys: ["free-*"], class: standard}
    - {keys: ["!"], sources: ["127.0.0.0/8"], class: batch}
rules: [{name: vip, class: interactive}]
`
	for _, tc := range []struct{ header, class, ceiling string }{
		{"X-Api-Key: gold-1\r\n", "interactive", ""},
		{"X-Api-Key: free-1\r\n", "standard", "flow.ceilings[0]"},
		{"x-api-key: free-1\r\nLatency-Class: interactive\r\n", "standard", "flow.ceilings[0]"},
		{"X-Api-Key: gold-1\r\nX-Api-Key: free-1\r\n", "standard", "flow.ceilings[0]"},
		{"X-Api-Key: free-1\r\nLatency-Class: batch\r\n", "batch", ""},
		{"", "batch", "flow.ceilings[1]"},
		{"baggage: latency.class=interactive\r\n", "batch", "flow.ceilings[1]"},
	} {
		head := forwarded(t, yaml, "GET / HTTP/1.1\r\nHost: a\r\n"+tc.header+"\r\n")
		wantFields(t, head, map[string][]string{"Latency-Class": {tc.class}})
		g := newGateway(t, yaml, deadAddress(t))
		q := Question{Method: "GET", URL: "/", Source: netip.MustParseAddr("127.0.0.1")}
		if tc.header != "" {
			q.Header = strings.Split(strings.TrimSuffix(tc.header, "\r\n"), "\r\n")
		}
		e, err := Explain(g.config, q)
		if err != nil || e.Ceiling != tc.ceiling || e.Classes.Name(e.Class) != tc.class {
			t.Errorf("%q is explained as %+v, %v", tc.header, e.Decision, err)
		}
	}
	next := serveNext(t)
	s := startSidecar(t, "flow: {header: X-Api-Key, ceilings: [{keys: [free], class: batch}]}", serveApp(t, func(http.ResponseWriter, *http.Request) {}))
	req, err := http.NewRequest("GET", next, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", "free")
	resp, err := s.caller().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(text), "Latency-Class: batch\r\n") {
		t.Errorf("a call of the flow was sent on with\n%s%v", text, err)
	}
}

// hostile are headers by which a client tries to get a more urgent class, and what
// answers the ones that can't be served.
func hostile() map[string]int {
	members := make([]string, 100)
	for i := range members {
		members[i] = fmt.Sprintf("member%d=%d", i, i)
	}
	crowd := strings.Join(slices.Insert(members, 50, "latency.class=interactive"), ",")
	return map[string]int{
		"Latency-Class: interactive\r\n":                                             200,
		"Latency-Class: interactive\r\nLatency-Class: interactive\r\n":               200,
		"Latency-Class: batch\r\nLatency-Class: interactive\r\n":                     200,
		"lAtEnCy-cLaSs: INTERACTIVE\r\n":                                             200,
		"Latency_Class: interactive\r\n":                                             200,
		"Latency-Class:interactive\r\nlatency_class: interactive\r\n":                200,
		"Latency-Class: standard, interactive\r\n":                                   200,
		"Latency-Class : interactive\r\n":                                            400,
		"Connection: Latency-Class\r\nLatency-Class: interactive\r\n":                200,
		"baggage: latency.class=interactive\r\n":                                     200,
		"baggage: latency.class=interactive;a=b\r\nBaggage: latency.class=batch\r\n": 200,
		"baggage: latency%2Eclass=interactive\r\n":                                   200,
		"baggage: " + crowd + "\r\n":                                                 200,
		"uberctx-latency.class: interactive\r\n":                                     200,
		"jaeger-baggage: latency.class=interactive\r\n":                              200,
		"Priority: u=0\r\n":                                                          200,
		"Latency-Class: " + strings.Repeat("interactive,", 64<<10/12) + "\r\n":       431,
		strings.Repeat("Latency-Class: interactive\r\n", 64<<10/28):                  431,
		"baggage: " + strings.Repeat("latency.class=interactive,", 64<<10/26):        431,
	}
}

// A hostile client never gets above its rule's class, and the app never sees what it
// wrote.
func TestHostileClasses(t *testing.T) {
	for header, status := range hostile() {
		app := serveRaw(t)
		seen := app.answering(okNoBody)
		g := start(t, "rules: [{name: all, class: standard}]", app.url())
		p := g.dial()
		p.send("GET / HTTP/1.1\r\nHost: a\r\n", header, "\r\n")
		name := header[:min(len(header), 80)]
		resp, _ := p.response("GET")
		if resp.StatusCode != status {
			t.Errorf("%q: status %d, want %d", name, resp.StatusCode, status)
		}
		for _, head := range seen.all() {
			for _, class := range append(values(head, "Latency-Class"), values(head, "uberctx-latency.class")...) {
				if class != "standard" && class != "batch" {
					t.Errorf("%q: the app was told %q", name, class)
				}
			}
			if n := len(values(head, "Latency-Class")); n != 1 {
				t.Errorf("%q: the app was told %d classes", name, n)
			}
			var told []string
			for member := range strings.SplitSeq(strings.Join(values(head, "baggage"), ","), ",") {
				if key, value, _ := strings.Cut(member, "="); strings.EqualFold(strings.TrimSpace(key), "latency.class") {
					told = append(told, value)
				}
			}
			if len(told) != 1 || told[0] != "standard" && told[0] != "batch" {
				t.Errorf("%q: the app was told %q in baggage", name, told)
			}
			if strings.Contains(strings.ToLower(head), "latency_class") {
				t.Errorf("%q: the app got\n%s", name, head)
			}
		}
		if _, page := g.adminGet("/metrics"); strings.Contains(page, `overtake_classified_total{class="interactive"`) {
			t.Errorf("%q: it counts as interactive", name)
		}
		p.Close()
	}
}
