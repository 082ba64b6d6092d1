package tracing

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
)

// TraceID identifies a trace. The zero TraceID is none.
type TraceID [16]byte

// SpanID identifies one hop in a trace. The zero SpanID is none.
type SpanID [8]byte

// String returns the id in lower-case hexadecimal.
func (id TraceID) String() string { return hex.EncodeToString(id[:]) }

// String returns the id in lower-case hexadecimal.
func (id SpanID) String() string { return hex.EncodeToString(id[:]) }

// Ids must not collide, and need not be secret. The global generator of
// math/rand/v2 is ChaCha8, seeded by the system and kept per thread: no lock
// and no system call per request, and no guessing from one id to the next.

func newTraceID() (id TraceID) {
	for id == (TraceID{}) {
		binary.NativeEndian.PutUint64(id[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id
}

// NewSpanID returns a new random id.
func NewSpanID() (id SpanID) {
	for id == (SpanID{}) {
		binary.NativeEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}
