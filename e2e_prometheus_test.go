//go:build e2e

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	alertsFile    = "charts/overtake/files/alerts.yaml"
	dashboardFile = "charts/overtake/files/dashboard.json"
)

// Each alert fires for what it is about, and not for what is near it.
func TestE2EPrometheusAlerts(t *testing.T) {
	tool(t, "promtool", "check", "rules", alertsFile)
	tool(t, "promtool", "test", "rules", "e2e/prometheus/alerts_test.yaml")
}

// A real Prometheus scrapes a real gateway, and finds an answer to everything that the
// dashboard and the alerts ask.
func TestE2EPrometheusDashboard(t *testing.T) {
	gateway := startObserved(t)
	p := startPrometheus(t, gateway.admin)
	stop := mixedRequests(t, gateway.url)
	defer stop()

	t.Run("alerts", func(t *testing.T) {
		rules := p.ask(t, "/api/v1/rules", nil)
		for _, query := range alertQueries(t, rules) {
			p.query(t, query)
		}
	})
	t.Run("panels", func(t *testing.T) {
		waiting := dashboardQueries(t)
		defer func() {
			if len(waiting) > 0 {
				t.Logf("without data: %v", waiting)
			}
		}()
		eventually(t, "every panel has data", func() bool {
			for what, query := range waiting {
				if p.query(t, query) > 0 {
					delete(waiting, what)
				}
			}
			return len(waiting) == 0
		})
	})
	t.Run("variables", func(t *testing.T) {
		for name, want := range map[string][]string{"namespace": {}, "job": {"overtake"}, "upstream": {"app"}, "class": {"batch", "interactive", "standard"}} {
			if got := p.values(t, dashboardOf(t).variable(name)); !slices.Equal(got, want) {
				t.Errorf("the variable %s has the values %v, want %v", name, got, want)
			}
		}
	})
	for _, histogram := range []string{"overtake_request_seconds", "overtake_queue_wait_seconds", "overtake_message_wait_seconds"} {
		t.Run("exemplars of "+histogram, func(t *testing.T) {
			eventually(t, "Prometheus has the trace of a request", func() bool { return p.hasExemplar(t, histogram) })
		})
	}
}

// traceOfTest begins the trace ids of mixedRequests.
const traceOfTest = "0123456789abcdef"

// startObserved runs a gateway with every feature that has metrics.
func startObserved(t *testing.T) gatewayProgram {
	t.Helper()
	dir, collector := t.TempDir(), startCollector(t, takeSpans)
	file := filepath.Join(dir, "overtake.yaml")
	text := fmt.Sprintf(`
listeners:
- {name: public, address: "127.0.0.1:0"}
- {name: calls, address: "127.0.0.1:0", role: outbound}
admin: "127.0.0.1:0"
classes:
- {name: interactive, objective: 25ms, socket: {priority: 6}}
- {name: standard}
- {name: batch, max_waiting: 2}
rules:
- {name: odd, class: batch, match: {expr: 'int(request.headers["x-odd"]) > 1'}}
- {name: dry, class: batch, dry_run: true, match: {path: "/work"}}
- {name: reports, class: batch, match: {headers: {X-Report: "*"}}}
- {name: pages, class: interactive, match: {methods: [GET]}}
routes:
- {match: {path: "/jobs"}, queue: jobs}
- {match: {path: "/work"}, upstream: app}
upstreams: {app: {servers: [%q], limit: {mode: adaptive, initial: 4, min: 2, max: 8}, retry: {}}}
brokers: {local: {type: nats, embedded: true, dir: %q}}
queues: {jobs: {deliver: {upstream: app, path: /work}}}
access_log: {output: %q}
tracing: {exporter: otlp, endpoint: %q, sample: 1}
`, startApp(t, 2), filepath.Join(dir, "nats"), filepath.Join(dir, "access.log"), collector.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return runGateway(t, file)
}

// mixedRequests sends requests of all kinds until stop is called: those that are
// answered, that wait, that are refused, that become jobs, and that nobody serves.
func mixedRequests(t *testing.T, gateway string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	kinds := []struct{ method, path, field string }{
		{"GET", "/work?ms=5", ""}, {"GET", "/work?ms=40", "X-Report"}, {"GET", "/work?ms=40", "X-Report"}, {"GET", "/work?ms=40", "X-Report"},
		{"POST", "/jobs?ms=5", ""}, {"GET", "/nowhere", ""}, {"POST", "/work?ms=5", "X-Odd"},
	}
	var senders sync.WaitGroup
	for sender := range 2 * len(kinds) {
		senders.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				kind := kinds[sender%len(kinds)]
				req, err := http.NewRequestWithContext(ctx, kind.method, gateway+kind.path, nil)
				if err != nil {
					panic(err) // the test's own URL
				}
				req.Header.Set("Traceparent", fmt.Sprintf("00-%s%08x%08x-00000000000000aa-01", traceOfTest, sender, n+1))
				if kind.field != "" {
					req.Header.Set(kind.field, "x")
				}
				resp, err := http.DefaultClient.Do(req)
				if err == nil {
					resp.Body.Close()
				}
				select {
				case <-time.After(20 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		})
	}
	return func() { cancel(); senders.Wait() }
}

// prometheus is a running Prometheus.
type prometheus struct {
	*program
	url     string
	started time.Time
}

// startPrometheus runs a Prometheus that scrapes a gateway every second, and goes by
// the alerts, until the test ends.
func startPrometheus(t *testing.T, admin string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	rules, err := filepath.Abs(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs: [{job_name: overtake, static_configs: [{targets: [%q]}]}]
`, rules, strings.TrimPrefix(admin, "http://"))
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	p := &prometheus{url: "http://" + address, started: time.Now()}
	p.program = startTool(t, nil, "prometheus", "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--enable-feature=exemplar-storage")
	eventually(t, "Prometheus has scraped the gateway", func() bool {
		if resp, err := http.Get(p.url + "/-/ready"); err != nil || resp.Body.Close() != nil || resp.StatusCode != http.StatusOK {
			return false
		}
		return p.query(t, `up{job="overtake"} == 1`) == 1
	})
	return p
}

// ask asks the API, which must take the question.
func (p *prometheus) ask(t *testing.T, path string, parameters url.Values) json.RawMessage {
	t.Helper()
	_, body := get(t, p.url+path+"?"+parameters.Encode())
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Status != "success" {
		t.Fatalf("%s %v: %v %s in %.300s", path, parameters, err, answer.Error, body)
	}
	return answer.Data
}

// query evaluates an expression now and returns how many series it has that are
// numbers.
func (p *prometheus) query(t *testing.T, expr string) (series int) {
	t.Helper()
	var data struct {
		Result []struct{ Value [2]any }
	}
	if err := json.Unmarshal(p.ask(t, "/api/v1/query", url.Values{"query": {expr}}), &data); err != nil {
		t.Fatal(err)
	}
	for _, r := range data.Result {
		if r.Value[1] != "NaN" {
			series++
		}
	}
	return series
}

// values evaluates the query of a variable, label_values(selector, label).
func (p *prometheus) values(t *testing.T, query string) (values []string) {
	t.Helper()
	m := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`).FindStringSubmatch(query)
	if m == nil {
		t.Fatalf("not a query of a variable: %q", query)
	}
	data := p.ask(t, "/api/v1/label/"+m[2]+"/values", url.Values{"match[]": {substituted(m[1])}})
	if err := json.Unmarshal(data, &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// hasExemplar reports whether an exemplar of the histogram is a trace of the test.
func (p *prometheus) hasExemplar(t *testing.T, histogram string) bool {
	t.Helper()
	var data []struct {
		Exemplars []struct{ Labels map[string]string }
	}
	answer := p.ask(t, "/api/v1/query_exemplars", url.Values{
		"query": {histogram + "_bucket"}, "start": {fmt.Sprint(p.started.Unix())}, "end": {fmt.Sprint(time.Now().Unix() + 1)},
	})
	if err := json.Unmarshal(answer, &data); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, series := range data {
		for _, e := range series.Exemplars {
			id := e.Labels["trace_id"]
			if !strings.HasPrefix(id, traceOfTest) || len(id) != 32 {
				t.Errorf("an exemplar of %s has the labels %v, which is no trace of the test", histogram, e.Labels)
			}
			found = true
		}
	}
	return found
}

// alertQueries are the expressions of all alerts, each of which Prometheus has evaluated
// without an error.
func alertQueries(t *testing.T, rules json.RawMessage) (queries []string) {
	t.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Query, Type, Health, LastError string }
		}
	}
	if err := json.Unmarshal(rules, &data); err != nil {
		t.Fatal(err)
	}
	for _, group := range data.Groups {
		for _, r := range group.Rules {
			if r.Type != "alerting" || r.LastError != "" {
				t.Errorf("the rule %s is %s: %s", r.Name, r.Type, r.LastError)
			}
			queries = append(queries, r.Query)
		}
	}
	text, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "- alert: "); n != len(queries) || n == 0 {
		t.Errorf("Prometheus has %d rules of %d", len(queries), n)
	}
	return queries
}

// dashboard is Grafana's, as far as it is looked at here.
type dashboard struct {
	Panels []struct {
		ID          int
		Title, Type string
		GridPos     struct{ H, W, X, Y int }
		Datasource  struct{ Type, UID string }
		Targets     []struct {
			RefID, Expr string
			Datasource  struct{ Type, UID string }
		}
	}
	Annotations struct{ List []struct{ Name, Expr string } }
	Templating  struct {
		List []struct{ Name, Type, Definition string }
	}
}

func dashboardOf(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d dashboard) variable(name string) string {
	for _, v := range d.Templating.List {
		if v.Name == name {
			return v.Definition
		}
	}
	return ""
}

// dashboardQueries are the expressions of the dashboard by their place in it, with the
// variables as they are at first.
func dashboardQueries(t *testing.T) map[string]string {
	t.Helper()
	d := dashboardOf(t)
	queries, ids := make(map[string]string), make(map[int]bool)
	taken := make(map[[2]int]string)
	for _, panel := range d.Panels {
		if ids[panel.ID] {
			t.Errorf("two panels have the id %d", panel.ID)
		}
		ids[panel.ID] = true
		for x := panel.GridPos.X; x < panel.GridPos.X+panel.GridPos.W; x++ {
			for y := panel.GridPos.Y; y < panel.GridPos.Y+panel.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("the panel %s lies over %s, or outside", panel.Title, other)
				}
				taken[[2]int{x, y}] = panel.Title
			}
		}
		for _, target := range panel.Targets {
			if target.Datasource.UID != "${datasource}" || panel.Datasource.UID != "${datasource}" {
				t.Errorf("the panel %s does not go by the variable for the data source", panel.Title)
			}
			queries[panel.Title+" "+target.RefID] = substituted(target.Expr)
		}
	}
	for _, a := range d.Annotations.List {
		if a.Expr != "" {
			queries["annotation "+a.Name] = substituted(a.Expr) + " or vector(0)" // nothing was reloaded
		}
	}
	if len(queries) < 40 {
		t.Errorf("only %d queries were found", len(queries))
	}
	return queries
}

// substituted is an expression with what Grafana makes of its variables.
func substituted(expr string) string {
	return strings.NewReplacer("$__rate_interval", "10s", "$namespace", ".*", "$job", ".*", "$upstream", ".*", "$class", ".*").Replace(expr)
}
