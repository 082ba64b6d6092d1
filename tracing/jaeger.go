package tracing

import "strings"

// What Jaeger's clients carry baggage in: a field per member, and, from where no
// trace has begun yet, one field with all of them.
const (
	jaegerBaggagePrefix = "uberctx-"
	headerJaegerBaggage = "jaeger-baggage"
)

// The flags of uber-trace-id. Debug says to sample, like the other.
const jaegerSampled, jaegerDebug = 0x01, 0x02

// parseJaeger reads uber-trace-id: traceid:spanid:parentspanid:flags, where
// leading zeros may be missing and colons may be encoded for URLs. The parent's
// own parent is deprecated, and 0 from most clients.
func parseJaeger(s string) (p parent) {
	var parts [4]string
	rest, more := s, s != ""
	for i := range parts {
		if !more {
			return parent{}
		}
		parts[i], rest, more = cutJaeger(rest)
	}
	var grandparent SpanID
	var flags [1]byte
	if more || !decodeJaeger(p.traceID[:], parts[0]) || !decodeJaeger(p.spanID[:], parts[1]) ||
		!decodeJaeger(grandparent[:], parts[2]) || !decodeJaeger(flags[:], parts[3]) || !p.valid() {
		return parent{}
	}
	if flags[0]&(jaegerSampled|jaegerDebug) != 0 {
		p.flags = FlagSampled
	}
	p.decided = true
	return p
}

// cutJaeger cuts s at a colon.
func cutJaeger(s string) (before, after string, found bool) {
	for i := range len(s) {
		switch {
		case s[i] == ':':
			return s[:i], s[i+1:], true
		case s[i] == '%' && len(s) > i+2 && s[i+1] == '3' && s[i+2]|0x20 == 'a':
			return s[:i], s[i+3:], true
		}
	}
	return s, "", false
}

// decodeJaeger fills dst with a number of any case and up to its length.
func decodeJaeger(dst []byte, s string) bool {
	if s == "" || len(s) > 2*len(dst) {
		return false
	}
	for i := range len(s) {
		digit := hexValue[lower(s[len(s)-1-i])]
		if digit > 0xf {
			return false
		}
		dst[len(dst)-1-i/2] |= digit << (i % 2 * 4)
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}

// stampJaeger makes uber-trace-id of the ids in a traceparent, in memory beyond
// b.
func (t *Trail) stampJaeger(c Carrier, b, ids []byte) []byte {
	start := len(b)
	b = append(append(b, ids[traceIDAt:traceIDEnd]...), ':')
	b = append(append(b, ids[spanIDAt:spanIDEnd]...), ":0:"...)
	b = append(b, t.sampledState()...)
	c.Set(HeaderJaeger, alias(b[start:]))
	t.set(c, fieldJaegerClass, HeaderJaegerClass, t.Class)
	return b[:start]
}

// isJaegerClass reports whether some app may take the name for that of Jaeger's
// baggage member latency.class.
func isJaegerClass(name string, hyphen byte) bool {
	const prefix = len(jaegerBaggagePrefix)
	return len(name) >= prefix+len(classMember) && name[0]|0x20 == 'u' &&
		spells(name[:prefix], hyphen, jaegerBaggagePrefix) && looksLikeClass(name[prefix:])
}

// claimsJaegerClass reports whether a jaeger-baggage has a member that some app
// may take for latency.class, and would then pass on as one.
func claimsJaegerClass(value string) bool {
	for member := range strings.SplitSeq(value, ",") {
		if key, _, _ := strings.Cut(member, "="); looksLikeClass(key) {
			return true
		}
	}
	return false
}
