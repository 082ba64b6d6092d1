package gateway

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"overtake/gateway/config"
)

// everyFeature is a configuration that has all metrics, once there were events enough.
const everyFeature = `
listeners:
- {address: "127.0.0.1:0"}
- {address: "127.0.0.1:0", role: outbound}
- {name: secure, address: "127.0.0.1:0", tls: $TLS}
classes: [{name: interactive, objective: 25ms, socket: {priority: 6}}, {name: standard}, {name: batch}]
rules:
- {name: broken, class: batch, match: {expr: 'int(request.headers["x-odd"]) > 1'}}
- {name: dry, class: batch, dry_run: true, match: {path: "/**"}}
routes: [{match: {path: "/jobs/**"}, queue: jobs}, {match: {path: "/work"}, upstream: app}]
queues: {jobs: {deliver: {upstream: app}}}
upstreams: {app: {servers: [$APP], limit: {mode: adaptive, min: 2, max: 64}}}
access_log: {output: $LOG}
tracing: {sample: 1}
`

// startEverything runs a gateway with all metrics.
func startEverything(t *testing.T) *testGateway {
	t.Helper()
	q := newFakeQueue()
	cert, key := selfSigned(t)
	yaml := strings.NewReplacer("$LOG", filepath.Join(t.TempDir(), "access.log"), "$TLS", "{cert: "+cert+", key: "+key+"}").Replace(everyFeature)
	g, _ := startTraced(t, yaml, serveApp(t, func(http.ResponseWriter, *http.Request) {}), q.open())
	g.get("/work", "X-Odd: odd")
	g.get("/nowhere")
	g.fetch("POST", "/jobs/1", strings.NewReader("x"))
	q.settlement(t, 1)
	g.file = func() (*config.Config, error) { return g.Config(), nil }
	g.Reload()
	return g
}

// family is a metric as the documentation has it.
type family struct{ name, kind, labels string }

// families are those of the gateway, but for what the client library adds.
func (g *testGateway) families() (all []family) {
	g.t.Helper()
	gathered, err := g.metrics.registry.Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	for _, f := range gathered {
		if !strings.HasPrefix(f.GetName(), "overtake_") {
			continue
		}
		labels := []string{}
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		all = append(all, family{f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ", ")})
	}
	return all
}

// documented are the families in the table of docs/metrics.md.
func documented(t *testing.T) (all []family) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w+) \\|([^|]*)\\| [^|]+ \\|$")
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		labels := strings.Split(strings.TrimSpace(m[3]), ", ")
		slices.Sort(labels)
		all = append(all, family{m[1], m[2], strings.Join(labels, ", ")})
	}
	return all
}

func TestMetricsAreDocumented(t *testing.T) {
	g := startEverything(t)
	var there []family
	written := documented(t)
	eventually(t, "every metric has had its event", func() bool {
		there = g.families()
		return len(there) >= len(written)
	})
	for _, f := range there {
		if !slices.Contains(written, f) {
			t.Errorf("docs/metrics.md has no line for %s", fmt.Sprintf("| `%s` | %s | %s |", f.name, f.kind, f.labels))
		}
	}
	for _, f := range written {
		if !slices.Contains(there, f) {
			t.Errorf("docs/metrics.md tells of %s, a %s with the labels %q, which a gateway with every feature has not", f.name, f.kind, f.labels)
		}
	}
}

// What Prometheus's own linter says of names, types and help texts.
func TestMetricsAreWellNamed(t *testing.T) {
	g := startEverything(t)
	families, err := g.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// repoFile reads a file by its path in the repository.
func repoFile(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{".."}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// groups are the first groups of a pattern in a text, sorted.
func groups(pattern, text string) (found []string) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	slices.Sort(found)
	return found
}

// What alerts, and the dashboard, ask for must be there.
func TestAlertsAndDashboardAskForWhatIsThere(t *testing.T) {
	names := make(map[string]string)
	for _, f := range documented(t) {
		names[f.name] = f.labels
		if f.kind == "histogram" {
			names[f.name+"_bucket"], names[f.name+"_count"], names[f.name+"_sum"] = f.labels+", le", f.labels, f.labels
		}
	}
	for _, file := range []string{"alerts.yaml", "dashboard.json"} {
		text := repoFile(t, "charts", "overtake", "files", file)
		for _, name := range slices.Compact(groups(`\b(overtake_\w+)`, text)) {
			if _, ok := names[name]; !ok {
				t.Errorf("%s asks for %s, which docs/metrics.md does not have", file, name)
			}
		}
	}
}

// Who is woken by an alert finds what to do, and no runbook is for an alert that is gone.
func TestAlertsHaveRunbooks(t *testing.T) {
	rules := repoFile(t, "charts", "overtake", "files", "alerts.yaml")
	alerts := groups(`(?m)^ +- alert: (\w+)$`, rules)
	if len(alerts) == 0 {
		t.Fatal("alerts.yaml has no alerts")
	}
	var anchors []string
	for _, alert := range alerts {
		anchors = append(anchors, strings.ToLower(alert))
	}
	if linked := groups(`(?m)^ +runbook_url: docs/runbooks\.md#(\w+)$`, rules); !slices.Equal(linked, anchors) {
		t.Errorf("the alerts' runbooks are %v, want %v", linked, anchors)
	}
	if headings := groups(`(?m)^#+ (Overtake[A-Z]\w+)$`, repoFile(t, "docs", "runbooks.md")); !slices.Equal(headings, alerts) {
		t.Errorf("docs/runbooks.md has headings for %v, want one for each alert: %v", headings, alerts)
	}
	tests := repoFile(t, "e2e", "prometheus", "alerts_test.yaml")
	silent := slices.Compact(groups(`alertname: (\w+)\n +exp_alerts: \[\]\n`, tests))
	firing := slices.Compact(groups(`alertname: (\w+)\n +exp_alerts:\n`, tests))
	if !slices.Equal(silent, alerts) || !slices.Equal(firing, alerts) {
		t.Errorf("alerts_test.yaml has %v fire and %v not, want each of %v to do both", firing, silent, alerts)
	}
	if severities := groups(`severity: (\w+)\}`, rules); len(severities) != len(alerts) ||
		slices.ContainsFunc(severities, func(s string) bool { return !slices.Contains([]string{"critical", "warning", "info"}, s) }) {
		t.Errorf("the severities are %v, want critical, warning or info of each alert", severities)
	}
}
