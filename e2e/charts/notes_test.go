package charts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// notes returns what Helm says after an installation with a file of values. It says so
// to a cluster alone, so the text is rendered as a manifest of a copy of the chart.
func notes(t *testing.T, values string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(chart())); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "templates/NOTES.txt"))
	if err != nil {
		t.Fatal(err)
	}
	manifest := `{{- define "notes" }}` + string(text) + `{{ end }}notes: {{ include "notes" . | toJson }}`
	if err := os.WriteFile(filepath.Join(dir, "templates/notes.yaml"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	said, err := command(t, append([]string{"template", "edge", dir, "--kube-version", "1.33.0", "--show-only", "templates/notes.yaml", "--values", values}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return said
}

// Whose admin port is open to the cluster is told so, with the remedy.
func TestNotes(t *testing.T) {
	for name, warning := range map[string]string{
		"default": "Every pod of the cluster can read the admin port: networkPolicy.enabled",
		"sidecar": "Every pod of the cluster can read the admin port 9901 of pods with the sidecar: include overtake.sidecar.networkPolicy",
	} {
		path := filepath.Join("testdata/values", name+".yaml")
		if said := notes(t, path); !strings.Contains(said, warning) {
			t.Errorf("%s: it lacks %q:\n%s", name, warning, said)
		}
		if said := notes(t, path, "--set", "networkPolicy.enabled=true"); strings.Contains(said, "Every pod of the cluster") {
			t.Errorf("%s, with a policy:\n%s", name, said)
		}
	}
}
