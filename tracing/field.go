package tracing

import "strings"

// The fields of a trail. The names are written as they are stamped. HTTP
// ignores their case; where names have a case, as in message headers, all of
// them are lower case, and a carrier for those lowers every name it is given.
const (
	HeaderTraceParent  = "traceparent"
	HeaderTraceState   = "tracestate"
	HeaderBaggage      = "baggage"
	HeaderClass        = "Latency-Class"
	HeaderDeadline     = "Latency-Deadline"
	HeaderRequestID    = "x-request-id"
	HeaderB3           = "b3"
	HeaderB3TraceID    = "X-B3-TraceId"
	HeaderB3SpanID     = "X-B3-SpanId"
	HeaderB3ParentID   = "X-B3-ParentSpanId"
	HeaderB3Sampled    = "X-B3-Sampled"
	HeaderB3Flags      = "X-B3-Flags"
	HeaderJaeger       = "uber-trace-id"
	HeaderJaegerClass  = jaegerBaggagePrefix + classMember
	HeaderGRPCTimeout  = "grpc-timeout"
	HeaderEnvoyTimeout = "x-envoy-expected-rq-timeout-ms"
)

// Formats is a set of trace context formats that are stamped beside W3C's,
// because an app may know only one of them. A format that is not in the set is
// read all the same, and passes as it came.
type Formats uint8

// The formats.
const (
	B3      Formats = 1 << iota // b3
	B3Multi                     // X-B3-TraceId, X-B3-SpanId and X-B3-Sampled
	Jaeger                      // uber-trace-id and uberctx-latency.class

	// AllFormats is the set of all of them.
	AllFormats = B3 | B3Multi | Jaeger
)

// field is one of the fields that a trail is read from.
type field uint8

const (
	fieldNone field = iota
	fieldTraceParent
	fieldTraceState
	fieldBaggage
	fieldClass
	fieldDeadline
	fieldRequestID
	fieldB3
	fieldB3TraceID
	fieldB3SpanID
	fieldB3ParentID
	fieldB3Sampled
	fieldB3Flags
	fieldJaeger
	fieldJaegerClass
	fieldJaegerBaggage
	fieldGRPCTimeout
	fieldEnvoyTimeout
	fields
)

// initials are the letters that names of fields begin with, as bits.
const initials = 1<<('b'-'a') | 1<<('g'-'a') | 1<<('j'-'a') | 1<<('l'-'a') | 1<<('t'-'a') | 1<<('u'-'a') | 1<<('x'-'a')

// fieldOf returns what name spells, if hyphen is read as one: '-' or '_'.
func fieldOf(name string, hyphen byte) field {
	if name == "" || initials>>(name[0]|0x20-'a')&1 == 0 {
		return fieldNone
	}
	switch len(name) {
	case 2:
		return either(name, hyphen, HeaderB3, fieldB3)
	case 7:
		return either(name, hyphen, HeaderBaggage, fieldBaggage)
	case 10:
		return either(name, hyphen, HeaderTraceState, fieldTraceState) | either(name, hyphen, HeaderB3Flags, fieldB3Flags)
	case 11:
		return either(name, hyphen, HeaderTraceParent, fieldTraceParent) | either(name, hyphen, HeaderB3SpanID, fieldB3SpanID)
	case 12:
		return either(name, hyphen, HeaderRequestID, fieldRequestID) | either(name, hyphen, HeaderB3TraceID, fieldB3TraceID) |
			either(name, hyphen, HeaderB3Sampled, fieldB3Sampled) | either(name, hyphen, HeaderGRPCTimeout, fieldGRPCTimeout)
	case 13:
		return either(name, hyphen, HeaderClass, fieldClass) | either(name, hyphen, HeaderJaeger, fieldJaeger)
	case 14:
		return either(name, hyphen, headerJaegerBaggage, fieldJaegerBaggage)
	case 16:
		return either(name, hyphen, HeaderDeadline, fieldDeadline)
	case 17:
		return either(name, hyphen, HeaderB3ParentID, fieldB3ParentID)
	case 30:
		if k := either(name, hyphen, HeaderEnvoyTimeout, fieldEnvoyTimeout); k != fieldNone {
			return k
		}
	}
	if isJaegerClass(name, hyphen) {
		return fieldJaegerClass
	}
	return fieldNone
}

// either returns f if name spells want, and else none.
func either(name string, hyphen byte, want string, f field) field {
	if name == want || spells(name, hyphen, want) {
		return f
	}
	return fieldNone
}

// Spells reports whether name is want to some app: in any case, and with
// underscores for hyphens, as CGI's successors (WSGI, Rack, PHP) read both as one.
func Spells(name, want string) bool {
	return len(name) == len(want) && spells(name, '_', want)
}

// spells reports whether name, which is as long as want, is want in any case and
// with hyphen for its hyphens.
func spells(name string, hyphen byte, want string) bool {
	for i := range len(want) {
		got := name[i]
		letter := got|0x20 >= 'a' && got|0x20 <= 'z'
		if got != want[i] && !(letter && got|0x20 == want[i]|0x20) && !(got == hyphen && want[i] == '-') {
			return false
		}
	}
	return true
}

// Owns reports whether a received field is the trail's: whoever sends the
// request on leaves it out, and lets Stamp write what is to be there instead.
// That includes what some app may take for a field of the trail.
func (t *Trail) Owns(name, value string) bool {
	switch fieldOf(name, '_') {
	case fieldNone:
		return false
	case fieldB3:
		return t.Propagate&B3 != 0
	case fieldB3TraceID, fieldB3SpanID, fieldB3ParentID, fieldB3Sampled, fieldB3Flags:
		return t.Propagate&B3Multi != 0
	case fieldJaeger:
		return t.Propagate&Jaeger != 0
	case fieldJaegerBaggage:
		return claimsJaegerClass(value)
	}
	return true
}

// found are the trail's fields as they were received.
type found struct {
	values         [fields]string // the first line of each
	seen, repeated uint32         // by field
}

// find looks at every field once. Names count with hyphens only: what is
// spelled with underscores is dropped, not believed.
func (f *found) find(c Carrier) {
	for i := range c.Len() {
		name, value := c.Field(i)
		k := fieldOf(name, '-')
		if k == fieldNone {
			continue
		}
		if bit := uint32(1) << k; f.seen&bit == 0 {
			f.seen |= bit
			f.values[k] = value
		} else {
			f.repeated |= bit
		}
	}
}

// once returns the value of a field that is not a list, trimmed. A repeated one
// has no value that all hops would agree about.
func (f *found) once(k field) string {
	if f.repeated>>k&1 != 0 {
		return ""
	}
	return trim(f.values[k])
}

// combined returns the lines of a field that is a list as one (RFC 9110 section
// 5.3).
func (f *found) combined(c Carrier, k field) string {
	if f.repeated>>k&1 == 0 {
		return f.values[k]
	}
	var lines []string
	for i := range c.Len() {
		name, value := c.Field(i)
		if fieldOf(name, '-') == k && trim(value) != "" {
			lines = append(lines, value)
		}
	}
	return strings.Join(lines, ",")
}
