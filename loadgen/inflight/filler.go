package inflight

import (
	"bytes"
	"sync"

	"overtake/loadgen/content"
)

// Filler makes the bodies of messages whose requests say only how long they are. It
// is safe for concurrent use.
type Filler struct {
	mu    sync.Mutex
	bytes []byte // as many as ever were wanted
}

// Body returns the body of a message, which must not be changed. It is false if that
// would be longer than limit bytes.
func (f *Filler) Body(r *content.Request, limit int) ([]byte, bool) {
	if len(r.Body) > 0 || r.Filler == 0 {
		return r.Body, len(r.Body) <= limit
	}
	if r.Filler > int64(limit) {
		return nil, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := int(r.Filler); len(f.bytes) < n {
		f.bytes = bytes.Repeat([]byte("x"), n)
	}
	return f.bytes[:r.Filler], true
}
