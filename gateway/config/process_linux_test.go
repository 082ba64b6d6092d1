package config

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// A process that reads its file again does not start from a pipe, as -c <(command) is
// one: it says so, and does not wait for who may write to it. Standard input that comes
// from a file is that file.
func TestResolvePipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	open := filepath.Join("/dev/fd", strconv.Itoa(int(r.Fd())))
	for _, name := range []string{pipe, open} {
		want := name + ": can't be read: not a regular file; name a file, as it is read again when it changes and at each reload"
		if _, err := Resolve(Process{Config: name}, Process{}, lookup); err == nil || err.Error() != want {
			t.Errorf("a gateway: %v, want %s", err, want)
		}
		if _, err := ResolveSidecar(Process{Config: name}, Process{}, lookup); err == nil || err.Error() != want {
			t.Errorf("a sidecar: %v, want %s", err, want)
		}
	}

	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("expose: all\n"); err != nil {
		t.Fatal(err)
	}
	redirected := Process{Config: filepath.Join("/dev/fd", strconv.Itoa(int(f.Fd()))), Upstream: []string{"http://a:1"}}
	for range 2 { // as for a reload
		if c, err := Resolve(redirected, Process{}, lookup); err != nil || c.Expose != "all" {
			t.Errorf("a file by its descriptor: %+v, %v", c, err)
		}
	}
}
