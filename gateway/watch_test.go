package gateway

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// watched is a watcher that is running.
type watched struct {
	t       *testing.T
	changes chan struct{}
}

func watchTest(t *testing.T, names ...string) watched {
	t.Helper()
	w, err := newWatcher(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	changes := make(chan struct{}, 100)
	w.watch(func() { changes <- struct{}{} }, func() []string { return names })
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); w.run(stop) }()
	t.Cleanup(func() { close(stop); <-done })
	return watched{t, changes}
}

// once fails unless there is one change, and no other.
func (w watched) once(what string) {
	w.t.Helper()
	receive(w.t, what, w.changes)
	w.none(what)
}

func (w watched) none(what string) {
	w.t.Helper()
	select {
	case <-w.changes:
		w.t.Errorf("%s: a change too many", what)
	default:
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// write replaces a file in one step.
func write(t *testing.T, name, content string) {
	t.Helper()
	draft := filepath.Join(t.TempDir(), "draft")
	must(t, os.WriteFile(draft, []byte(content), 0o600), os.Rename(draft, name))
}

// overwrite writes to a file as it is, in one step as well: content is as long as
// what was there.
func overwrite(t *testing.T, name, content string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString(content)
	must(t, err, f.Close())
}

// replaceLink has a link lead elsewhere in one step.
func replaceLink(t *testing.T, name, target string) {
	t.Helper()
	must(t, os.Symlink(target, name+".new"), os.Rename(name+".new", name))
}

func TestWatchFile(t *testing.T) {
	dir := t.TempDir()
	file, other := filepath.Join(dir, "overtake.yaml"), filepath.Join(dir, "other.yaml")
	write(t, file, "a")
	w := watchTest(t, file)

	overwrite(t, file, "b")
	w.once("writing to it")
	write(t, file, "c")
	w.once("renaming another file to it")
	overwrite(t, file, "d")
	w.once("writing to the other one")
	must(t, os.Remove(file))
	w.once("removing it")
	write(t, file, "e")
	w.once("writing it anew")

	write(t, other, "x")
	write(t, file, "e") // the same
	must(t, os.Chmod(file, 0o644))
	overwrite(t, file, "f")
	w.once("what changes nothing, and then writing to it")
}

// Of several files, each counts.
func TestWatchFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	write(t, cert, "a")
	write(t, key, "a")
	w := watchTest(t, cert, key)
	write(t, cert, "b")
	w.once("writing one")
	write(t, key, "b")
	w.once("writing the other")
}

// Kubernetes mounts a ConfigMap as links to a directory that is a link itself, and
// swaps that. The directory before is removed.
func TestWatchConfigMap(t *testing.T) {
	dir := t.TempDir()
	version := func(name, content string) {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		write(t, filepath.Join(dir, name, "overtake.yaml"), content)
	}
	file, data := filepath.Join(dir, "overtake.yaml"), filepath.Join(dir, "..data")
	version("..1", "one")
	must(t, os.Symlink("..1", data), os.Symlink("..data/overtake.yaml", file))
	w := watchTest(t, file)
	for _, next := range []string{"..2", "..3", "..4"} {
		before, err := os.Readlink(data)
		must(t, err)
		version(next, next)
		replaceLink(t, data, next)
		must(t, os.RemoveAll(filepath.Join(dir, before)))
		w.once("swapping the directory for " + next)
	}
	version("..5", "..4")
	replaceLink(t, data, "..5") // with the same content
	overwrite(t, filepath.Join(dir, "..5", "overtake.yaml"), "..6")
	w.once("writing to the file that it leads to now")
}

// Links on the way may be absolute, and lie in directories of their own.
func TestWatchLinks(t *testing.T) {
	dir := t.TempDir()
	at := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	for _, d := range []string{"etc", "releases", "releases/1", "releases/2"} {
		must(t, os.Mkdir(at(d), 0o700))
	}
	write(t, at("releases", "1", "o.yaml"), "1")
	write(t, at("releases", "2", "o.yaml"), "2")
	must(t, os.Symlink("1", at("releases", "current")), os.Symlink(at("releases", "current", "o.yaml"), at("etc", "o.yaml")))
	w := watchTest(t, at("etc", "..", "etc", "o.yaml"))

	replaceLink(t, at("releases", "current"), "2")
	w.once("another release")
	write(t, at("releases", "1", "o.yaml"), "old")
	overwrite(t, at("releases", "2", "o.yaml"), "n")
	w.once("writing to the release in use")
	must(t, os.Rename(at("releases"), at("gone")))
	w.once("the directory is gone")
	must(t, os.Rename(at("gone"), at("releases")))
	w.once("it is back")
}

func TestEntriesOf(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	must(t, os.Symlink("b", a), os.Symlink("a", b)) // in a circle
	if got := entriesOf(filepath.Join(a, "file")); !slices.Contains(got, a) || !slices.Contains(got, b) {
		t.Errorf("in a circle: %v", got)
	}
	missing := filepath.Join(dir, "none", "file")
	if got := entriesOf(missing); !slices.Equal(got, []string{filepath.Dir(missing)}) {
		t.Errorf("in a directory that is missing: %v", got)
	}
}
