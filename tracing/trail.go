package tracing

import (
	"encoding/hex"
	"time"
)

// Carrier is a header that a trail is read from or written to: a cursor over its
// lines, so that one pass finds everything. Names compare in any case.
type Carrier interface {
	// Len returns the number of lines.
	Len() int
	// Field returns a line, 0 <= i < Len(). Lines of the same name keep their
	// order.
	Field(i int) (name, value string)
	// Set replaces all lines of the name by one. The value is valid during the
	// call only: what is kept must be copied.
	Set(name, value string)
	// Del removes all lines of the name.
	Del(name string)
}

// Trail is what travels with a request. Its strings alias what the carrier
// returned, and memory of the trail that the next Extract uses again: who keeps
// one for longer clones it. A trail must not be used concurrently.
type Trail struct {
	// TraceID is the trace the request belongs to. SpanID is stamped as the
	// parent of the next hop; Extract makes a new one. ParentID is the hop
	// before, zero in a trace that begins here.
	TraceID          TraceID
	SpanID, ParentID SpanID
	// Flags are the trace flags.
	Flags byte
	// State is the tracestate.
	State string
	// Class is the name of the latency class, "" for none. After Extract it is
	// what the sender claims, known or not; before Stamp, what was decided.
	Class string
	// Deadline is when the request is of no use any more, zero for never. After
	// Extract it is what the sender claims, and may have passed.
	Deadline time.Time
	// Baggage holds the other members of the baggage.
	Baggage string
	// RequestID is the request's x-request-id; Extract makes one if none came.
	RequestID string
	// Propagate are the formats that Stamp writes beside W3C's. Extract leaves
	// it as it is.
	Propagate Formats

	decided                   bool    // whether to sample: the sender did, or Sample
	format                    Formats // that the trace context came in, 0 for W3C's
	grpcTimeout, envoyTimeout bool    // came, and are stamped anew
	received                  uint32  // the fields that Extract saw
	scratch                   []byte
}

// parent is what a trace context says of the hop before. Without ids it is none,
// but may tell whether to sample.
type parent struct {
	traceID TraceID
	spanID  SpanID
	flags   byte
	decided bool // flags say whether to sample; else that is left to us
}

func (p parent) valid() bool { return p.traceID != TraceID{} && p.spanID != SpanID{} }

// Reset forgets the trail but what Propagate says, and keeps memory for the next.
func (t *Trail) Reset() { *t = Trail{Propagate: t.Propagate, scratch: t.scratch[:0]} }

// Extract continues the trail that c carries, with a new span for this hop, or
// begins one. Timeouts count from now.
func (t *Trail) Extract(c Carrier, now time.Time) {
	t.Reset()
	var f found
	f.find(c)
	t.received = f.seen
	p, format := f.parent()
	t.TraceID, t.ParentID, t.Flags, t.decided, t.format = p.traceID, p.spanID, p.flags, p.decided, format
	if format == 0 {
		t.State = parseTraceState(f.combined(c, fieldTraceState))
	}
	if t.Begins() {
		t.TraceID = newTraceID()
	}
	t.SpanID = NewSpanID()
	t.Baggage, t.Class = parseBaggage(f.combined(c, fieldBaggage))
	if class := f.once(fieldClass); class != "" {
		t.Class = class
	} else if t.Class == "" {
		t.Class = f.once(fieldJaegerClass)
	}
	t.extractDeadline(&f, now)
	t.extractRequestID(&f)
}

// parent returns the first valid trace context in the order W3C, Jaeger, B3
// single, B3 multi, and its format, 0 for W3C's. What is not valid counts as
// missing.
func (f *found) parent() (p parent, format Formats) {
	if p = parseTraceParent(f.once(fieldTraceParent)); p.valid() {
		return p, 0
	}
	if p = parseJaeger(f.once(fieldJaeger)); p.valid() {
		return p, Jaeger
	}
	single := parseB3(f.once(fieldB3))
	if p = f.parseB3Multi(); single.valid() || single.decided && !p.valid() {
		return single, B3
	}
	return p, B3Multi
}

// stamped reports whether the trace context came in a format that this hop stamps:
// others pass through an app as a client wrote them, and prove nothing.
func (t *Trail) stamped() bool { return !t.Begins() && t.format&^t.Propagate == 0 }

// Begins reports whether the trace begins here: no hop before was named.
func (t *Trail) Begins() bool { return t.ParentID == SpanID{} }

// Stamp writes the trail to c for the next hop: the header that Extract read, or
// another without the fields that the trail owns. A field that came and that the
// trail does not have is deleted, so nothing survives by accident. Timeouts that
// came are written again, with what remains of them from now to Deadline.
func (t *Trail) Stamp(c Carrier, now time.Time) {
	kept := len(t.scratch)
	b := t.stamp(c, t.scratch)
	ids := b[kept:]
	if t.Propagate&B3 != 0 {
		b = t.stampB3(c, b, ids)
	}
	if t.Propagate&B3Multi != 0 {
		t.stampB3Multi(c, ids)
	}
	if t.Propagate&Jaeger != 0 {
		b = t.stampJaeger(c, b, ids)
	}
	b = t.stampTimeouts(c, b, now)
	t.scratch = b[:kept]
}

// StampMessage writes to the header of a message what Stamp would write but the
// formats of Propagate and the timeouts: whoever delivers it stamps those anew.
func (t *Trail) StampMessage(c Carrier) {
	kept := len(t.scratch)
	t.scratch = t.stamp(c, t.scratch)[:kept]
}

// stamp appends the traceparent to b, and uses what is beyond it.
func (t *Trail) stamp(c Carrier, b []byte) []byte {
	start := len(b)
	b = t.AppendTraceParent(b)
	c.Set(HeaderTraceParent, alias(b[start:]))
	t.set(c, fieldTraceState, HeaderTraceState, t.State)
	value := len(b)
	b = t.appendBaggage(b)
	t.set(c, fieldBaggage, HeaderBaggage, alias(b[value:]))
	t.set(c, fieldClass, HeaderClass, t.Class)
	b = appendDeadline(b[:value], t.Deadline)
	t.set(c, fieldDeadline, HeaderDeadline, alias(b[value:]))
	t.set(c, fieldRequestID, HeaderRequestID, t.RequestID)
	return b[:value]
}

// set sets a field, or deletes it if it came and has no value.
func (t *Trail) set(c Carrier, k field, name, value string) {
	if value != "" {
		c.Set(name, value)
	} else if t.received>>k&1 != 0 {
		c.Del(name)
	}
}

// extractRequestID takes the first request id, or makes one: that of the trace
// if both begin here.
func (t *Trail) extractRequestID(f *found) {
	if t.RequestID = trim(f.values[fieldRequestID]); isRequestID(t.RequestID) {
		return
	}
	t.makeRequestID()
}

// RenewRequestID makes a request id in place of one that came, from somebody who is
// not believed: it might be that of another request.
func (t *Trail) RenewRequestID() {
	if t.received>>fieldRequestID&1 != 0 {
		t.makeRequestID()
	}
}

func (t *Trail) makeRequestID() {
	id := t.TraceID
	if !t.Begins() {
		id = newTraceID()
	}
	start := len(t.scratch)
	t.scratch = hex.AppendEncode(t.scratch, id[:])
	t.RequestID = alias(t.scratch[start:])
}

// maxRequestID bounds a request id, which goes into every header, message and span
// on the way, and into provenance.
const maxRequestID = 1024

// isRequestID reports whether s may be the value of a field, and is not too long:
// what it means is its sender's business.
func isRequestID(s string) bool {
	if len(s) > maxRequestID {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return s != ""
}
