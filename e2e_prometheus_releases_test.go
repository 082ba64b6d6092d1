//go:build e2e

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The alerts of one release go by its own job and namespace: another release, or one of
// the same name elsewhere, neither hides what fails nor has an alert for it.
func TestE2EPrometheusReleases(t *testing.T) {
	dir := t.TempDir()
	for _, release := range [][2]string{{"a", "shop"}, {"b", "shop"}, {"a", "bank"}} {
		file := filepath.Join(dir, release[0]+"-"+release[1]+".yaml")
		if err := os.WriteFile(file, []byte(rulesOfRelease(t, release[0], release[1])), 0o600); err != nil {
			t.Fatal(err)
		}
		tool(t, "promtool", "check", "rules", file)
	}
	tests, err := os.ReadFile("e2e/prometheus/releases_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "releases_test.yaml")
	if err := os.WriteFile(file, tests, 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, "promtool", "test", "rules", file)
}

// rulesOfRelease returns the rule file that the chart's PrometheusRule has.
func rulesOfRelease(t *testing.T, release, namespace string) string {
	t.Helper()
	rendered, _ := tool(t, "go", "tool", "-modfile=tools.mod", "helm", "template", release, "charts/overtake", "--namespace", namespace,
		"--kube-version", "1.33.0", "--set", "serviceMonitor.enabled=true,alerts.enabled=true", "--show-only", "templates/monitoring.yaml")
	for document := range strings.SplitSeq(rendered, "\n---\n") {
		if _, spec, found := strings.Cut(document, "\nspec:\n"); found && strings.Contains(document, "\nkind: PrometheusRule\n") {
			return strings.ReplaceAll(strings.TrimPrefix(spec, "  "), "\n  ", "\n")
		}
	}
	t.Fatalf("there is no PrometheusRule in\n%s", rendered)
	return ""
}
