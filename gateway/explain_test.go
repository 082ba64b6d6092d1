package gateway

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// TestExplainAgreesWithTheGateway asks both about the same requests.
func TestExplainAgreesWithTheGateway(t *testing.T) {
	const yaml = `
listeners: [{address: "127.0.0.1:0", trust: ["127.0.0.0/8"]}]
expose: all
rules:
  - {name: urgent, class: interactive, match: {path: "/a/*", methods: [GET]}}
  - {name: big, class: batch, match: {size: {min: 10B}}}
  - {name: host, class: batch, match: {hosts: ["*.batch.example"]}}
  - {name: query, class: interactive, match: {query: {now: "1"}}}
routes:
  - {match: {path: "/jobs/**"}, queue: jobs}
  - {match: {path: "/app/**"}, upstream: app}
  - {match: {path: "/a/**"}, upstream: app}
queues: {jobs: {}}
`
	app := serveApp(t, func(http.ResponseWriter, *http.Request) {})
	q := newFakeQueue()
	g := start(t, yaml, app, q.open())
	stranger := netip.MustParseAddr("192.0.2.1")
	for _, tc := range []struct {
		Question
		class, rule, upstream, queue string
	}{
		{Question{Method: "GET", URL: "/a/b"}, "interactive", "urgent", "app", ""},
		{Question{Method: "get", URL: "/a/b"}, "standard", "default", "app", ""},
		{Question{Method: "POST", URL: "/a/b"}, "standard", "default", "app", ""},
		{Question{Method: "GET", URL: "/a/x/../b"}, "interactive", "urgent", "app", ""},
		{Question{Method: "GET", URL: "/a/%62"}, "interactive", "urgent", "app", ""},
		{Question{Method: "GET", URL: "/app/../jobs/1"}, "standard", "default", "", "jobs"},
		{Question{Method: "POST", URL: "/app/1", Header: []string{"Content-Length: 10"}}, "batch", "big", "app", ""},
		{Question{Method: "GET", URL: "http://x.batch.example/app/1"}, "batch", "host", "app", ""},
		{Question{Method: "GET", URL: "http://X.BATCH.example:81/app/1"}, "batch", "host", "app", ""},
		{Question{Method: "GET", URL: "/app/1?now=1"}, "interactive", "query", "app", ""},
		{Question{Method: "GET", URL: "/elsewhere"}, "standard", "default", "", ""},
		{Question{Method: "GET", URL: "/app/1", Header: []string{"Latency-Class: interactive"}}, "interactive", "trusted", "app", ""},
		{Question{Method: "GET", URL: "/app/1", Header: []string{"latency-class: batch"}}, "batch", "trusted", "app", ""},
		{Question{Method: "GET", URL: "/app/1", Header: []string{"Latency-Class: vip"}}, "standard", "default", "app", ""},
	} {
		t.Run(tc.Method+" "+tc.URL+" "+strings.Join(tc.Header, ""), func(t *testing.T) {
			tc.Source = netip.MustParseAddr("127.0.0.1")
			e, err := Explain(g.config, tc.Question)
			if err != nil {
				t.Fatal(err)
			}
			if class := e.Classes.Name(e.Class); class != tc.class || e.Rule != tc.rule || e.Upstream != tc.upstream || e.Queue != tc.queue {
				t.Errorf("explained as %s by %s, to %q %q", class, e.Rule, e.Upstream, e.Queue)
			}
			p := g.dial()
			target, host := tc.URL, "localhost"
			if rest, absolute := strings.CutPrefix(target, "http://"); absolute {
				host, target, _ = strings.Cut(rest, "/")
				target = "/" + target
			}
			p.send(tc.Method, " ", target, " HTTP/1.1\r\nHost: ", host, "\r\n", strings.Join(tc.Header, "\r\n"))
			if len(tc.Header) > 0 {
				p.send("\r\n")
			}
			p.send("\r\n", "0123456789") // the body, where there is one
			resp, body := p.response(tc.Method)
			if got := resp.Header.Get("Latency-Class"); got != tc.class {
				t.Errorf("served as %s", got)
			}
			want := 404
			if tc.upstream != "" {
				want = 200
			} else if tc.queue != "" {
				want = 202
			}
			if resp.StatusCode != want {
				t.Errorf("served with %d %s, want %d", resp.StatusCode, body, want)
			}
			tc.Source = stranger
			if e, _ := Explain(g.config, tc.Question); e.Trusted || e.Rule == "trusted" {
				t.Error("a stranger is explained as trusted")
			}
			p.Close()
		})
	}
}

func TestExplainRefusesWhatIsNotARequest(t *testing.T) {
	g := newGateway(t, "", deadAddress(t))
	for _, q := range []Question{
		{Method: "GET", URL: "http://a b/"},
		{Method: "G T", URL: "/"},
		{Method: "", URL: "/"},
		{Method: "GET", URL: "/", Header: []string{"no colon"}},
		{Method: "GET", URL: "/", Header: []string{"Host: x"}},
		{Method: "GET", URL: "/", Header: []string{"X-A: 1\r\n folded"}},
		{Method: "GET", URL: "/", Header: []string{"X A: 1"}},
	} {
		if _, err := Explain(g.config, q); err == nil || !strings.Contains(err.Error(), "explain") {
			t.Errorf("%+v: error %v", q, err)
		}
	}
}

// TestExplainNamesASpace: people paste what they read, and are told how it is written.
func TestExplainNamesASpace(t *testing.T) {
	g := newGateway(t, "", deadAddress(t))
	for url, refused := range map[string]bool{"/a b": false, "http://a/b c": false, "/search?q=a b": true, "http://a/?a b": true} {
		if _, err := Explain(g.config, Question{Method: "GET", URL: url}); (err != nil) != refused || refused && !strings.Contains(err.Error(), "%20") {
			t.Errorf("%s: error %v", url, err)
		}
	}
}

// TestExplainKnowsRoles: a call of the app is decided about as an outbound listener
// does it, without rules and by routes with hosts alone.
func TestExplainKnowsRoles(t *testing.T) {
	g := newGateway(t, `
listeners:
  - {address: "127.0.0.1:0", role: inbound}
  - {address: "127.0.0.1:0", role: outbound}
rules: [{class: interactive}]
routes:
  - {match: {hosts: [b.internal]}, upstream: b}
  - {upstream: app}
upstreams: {app: {servers: [$APP]}, b: {servers: ["http://127.0.0.1:1"]}}
`, deadAddress(t))
	for _, tc := range []struct {
		listener, method, url, header string
		class, upstream, address      string
		trusted                       bool
	}{
		{"", "GET", "/", "", "interactive", "app", "", true},
		{"inbound", "GET", "/", "Latency-Class: batch", "batch", "app", "", true},
		{"outbound", "GET", "http://b.internal/x", "", "standard", "b", "", false},
		{"outbound", "GET", "http://c.internal/x", "Latency-Class: batch", "batch", "", "c.internal:80", false},
		{"outbound", "GET", "http://c.internal:81/x", "Latency-Class: interactive", "standard", "", "c.internal:81", false},
		{"outbound", "GET", "/x", "", "standard", "", "", false},
		{"outbound", "CONNECT", "b.internal:443", "", "standard", "", "b.internal:443", false},
		{"outbound", "CONNECT", "127.0.0.1:443", "Latency-Class: batch", "batch", "", "127.0.0.1:443", false},
		{"outbound", "CONNECT", "[::1]:443", "Latency-Class: urgent", "standard", "", "[::1]:443", false},
	} {
		q := Question{Method: tc.method, URL: tc.url, Listener: tc.listener, Source: netip.MustParseAddr("127.0.0.1")}
		if tc.header != "" {
			q.Header = []string{tc.header}
		}
		e, err := Explain(g.config, q)
		if err != nil {
			t.Fatal(err)
		}
		if class := e.Classes.Name(e.Class); class != tc.class || e.Upstream != tc.upstream || e.Address != tc.address || e.Trusted != tc.trusted {
			t.Errorf("%+v: explained as %s to %q %q, trusted %v", tc, class, e.Upstream, e.Address, e.Trusted)
		}
		if e.Unknown != strings.HasSuffix(tc.header, "urgent") {
			t.Errorf("%+v: class %q is unknown: %v", tc, e.Claimed, e.Unknown)
		}
	}
	for target, want := range map[string]string{"b.internal": "no port", "http://b.internal:443": "neither a host name"} {
		_, err := Explain(g.config, Question{Method: "CONNECT", URL: target, Listener: "outbound"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CONNECT %s: %v", target, err)
		}
	}
	if _, err := Explain(g.config, Question{Method: "GET", URL: "/", Listener: "none"}); err == nil || !strings.Contains(err.Error(), `"none"`) {
		t.Errorf("a listener that is not there: %v", err)
	}
}

// The admin listener explains by the configuration in effect, in JSON.
func TestDebugExplain(t *testing.T) {
	g := start(t, `
flow: {header: X-Api-Key, ceilings: [{keys: [free], class: standard}]}
rules:
  - {name: try, class: batch, dry_run: true}
  - {name: bots, class: batch, match: {headers: {User-Agent: "*bot*"}}}
  - {name: vip, class: interactive}
`, deadAddress(t))
	status, body := g.adminGet("/debug/explain?url=/a&header=X-Api-Key:+free&header=User-Agent:+curl&source=10.1.2.3")
	var got explanationState
	if err := json.Unmarshal([]byte(body), &got); status != http.StatusOK || err != nil {
		t.Fatalf("%d, %v: %s", status, err, body)
	}
	want := explanationState{
		Class: "standard", Rule: "vip", Ceiling: "flow.ceilings[0]", Flow: `"free"`, Upstream: "app", Tested: 3,
		Rules: []trialState{
			{Rule: "try", Class: "batch", Matches: true, DryRun: true},
			{Rule: "bots", Class: "batch", Field: "headers.User-Agent", Seen: `"curl"`},
			{Rule: "vip", Class: "interactive", Matches: true},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("explained as\n%+v\nwant\n%+v", got, want)
	}
	for wrong, names := range map[string]string{
		"source=x": "source", "header=x": "header", "listener=none": "none",
		"url=/a?x=1&y=2": `parameter "y"`, "uri=/a": `parameter "uri"`,
		"url=/a%zz": `"%zz"`, "url=/a;b": "semicolon", "url=/a&url=/b": "url is given 2 times",
	} {
		status, body := g.adminGet("/debug/explain?" + wrong)
		if status != http.StatusBadRequest || !strings.Contains(body, names) {
			t.Errorf("%s: %d %s, want it to name %s", wrong, status, body, names)
		}
	}
	if _, page := g.adminGet("/metrics"); strings.Contains(page, "overtake_rule_dry_run_total{") {
		t.Error("an explanation counts as a decision")
	}
}

// No route leads to what the gateway answers itself.
func TestExplainKnowsOwnPaths(t *testing.T) {
	g := newGateway(t, "", deadAddress(t))
	for path, route := range map[string]int{"/_overtake/": -1, "/_overtake/x": -1, "/_overtake": 0} {
		if e, err := Explain(g.config, Question{Method: "GET", URL: path}); err != nil || e.Route != route {
			t.Errorf("%s: route %d, %v, want %d", path, e.Route, err, route)
		}
	}
}
