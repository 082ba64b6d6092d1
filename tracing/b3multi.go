package tracing

// parseB3Multi reads the X-B3 fields. A sampling state without ids is one too.
// X-B3-Flags: 1 is debug, which says to sample. Before the states were settled,
// they were written as booleans too.
func (f *found) parseB3Multi() (p parent) {
	traceID, spanID := f.once(fieldB3TraceID), f.once(fieldB3SpanID)
	if (traceID != "" || spanID != "") && !parseB3IDs(&p, traceID, spanID) {
		return parent{}
	}
	switch f.once(fieldB3Sampled) {
	case b3Accept, "true":
		p.flags, p.decided = FlagSampled, true
	case b3Deny, "false":
		p.decided = true
	}
	if f.once(fieldB3Flags) == b3Accept {
		p.flags, p.decided = FlagSampled, true
	}
	return p
}

// stampB3Multi makes the X-B3 fields of the ids in a traceparent.
func (t *Trail) stampB3Multi(c Carrier, ids []byte) {
	c.Set(HeaderB3TraceID, alias(ids[traceIDAt:traceIDEnd]))
	c.Set(HeaderB3SpanID, alias(ids[spanIDAt:spanIDEnd]))
	c.Set(HeaderB3Sampled, t.sampledState())
	t.set(c, fieldB3ParentID, HeaderB3ParentID, "")
	t.set(c, fieldB3Flags, HeaderB3Flags, "")
}
