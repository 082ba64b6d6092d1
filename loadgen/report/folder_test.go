package report

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"overtake/loadgen"
)

func names(paths []string) []string {
	var all []string
	for _, path := range paths {
		all = append(all, filepath.Base(path))
	}
	return all
}

// Names that could leave the folder, hide or collide do not.
func TestFileNamesAreSafe(t *testing.T) {
	run := func(condition string, repeat int, classes ...string) loadgen.RunResult {
		r := loadgen.RunResult{Condition: condition, Repeat: repeat}
		for _, name := range classes {
			r.Classes = append(r.Classes, loadgen.ClassResult{Name: name})
		}
		return r
	}
	report := &loadgen.Report{Runs: []loadgen.RunResult{
		run("class order", 1, "interactive", "Interactive", "../../etc/passwd", "a b", "a-b", "a/b"),
		run("", 0, "", ".", "..", ".hidden", "é", strings.Repeat("x", 500), "nul\x00", "*?\n<>|"),
		run("class order", 2, "interactive"),
	}}
	dir := filepath.Join(t.TempDir(), "a", "b")
	paths, err := WriteFolder(dir, report)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"report.json", "report.html", "report.png",
		"class-order-1-interactive.hgrm", "class-order-1-Interactive-2.hgrm", "class-order-1-etc-passwd.hgrm",
		"class-order-1-a-b.hgrm", "class-order-1-a-b-2.hgrm", "class-order-1-a-b-3.hgrm",
		"run-1-run.hgrm", "run-1-run-2.hgrm", "run-1-run-3.hgrm", "run-1-hidden.hgrm", "run-1-run-4.hgrm",
		"run-1-" + strings.Repeat("x", 64) + ".hgrm", "run-1-nul.hgrm", "run-1-run-5.hgrm",
		"class-order-2-interactive.hgrm",
	}
	if got := names(paths); !slices.Equal(got, want) {
		t.Errorf("wrote\n%q, want\n%q", got, want)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(want) {
		t.Errorf("%d files are there, %v; want %d", len(entries), err, len(want))
	}
	portable := regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,150}$`)
	for _, path := range paths {
		if info, err := os.Stat(path); err != nil || info.Size() == 0 || info.Mode().Perm() != 0o644 || !portable.MatchString(filepath.Base(path)) {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
}

// A file of the name is replaced, also where it is longer; others stay.
func TestFilesAreReplacedWhole(t *testing.T) {
	dir := t.TempDir()
	old, other := filepath.Join(dir, "report.json"), filepath.Join(dir, "notes.txt")
	for _, name := range []string{old, other} {
		if err := os.WriteFile(name, make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := WriteFolder(dir, sampleReport()); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(old); err != nil || string(text) != written(t, sampleReport()) {
		t.Errorf("report.json has %d bytes, %v", len(text), err)
	}
	if info, err := os.Stat(other); err != nil || info.Size() != 1<<20 {
		t.Errorf("the other file: %v, %v", info, err)
	}
	// What can't be written whole leaves the old one, and nothing else.
	broken := errors.New("no more space")
	err := writeFile(old, func(w io.Writer) error {
		_, _ = io.WriteString(w, "half")
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if text, _ := os.ReadFile(old); string(text) != written(t, sampleReport()) {
		t.Error("the old report is gone")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".overtake-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestFolderThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		_, err := WriteFolder(dir, sampleReport())
		if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "give another folder") {
			t.Errorf("%s: %v", dir, err)
		}
		if _, err := WriteComparisonFolder(dir, CompareFiles(nil, nil)); err == nil {
			t.Errorf("%s: a comparison was written", dir)
		}
	}
	if os.Geteuid() == 0 {
		return // root may write everywhere
	}
	closed := t.TempDir()
	if err := os.Chmod(closed, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteFolder(closed, sampleReport()); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("%v", err)
	}
}
