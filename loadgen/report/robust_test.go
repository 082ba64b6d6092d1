package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overtake/loadgen"
)

// A file that can't be written does not lose those after it.
func TestWriteFolderGoesOn(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "report.html", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	paths, err := WriteFolder(dir, sampleReport())
	if err == nil || !strings.Contains(err.Error(), "report.html") {
		t.Errorf("error %v", err)
	}
	for _, name := range []string{"report.json", "report.png"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v; written are %q", name, err, paths)
		}
	}
}

// A report that somebody tampered with can't tell the terminal anything.
func TestComparisonIsPrintable(t *testing.T) {
	r := sampleReport()
	r.Target = "http://a\x1b[2J"
	r.Runs[0].Classes[0].Name = "x\x1b]0;y\a"
	var out strings.Builder
	if err := WriteComparisonTable(&out, CompareFiles([]string{"a\x1b.json", "b.json"}, []*loadgen.Report{r, r}), 100); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\a") {
		t.Errorf("%q", out.String())
	}
}
