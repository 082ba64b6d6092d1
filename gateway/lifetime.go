package gateway

import (
	"errors"
	"io"
	"sync"
	"time"
)

// errClientLeft ends the lifetime of a request whose client closed its
// connection before the answer.
var errClientLeft = errors.New("gateway: the client left")

// lifetime is the context of one request. It ends when the client leaves or the
// gateway gives up on the request; then it closes the connection that it
// guards, which unblocks whoever reads from or writes to it.
//
// It is a context.Context that costs nothing until somebody waits on it, and is
// reused for the next request of a connection: do not keep it longer than the
// request.
type lifetime struct {
	mu      sync.Mutex
	done    chan struct{} // made when first asked for
	cause   error
	guarded io.Closer
}

// reset starts the next request's lifetime.
func (l *lifetime) reset() {
	l.mu.Lock()
	l.done, l.cause, l.guarded = nil, nil, nil
	l.mu.Unlock()
}

// end ends the lifetime for the given cause; only the first call counts.
func (l *lifetime) end(cause error) {
	l.endIf(cause, func() bool { return true })
}

// endIf is end for a cause found from outside: it counts only if the request is
// still the one that was meant.
func (l *lifetime) endIf(cause error, still func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil || !still() {
		return
	}
	l.cause = cause
	if l.done != nil {
		close(l.done)
	}
	if l.guarded != nil {
		l.guarded.Close()
	}
}

// guard makes the end of the lifetime close c. It returns the cause if the
// lifetime has ended already.
func (l *lifetime) guard(c io.Closer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		l.guarded = c
	}
	return l.cause
}

// unguard ends the guard: nothing closes the connection any more.
func (l *lifetime) unguard() {
	l.mu.Lock()
	l.guarded = nil
	l.mu.Unlock()
}

// Done implements context.Context.
func (l *lifetime) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil {
		l.done = make(chan struct{})
		if l.cause != nil {
			close(l.done)
		}
	}
	return l.done
}

// Err implements context.Context. Unlike the standard contexts' it is the cause
// itself.
func (l *lifetime) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// Deadline implements context.Context. Deadlines are the scheduler's and the
// exchange's matter, which tell them apart from a leaver.
func (l *lifetime) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value implements context.Context.
func (l *lifetime) Value(any) any { return nil }
