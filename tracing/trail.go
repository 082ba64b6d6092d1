package tracing

import "time"

// The fields of a trail. The names are written as HTTP spells them. HTTP
// ignores their case; where names have a case, as in message headers, all of
// them are lower case, and a carrier for those lowers every name it is given.
const (
	HeaderClass       = "Latency-Class"
	HeaderDeadline    = "Latency-Deadline"
	HeaderTraceParent = "traceparent"
	HeaderTraceState  = "tracestate"
	HeaderBaggage     = "baggage"
	HeaderRequestID   = "x-request-id" // only read: it travels as it is
)

// Carrier is a header that a trail is read from and written to.
type Carrier interface {
	// Get returns the value of the named field, or "". The lines of a repeated
	// field are combined with ", ".
	Get(name string) string
	// Set replaces all lines of the named field by one.
	Set(name, value string)
	// Del removes all lines of the named field.
	Del(name string)
}

// Trail is what travels with a request. Strings alias what the carrier
// returned, and are valid as long as that is.
type Trail struct {
	// TraceID is the trace the request belongs to, SpanID is this hop in it,
	// and ParentID the hop before, zero in a trace that begins here.
	TraceID          TraceID
	SpanID, ParentID SpanID
	// Flags are the trace flags.
	Flags byte
	// State is the tracestate, passed on unchanged.
	State string
	// Class is the name of the latency class, "" for none. After Extract it is
	// what the sender claims, known or not; before Stamp, what was decided.
	Class string
	// Deadline is when the request is of no use any more, zero for never. After
	// Extract it is what the sender claims, and may have passed.
	Deadline time.Time
	// Baggage holds the other members of the baggage.
	Baggage string
	// RequestID is the request's x-request-id.
	RequestID string
}

// Extract continues the trail that c carries, with a new span for this hop, or
// begins one.
func Extract(c Carrier) Trail {
	t := Trail{
		SpanID:    NewSpanID(),
		Class:     trim(c.Get(HeaderClass)),
		Deadline:  parseDeadline(c.Get(HeaderDeadline)),
		RequestID: c.Get(HeaderRequestID),
	}
	if parent, ok := parseTraceParent(c.Get(HeaderTraceParent)); ok {
		t.TraceID, t.ParentID, t.Flags = parent.traceID, parent.spanID, parent.flags
		t.State = c.Get(HeaderTraceState)
	} else {
		t.TraceID, t.Flags = newTraceID(), FlagRandom
	}
	baggage, class := parseBaggage(c.Get(HeaderBaggage))
	t.Baggage = baggage
	if t.Class == "" {
		t.Class = class
	}
	return t
}

// Stamp writes the trail to c for the next hop. A field that the trail does not
// have is deleted, so nothing that came in survives by accident.
func (t *Trail) Stamp(c Carrier) {
	c.Set(HeaderTraceParent, t.TraceParent())
	set(c, HeaderTraceState, t.State)
	set(c, HeaderBaggage, joinBaggage(t.Class, t.Baggage))
	set(c, HeaderClass, t.Class)
	set(c, HeaderDeadline, formatDeadline(t.Deadline))
}

func set(c Carrier, name, value string) {
	if value == "" {
		c.Del(name)
		return
	}
	c.Set(name, value)
}

// Sample decides whether a trace that begins here is recorded.
func (t *Trail) Sample(ratio float64) {
	if t.ParentID == (SpanID{}) && ratio > 0 {
		t.Flags |= FlagSampled
	}
}

// Sampled reports whether the trace is recorded.
func (t *Trail) Sampled() bool { return t.Flags&FlagSampled != 0 }
