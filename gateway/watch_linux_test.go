package gateway

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
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
