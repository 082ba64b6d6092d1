package charts

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/golden and the chart's VALUES.md anew")

// The programs, built once, and the root of the repository.
var helm, overtake, root string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "overtake-charts-")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// build makes the programs. helm stays in Go's cache, which tells where it is.
func build(dir string) (err error) {
	if root, err = filepath.Abs("../.."); err != nil {
		return err
	}
	tool := exec.Command("go", "tool", "-n", "-modfile=tools.mod", "helm")
	tool.Dir, tool.Stderr = root, os.Stderr
	path, err := tool.Output()
	if err != nil {
		return fmt.Errorf("helm: %w", err)
	}
	helm = strings.TrimSpace(string(path))
	overtake = filepath.Join(dir, "overtake")
	program := exec.Command("go", "build", "-o", overtake, ".")
	program.Dir, program.Stderr = root, os.Stderr
	if err := program.Run(); err != nil {
		return fmt.Errorf("overtake: %w", err)
	}
	return nil
}

// command runs helm and returns what it wrote to standard output. An error has what
// it wrote to the other.
func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	home := t.TempDir()
	var stdout, stderr bytes.Buffer
	c := exec.CommandContext(t.Context(), helm, args...)
	c.Env = append(os.Environ(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home, "KUBECONFIG="+filepath.Join(home, "none"))
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("helm %s: %w: %s%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

func chart() string { return filepath.Join(root, "charts", "overtake") }

// template renders the chart as a release with that name.
func template(t *testing.T, release string, args ...string) (string, error) {
	t.Helper()
	return command(t, append([]string{"template", release, chart(), "--namespace", "shop", "--kube-version", "1.33.0"}, args...)...)
}

// render is template for values that must be good ones.
func render(t *testing.T, release string, args ...string) string {
	t.Helper()
	text, err := template(t, release, args...)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// valueFiles returns the files of testdata/values by name.
func valueFiles(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("testdata/values/*.yaml")
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d files of values, %v; want 10 or more", len(paths), err)
	}
	files := make(map[string]string, len(paths))
	for _, path := range paths {
		files[strings.TrimSuffix(filepath.Base(path), ".yaml")] = path
	}
	return files
}

// compare holds text against a file of testdata/golden. Alerts and dashboard are not
// in it: they are files of the chart, and a test of their own says what becomes of them.
func compare(t *testing.T, name, text string) {
	t.Helper()
	documents := slices.DeleteFunc(strings.Split(text, "\n---\n"), func(document string) bool {
		return strings.Contains(document, "\nkind: PrometheusRule\n") || strings.Contains(document, "-dashboard\n")
	})
	text = strings.Join(documents, "\n---\n")
	path := filepath.Join("testdata", "golden", name+".yaml")
	if *rewrite {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text == string(want) {
		return
	}
	got, expected := strings.Split(text, "\n"), strings.Split(string(want), "\n")
	for i, line := range got {
		if i >= len(expected) || line != expected[i] {
			t.Fatalf("%s:%d: the chart renders\n%s\nand this has\n%s\nIf the change is meant: go test -rewrite, and read the diff",
				path, i+1, line, append(expected, "(end)")[min(i, len(expected))])
		}
	}
	t.Fatalf("%s: the chart renders %d lines less", path, len(expected)-len(got))
}
