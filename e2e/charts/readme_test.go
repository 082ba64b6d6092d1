package charts

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// readmeFiles are what the README has the reader write: name and content.
	readmeFiles = regexp.MustCompile("(?s)<!-- file: ([a-z.-]+) -->\n```yaml\n(.*?)```")
	// readmeInstalls are its commands that take a cluster, with their lines joined.
	readmeInstalls = regexp.MustCompile(`(?m)^helm (?:install|upgrade) (.*)$`)
)

// What the README installs and upgrades renders, with the same arguments and files.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(chart(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, file := range readmeFiles.FindAllStringSubmatch(string(text), -1) {
		if err := os.WriteFile(filepath.Join(dir, file[1]), []byte(file[2]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	installs := readmeInstalls.FindAllStringSubmatch(strings.ReplaceAll(string(text), "\\\n", ""), -1)
	if len(installs) < 3 {
		t.Fatalf("%d commands that install, want 3 or more", len(installs))
	}
	for _, install := range installs {
		args := []string{"template", "--kube-version", "1.33.0"}
		for arg := range strings.FieldsSeq(install[1]) {
			switch {
			case arg == "charts/overtake":
				arg = chart()
			case arg == "--install" || arg == "--create-namespace" || arg == "--atomic" || arg == "--wait":
				continue // for a cluster
			case strings.HasSuffix(arg, ".yaml"):
				arg = filepath.Join(dir, arg)
			}
			args = append(args, arg)
		}
		rendered, err := command(t, args...)
		if err != nil {
			t.Error(err)
			continue
		}
		judge(t, rendered, false)
	}
}
