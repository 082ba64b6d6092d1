package tracing

import "encoding/hex"

// The trace flags of W3C Trace Context. Others are reserved and must not be
// passed on (section 3.2.2.5).
const (
	// FlagSampled: the caller may have recorded the trace.
	FlagSampled = 0x01
	// FlagRandom: the trace id is random enough to sample by (Level 2). It is
	// passed on, but not set: OpenTelemetry for Go 1.39 and before takes a
	// traceparent with both flags for invalid.
	FlagRandom = 0x02
)

// The layout of traceparent: version-traceid-parentid-flags.
const (
	traceIDAt       = len("00-")
	traceIDEnd      = traceIDAt + 2*len(TraceID{})
	spanIDAt        = traceIDEnd + len("-")
	spanIDEnd       = spanIDAt + 2*len(SpanID{})
	flagsAt         = spanIDEnd + len("-")
	traceParentSize = flagsAt + 2
)

// parseTraceParent reads traceparent strictly. A higher version is read by the
// part that this one knows, as the specification asks for.
func parseTraceParent(s string) (p parent) {
	if len(s) < traceParentSize || s[2] != '-' || s[traceIDEnd] != '-' || s[spanIDEnd] != '-' {
		return parent{}
	}
	var version, flags [1]byte
	if !decodeHex(version[:], s[:2]) ||
		!decodeHex(p.traceID[:], s[traceIDAt:traceIDEnd]) ||
		!decodeHex(p.spanID[:], s[spanIDAt:spanIDEnd]) ||
		!decodeHex(flags[:], s[flagsAt:traceParentSize]) {
		return parent{}
	}
	if version[0] == 0xff || len(s) > traceParentSize && (version[0] == 0 || s[traceParentSize] != '-') {
		return parent{}
	}
	if !p.valid() {
		return parent{}
	}
	p.flags, p.decided = flags[0]&(FlagSampled|FlagRandom), true
	return p
}

// TraceParent returns the traceparent that names SpanID as the parent.
func (t *Trail) TraceParent() string {
	return string(t.AppendTraceParent(make([]byte, 0, traceParentSize)))
}

// AppendTraceParent appends what TraceParent returns to b.
func (t *Trail) AppendTraceParent(b []byte) []byte {
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, t.TraceID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, t.SpanID[:])
	return append(b, '-', '0', '0'+t.Flags&(FlagSampled|FlagRandom))
}
