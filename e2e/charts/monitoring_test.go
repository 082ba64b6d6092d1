package charts

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// The PrometheusRule has the rules of the file, with what the values add and without
// what they leave out.
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
	if len(rules) != 1 || !reflect.DeepEqual(rules[0].Spec, want) {
		t.Errorf("rendered\n%v\nwant\n%v", rules, want)
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
