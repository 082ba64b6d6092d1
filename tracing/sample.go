package tracing

import "encoding/binary"

// Sampled reports whether the trace is to be recorded.
func (t *Trail) Sampled() bool { return t.Flags&FlagSampled != 0 }

// Sample decides whether to record the trace, if no hop before has: for the
// given share of traces, 0 to 1, told from the last 56 bits of the trace id,
// which are random where ids are, so that hops with one share decide alike.
func (t *Trail) Sample(share float64) {
	if t.decided {
		return
	}
	const bits = 56
	random := binary.BigEndian.Uint64(t.TraceID[8:]) & (1<<bits - 1)
	t.Flags &^= FlagSampled
	if float64(random) < share*(1<<bits) {
		t.Flags |= FlagSampled
	}
	t.decided = true
}
