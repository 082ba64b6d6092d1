package tracing

import "cmp"

// Inherit gives the trail of an app's call what it has from the request that the
// app works for: the deadline, unless its own is sooner, and where the call came
// without a trace context, that of the request, and its baggage.
func (t *Trail) Inherit(o *Origin) {
	if !o.Deadline.IsZero() && (t.Deadline.IsZero() || o.Deadline.Before(t.Deadline)) {
		t.Deadline = o.Deadline
	}
	if t.Begins() {
		t.TraceID, t.ParentID, t.Flags, t.decided = o.TraceID, o.SpanID, o.Flags, true
		t.State, t.Baggage = o.State, cmp.Or(t.Baggage, o.Baggage)
	}
}
