// Package accesslog writes lines to a file, or to what this process was started with,
// without making anybody wait: who writes a line puts it into a buffer of fixed size,
// and one goroutine writes that out.
//
//	Write ---> buffer ---> goroutine ---> file
//	  '--> dropped, when there is no room
package accesslog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// bufferBytes is what waits to be written at the most: some 3,000 lines.
	bufferBytes = 1 << 20
	// flushEvery is how long a line waits for others at the most.
	flushEvery = 100 * time.Millisecond
)

// Writer writes lines. Its methods may be called by several goroutines.
type Writer struct {
	path string // "" for a stream of the process, which is not opened again
	log  *slog.Logger

	wake chan struct{} // that there is something to write
	stop chan struct{}
	done chan struct{} // closed when the goroutine has ended

	out   sync.Mutex // held while the file is written to; never together with mu but before it
	file  io.WriteCloser
	spare []byte // guarded by out
	fails rate.Sometimes

	mu      sync.Mutex
	waiting []byte
	lines   int // in waiting
	dropped uint64
}

// Open begins to write to output: stdout, stderr or the path of a file, to the end of
// which lines are added. What fails later is said in log.
func Open(output string, log *slog.Logger) (*Writer, error) {
	w := &Writer{
		log: log, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		fails: rate.Sometimes{First: 1, Interval: time.Minute},
	}
	switch output {
	case "stdout":
		w.file = os.Stdout
	case "stderr":
		w.file = os.Stderr
	default:
		w.path = output
		file, err := open(output)
		if err != nil {
			return nil, err
		}
		w.file = file
	}
	go w.run()
	return w, nil
}

func open(path string) (*os.File, error) {
	// Who may read the program's other logs is not who may read what people asked for.
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("accesslog: %w; make its directory, or let this process write there", err)
	}
	return file, nil
}

// Write takes whole lines, and never waits for the file. Where there is no room for
// them, they are dropped and counted. It implements io.Writer and never fails.
func (w *Writer) Write(lines []byte) (int, error) {
	w.mu.Lock()
	first := len(w.waiting) == 0
	if len(w.waiting)+len(lines) > bufferBytes {
		w.dropped++
	} else {
		w.waiting = append(w.waiting, lines...)
		w.lines++
	}
	w.mu.Unlock()
	if first {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	return len(lines), nil
}

// Dropped returns how many writes were lost: there was no room for them, or the file
// did not take them.
func (w *Writer) Dropped() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dropped
}

// Reopen opens the file again, after it has been renamed: what was written until now
// is in the old one. If that fails, the old one goes on.
func (w *Writer) Reopen() error {
	if w.path == "" {
		return nil
	}
	w.out.Lock()
	defer w.out.Unlock()
	w.flushLocked()
	file, err := open(w.path)
	if err != nil {
		return err
	}
	_ = w.file.Close() // all has been written
	w.file = file
	return nil
}

// Close writes what is left, and closes the file. It gives up when ctx ends: a stream
// that nobody reads can't be written to. Nothing may be written after it.
func (w *Writer) Close(ctx context.Context) error {
	close(w.stop)
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("accesslog: the last lines could not be written: %w", context.Cause(ctx))
	}
}

// run writes until stop is closed.
func (w *Writer) run() {
	defer close(w.done)
	pause := time.NewTimer(flushEvery)
	defer pause.Stop()
	for stopped := false; !stopped; {
		select {
		case <-w.wake:
		case <-w.stop:
			stopped = true
		}
		if !stopped {
			pause.Reset(flushEvery)
			select {
			case <-pause.C: // more lines have come meanwhile
			case <-w.stop:
				stopped = true
			}
		}
		w.out.Lock()
		w.flushLocked()
		w.out.Unlock()
	}
	if w.path != "" {
		w.out.Lock()
		defer w.out.Unlock()
		_ = w.file.Close() // every write has been looked at
	}
}

// flushLocked writes what waits. Called with out held.
func (w *Writer) flushLocked() {
	w.mu.Lock()
	lines, n := w.waiting, w.lines
	w.waiting, w.lines = w.spare[:0], 0
	w.mu.Unlock()
	w.spare = lines
	if n == 0 {
		return
	}
	written, err := w.file.Write(lines)
	if err == nil {
		return
	}
	w.mu.Lock()
	w.dropped += uint64(n - bytes.Count(lines[:written], []byte("\n")))
	w.mu.Unlock()
	w.fails.Do(func() { w.log.Error("access log can't be written", "error", err) })
}
