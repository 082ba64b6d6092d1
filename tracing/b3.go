package tracing

import "strings"

// The sampling states of B3. Debug is "accept" with emphasis, and like it is
// passed on as the sampled flag.
const (
	b3Deny   = "0"
	b3Accept = "1"
	b3Debug  = "d"
)

// parseB3 reads b3: traceid-spanid-state-parentspanid, the last two optional, or
// a state alone. The parent's own parent is not looked at.
func parseB3(s string) (p parent) {
	state, alone := s, true
	if len(s) > len(b3Debug) {
		traceID, rest, _ := strings.Cut(s, "-")
		spanID, rest, more := strings.Cut(rest, "-")
		var grandparent string
		var last bool
		state, grandparent, last = strings.Cut(rest, "-")
		var ignored SpanID
		if !parseB3IDs(&p, traceID, spanID) || more && state == "" || last && !decodeHex(ignored[:], grandparent) {
			return parent{}
		}
		alone = false
	}
	switch state {
	case b3Accept, b3Debug:
		p.flags, p.decided = FlagSampled, true
	case b3Deny:
		p.decided = true
	default:
		if state != "" || alone {
			return parent{}
		}
	}
	return p
}

// parseB3IDs reads the ids that both forms of B3 have. Trace ids of 64 bits are
// padded on the left.
func parseB3IDs(p *parent, traceID, spanID string) bool {
	trace := p.traceID[:]
	if len(traceID) == 16 {
		trace = trace[8:]
	}
	return decodeHex(trace, traceID) && decodeHex(p.spanID[:], spanID) && p.valid()
}

// stampB3 makes b3 of the ids in a traceparent, in memory beyond b.
func (t *Trail) stampB3(c Carrier, b, ids []byte) []byte {
	start := len(b)
	b = append(b, ids[traceIDAt:spanIDEnd]...)
	b = append(append(b, '-'), t.sampledState()...)
	c.Set(HeaderB3, alias(b[start:]))
	return b[:start]
}

func (t *Trail) sampledState() string {
	if t.Sampled() {
		return b3Accept
	}
	return b3Deny
}
