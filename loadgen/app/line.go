package app

import "sync"

// Line gives work to a fixed number of workers, strictly first in, first out. It
// is safe for concurrent use.
type Line struct {
	maxQueue int

	mu      sync.Mutex
	workers int
	running int
	queue   []func() // waiting, in order of arrival
	closed  bool
}

// NewLine returns a line of workers at which up to maxQueue pieces of work wait.
func NewLine(workers, maxQueue int) *Line { return &Line{workers: workers, maxQueue: maxQueue} }

// Take begins work when a worker is free for it, at once or in a call of Release
// or Resize by another. It reports false if too many wait.
//
// begin must return soon and must not call methods of the line: it starts the
// work, which calls Release when it has ended. After Close it is never called.
func (l *Line) Take(begin func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
	case l.running < l.workers:
		l.running++
		begin()
	case len(l.queue) >= l.maxQueue:
		return false
	default:
		l.queue = append(l.queue, begin)
	}
	return true
}

// Release says that a piece of work has ended; its worker takes the next.
func (l *Line) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	l.fill()
}

// Resize changes the number of workers. What they are doing goes on.
func (l *Line) Resize(workers int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.workers = workers
	l.fill()
}

// fill gives work to free workers. Called with mu held.
func (l *Line) fill() {
	for l.running < l.workers && len(l.queue) > 0 {
		begin := l.queue[0]
		l.queue[0] = nil
		l.queue = l.queue[1:]
		l.running++
		begin()
	}
}

// Stats returns the workers, those at work, and how much work waits.
func (l *Line) Stats() (workers, busy, queued int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.workers, l.running, len(l.queue)
}

// Close forgets what waits. What has a worker goes on.
func (l *Line) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.queue = nil
}
