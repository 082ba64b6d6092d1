package tracing

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"unsafe"
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

// NewSpanID returns a random id for a span.
func NewSpanID() (id SpanID) {
	for id == (SpanID{}) {
		binary.NativeEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}

// decodeHex fills dst from s, which must be twice as long. Unlike package hex it
// takes lower case only (W3C Trace Context section 3.2.2, and B3's "lower-hex").
func decodeHex(dst []byte, s string) bool {
	if len(s) != 2*len(dst) {
		return false
	}
	for i := range dst {
		high, low := hexValue[s[2*i]], hexValue[s[2*i+1]]
		if high|low > 0xf {
			return false
		}
		dst[i] = high<<4 | low
	}
	return true
}

// hexValue holds the value of each lower-case digit, and 0xff for all else.
var hexValue = func() (values [256]byte) {
	for c := range values {
		values[c] = 0xff
	}
	for i, c := range "0123456789abcdef" {
		values[c] = byte(i)
	}
	return values
}()

// alias returns b as a string without copying it. The string is valid as long as
// b is not changed.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
