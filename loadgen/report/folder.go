package report

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"overtake/loadgen"
)

// output is one file of a report.
type output struct {
	name  string
	write func(io.Writer) error
}

// WriteFolder writes report.html, report.json, report.png and a
// <condition>-<repeat>-<class>.hgrm for each class of each run into dir, which
// it makes if it is missing, and returns the paths of the files. Each file
// appears whole or not at all, and replaces one of its name; other files stay. After a
// file that fails come the others, and all errors at once.
func WriteFolder(dir string, r *loadgen.Report) ([]string, error) {
	files := []output{
		{"report.json", func(w io.Writer) error { return WriteJSON(w, r) }}, // first: the others can be made of it
		{"report.html", func(w io.Writer) error { return WriteHTML(w, r) }},
		{"report.png", func(w io.Writer) error { return WritePNG(w, r) }},
	}
	taken := make(map[string]bool)
	for _, run := range r.Runs {
		for _, class := range run.Classes {
			name := hgrmName(run, class, taken)
			files = append(files, output{name, func(w io.Writer) error { return WriteHGRM(w, class) }})
		}
	}
	return writeFiles(dir, files)
}

// WriteComparisonFolder writes comparison.html, comparison.json and comparison.png
// into dir, as [WriteFolder] does.
func WriteComparisonFolder(dir string, c *Comparison) ([]string, error) {
	return writeFiles(dir, []output{
		{"comparison.json", func(w io.Writer) error { return WriteComparisonJSON(w, c) }},
		{"comparison.html", func(w io.Writer) error { return WriteComparisonHTML(w, c) }},
		{"comparison.png", func(w io.Writer) error { return WriteComparisonPNG(w, c) }},
	})
}

func writeFiles(dir string, files []output) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("report: %w; give another folder", err)
	}
	var paths []string
	var errs []error
	for _, file := range files {
		path := filepath.Join(dir, file.name)
		if err := writeFile(path, file.write); err != nil {
			errs = append(errs, fmt.Errorf("report: %s: %w", path, err))
			continue
		}
		paths = append(paths, path)
	}
	return paths, errors.Join(errs...)
}

// writeFile writes a temporary file beside path and renames it.
func writeFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".overtake-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := errors.Join(write(f), f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// hgrmName returns a file name that is not taken yet, and takes it. Conditions
// may have any name, and some systems don't tell A from a.
func hgrmName(run loadgen.RunResult, class loadgen.ClassResult, taken map[string]bool) string {
	base := fmt.Sprintf("%s-%d-%s", safeName(run.Condition), max(run.Repeat, 1), safeName(class.Name))
	name := base
	for n := 2; taken[strings.ToLower(name)]; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	taken[strings.ToLower(name)] = true
	return name + ".hgrm"
}

// safeName keeps letters, digits and "._" of ASCII, turns everything else into
// single dashes and bounds the length. It never starts with a dot.
func safeName(name string) string {
	const longest = 64
	var b strings.Builder
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '.' && b.Len() > 0:
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= longest {
			break
		}
	}
	if s := strings.Trim(b.String(), "-."); s != "" {
		return s
	}
	return "run"
}
