package accesslog

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds a broken run and decides nothing.
const patience = time.Minute

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// TestEveryLineOnce: whoever writes, and however often the file is opened again, each
// line is in one of the files, whole.
func TestEveryLineOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "access.log")
	if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	const writers, each, turns = 4, 500, 5
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			for j := range each {
				fmt.Fprintf(w, "line %d %d\n", i, j)
			}
		})
	}
	for i := range turns {
		if err := os.Rename(path, fmt.Sprintf("%s.%d", path, i)); err != nil {
			t.Fatal(err)
		}
		if err := w.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	if err := w.Close(within(t)); err != nil || w.Dropped() > 0 {
		t.Fatalf("%v, %d dropped", err, w.Dropped())
	}
	seen := map[string]int{}
	files, _ := filepath.Glob(path + "*")
	for _, file := range files {
		for _, line := range lines(t, file) {
			seen[line]++
		}
	}
	delete(seen, "") // of a file that got none
	if first := lines(t, path+".0")[0]; first != "before" {
		t.Errorf("the file began with %q", first)
	}
	if len(files) != turns+1 || len(seen) != writers*each+1 {
		t.Errorf("%d lines in %d files", len(seen), len(files))
	}
	for line, n := range seen {
		if n != 1 {
			t.Errorf("%q is there %d times", line, n)
		}
	}
}

// TestNobodyReads: a stream that takes nothing blocks nobody, and costs no more than
// the buffer.
func TestNobodyReads(t *testing.T) {
	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	saved := os.Stdout
	os.Stdout = pipe
	w, err := Open("stdout", slog.New(slog.DiscardHandler))
	os.Stdout = saved
	if err != nil {
		t.Fatal(err)
	}
	line := append(bytes.Repeat([]byte{'x'}, 1<<10), '\n')
	const n = 8 << 10 // eight times the buffer
	for range n {
		if written, err := w.Write(line); written != len(line) || err != nil {
			t.Fatalf("%d, %v", written, err)
		}
	}
	w.mu.Lock()
	waiting := len(w.waiting)
	w.mu.Unlock()
	if waiting > bufferBytes || w.Dropped() < n/2 {
		t.Errorf("%d bytes wait, and %d lines were dropped", waiting, w.Dropped())
	}
	if err := w.Reopen(); err != nil {
		t.Error(err)
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.Close(gone); err == nil {
		t.Error("Close did not say what it left behind")
	}
	r.Close() // now the write fails, and the goroutine ends
	<-w.done
	if got := w.Dropped(); got < n-(1<<10) || got > n { // some fitted into the pipe
		t.Errorf("%d of %d lines were dropped", got, n)
	}
	pipe.Close()
}

// TestFileThatCannotBeOpened: the old one goes on.
func TestFileThatCannotBeOpened(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	path := filepath.Join(dir, "access.log")
	if _, err := Open(path, slog.Default()); err == nil || !strings.Contains(err.Error(), "make its directory") {
		t.Fatalf("error %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	moved := dir + ".old"
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if w.Reopen() == nil {
		t.Error("a file in no directory was opened")
	}
	w.Write([]byte("still\n"))
	if err := w.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, filepath.Join(moved, "access.log")); got[0] != "still" {
		t.Errorf("the file has %q", got)
	}
}

// TestFullDisk counts what it took from the log, and says so once.
func TestFullDisk(t *testing.T) {
	var said bytes.Buffer
	w, err := Open("/dev/full", slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w.Write([]byte("lost\n"))
		if err := w.Reopen(); err != nil { // which writes what waits
			t.Fatal(err)
		}
	}
	if err := w.Close(within(t)); err != nil || w.Dropped() != 3 {
		t.Errorf("%v, %d dropped", err, w.Dropped())
	}
	if n := strings.Count(said.String(), "no space left"); n != 1 {
		t.Errorf("said %d times: %s", n, said.String())
	}
}
