package charts

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// The PrometheusRule has the rules of the file, with what the values add and without
// what they leave out, about the metrics of the release alone.
func TestAlerts(t *testing.T) {
	objects, err := decode(render(t, "edge", "--values", "testdata/values/monitoring.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(chart(), "files/alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var want monitoringv1.PrometheusRuleSpec
	if err := yaml.UnmarshalStrict(text, &want); err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for i, group := range want.Groups {
		var rules []monitoringv1.Rule
		for _, rule := range group.Rules {
			if rule.Alert == "OvertakeSocketMarksRefused" {
				continue
			}
			if rule.Alert != "" {
				alerts++
				rule.Annotations["runbook_url"] = "https://git.example/overtake/" + rule.Annotations["runbook_url"]
				rule.Labels["team"] = "edge"
			}
			rules = append(rules, rule)
		}
		want.Groups[i].Rules = rules
	}
	if alerts == 0 {
		t.Error("there are no alerts")
	}
	rules := find[*monitoringv1.PrometheusRule](objects)
	if len(rules) == 1 {
		unselect(t, rules[0].Spec.Groups, `job="edge-overtake",namespace="shop"`)
	}
	if len(rules) != 1 || !reflect.DeepEqual(rules[0].Spec, want) {
		t.Errorf("rendered\n%v\nwant\n%v", rules, want)
	}
}

// unselect takes matchers out of all expressions, and fails t where a metric has them
// not.
func unselect(t *testing.T, groups []monitoringv1.RuleGroup, matchers string) {
	t.Helper()
	metrics := regexp.MustCompile(`\b(overtake_\w+|up)\b`)
	for _, group := range groups {
		for i, rule := range group.Rules {
			expr := rule.Expr.String()
			if n := strings.Count(expr, matchers); n == 0 || n != len(metrics.FindAllString(expr, -1)) {
				t.Errorf("%s: %d of its metrics have %s: %s", rule.Alert, n, matchers, expr)
			}
			group.Rules[i].Expr = intstr.FromString(strings.NewReplacer("{"+matchers+"}", "", matchers+",", "").Replace(expr))
		}
	}
}

// Whoever scrapes the gateways, or sidecars, in a way of their own says what they are
// called; otherwise the alerts are about all.
func TestAlertsOfOthers(t *testing.T) {
	alerts := func(set string) []monitoringv1.RuleGroup {
		objects, err := decode(render(t, "edge", "--set", "alerts.enabled=true,"+set))
		if err != nil {
			t.Fatal(err)
		}
		rules := find[*monitoringv1.PrometheusRule](objects)
		if len(rules) != 1 {
			t.Fatalf("%s: %d PrometheusRules, want 1", set, len(rules))
		}
		return rules[0].Spec.Groups
	}
	all := alerts("gateway.enabled=false,serviceMonitor.enabled=true")
	for _, set := range []string{"gateway.enabled=false", "serviceMonitor.enabled=true", "serviceMonitor.enabled=false"} {
		groups := alerts(`alerts.matchLabels.job=a$1"b,` + set)
		unselect(t, groups, `job="a$1\"b"`)
		if !reflect.DeepEqual(groups, all) {
			t.Errorf("%s: without the matchers, it renders\n%v\nwant\n%v", set, groups, all)
		}
	}
}

// The dashboard comes as it is, found by Grafana's sidecar.
func TestDashboard(t *testing.T) {
	objects, err := decode(render(t, "edge", "--values", "testdata/values/monitoring.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join(chart(), "files/dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range find[*corev1.ConfigMap](objects) {
		if m.Name == "edge-overtake-dashboard" {
			if m.Data["overtake.json"] != string(want) || m.Labels["grafana_dashboard"] != "1" || m.Annotations["grafana_folder"] != "Edge" {
				t.Errorf("labels %v, annotations %v, %d bytes, want %d", m.Labels, m.Annotations, len(m.Data["overtake.json"]), len(want))
			}
			return
		}
	}
	t.Error("there is no dashboard")
}
