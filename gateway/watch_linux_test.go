package gateway

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"overtake/gateway/config"
)

// A pipe is not read: that would take until somebody writes to it.
func TestWatchPipe(t *testing.T) {
	dir := t.TempDir()
	file, pipe := filepath.Join(dir, "overtake.yaml"), filepath.Join(dir, "pipe")
	write(t, file, "a")
	w := watchTest(t, file)
	must(t, syscall.Mkfifo(pipe, 0o600), os.Rename(pipe, file))
	w.once("a pipe in its place")
	write(t, file, "b")
	w.once("a file again")
}

// A pipe that is put in place of the configuration keeps nobody waiting: who asks for the
// reload is told why there is none.
func TestReloadOfAPipe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "overtake.yaml")
	write(t, file, guarded)
	app := serveApp(t, says("ok"))
	g := start(t, guarded, app)
	g.file = func() (*config.Config, error) {
		return config.Resolve(config.Process{Config: file, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Upstream: []string{app}}, config.Process{}, os.LookupEnv)
	}
	if a := g.change("/admin/reload"); a.status != 200 {
		t.Fatalf("of a file: %d %s", a.status, a.body)
	}
	must(t, os.Remove(file), syscall.Mkfifo(file, 0o600))
	if a := g.change("/admin/reload"); a.status != 422 || !strings.Contains(a.body, file+": can't be read: not a regular file; name a file") {
		t.Errorf("of a pipe: %d %s", a.status, a.body)
	}
	if f := g.get("/"); f.body != "ok" {
		t.Errorf("afterwards: %+v", f)
	}
}
