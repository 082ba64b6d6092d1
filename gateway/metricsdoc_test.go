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
	yaml := strings.ReplaceAll(everyFeature, "$LOG", filepath.Join(t.TempDir(), "access.log"))
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
