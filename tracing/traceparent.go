package tracing

import "encoding/hex"

// The trace flags of W3C Trace Context. Others are reserved and must not be
// passed on (section 3.2.2.5).
const (
	// FlagSampled: the caller may have recorded the trace.
	FlagSampled = 0x01
	// FlagRandom: the trace id is random enough to sample by (Level 2).
	FlagRandom = 0x02
)

// The layout of traceparent: version-traceid-parentid-flags.
const (
	traceIDAt     = len("00-")
	spanIDAt      = traceIDAt + 2*len(TraceID{}) + 1
	flagsAt       = spanIDAt + 2*len(SpanID{}) + 1
	traceParentSz = flagsAt + 2
)

type traceParent struct {
	traceID TraceID
	spanID  SpanID
	flags   byte
}

// parseTraceParent reads traceparent strictly. A higher version is read by the
// part that this one knows, as the specification asks for. A field that was
// repeated has a comma in it, and is not valid.
func parseTraceParent(s string) (p traceParent, ok bool) {
	s = trim(s)
	if len(s) < traceParentSz || s[traceIDAt-1] != '-' || s[spanIDAt-1] != '-' || s[flagsAt-1] != '-' {
		return traceParent{}, false
	}
	var version, flags [1]byte
	if !decodeHex(version[:], s) ||
		!decodeHex(p.traceID[:], s[traceIDAt:]) ||
		!decodeHex(p.spanID[:], s[spanIDAt:]) ||
		!decodeHex(flags[:], s[flagsAt:]) {
		return traceParent{}, false
	}
	switch {
	case version[0] == 0xff, p.traceID == TraceID{}, p.spanID == SpanID{}:
		return traceParent{}, false
	case len(s) > traceParentSz && (version[0] == 0 || s[traceParentSz] != '-'):
		return traceParent{}, false
	}
	p.flags = flags[0] & (FlagSampled | FlagRandom)
	return p, true
}

// TraceParent returns the traceparent that names this hop as the parent.
func (t *Trail) TraceParent() string {
	var buf [traceParentSz]byte
	return string(t.AppendTraceParent(buf[:0]))
}

// AppendTraceParent appends what TraceParent returns to b.
func (t *Trail) AppendTraceParent(b []byte) []byte {
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, t.TraceID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, t.SpanID[:])
	b = append(b, '-')
	return hex.AppendEncode(b, []byte{t.Flags})
}

// decodeHex fills dst from the start of s. Unlike package hex it takes lower
// case only (section 3.2.2), and does not allocate.
func decodeHex(dst []byte, s string) bool {
	for i := range dst {
		high, low := hexDigit(s[2*i]), hexDigit(s[2*i+1])
		if high > 0xf || low > 0xf {
			return false
		}
		dst[i] = high<<4 | low
	}
	return true
}

// hexDigit returns the value of a digit, or 0xff.
func hexDigit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}
