package loadgen

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
)

// headerTraceParent is the field of W3C Trace Context that names the trace.
const headerTraceParent = "traceparent"

// naming gives the requests of one class their ids. A trace id is unique among
// runs by its first half, and within the run by the second.
type naming struct {
	class  string
	run    [8]byte // random
	index  uint16  // of the class, from 1: ids of zeros only are invalid
	first  int64   // number of the first request in Loadgen-Id
	sample float64 // share of requests with the sampled flag
}

func newTraceRun() (run [8]byte) {
	_, _ = rand.Read(run[:]) // never fails
	return run
}

// name returns the id and the traceparent of the n-th request, from 0. They
// share one allocation.
func (g *naming) name(n int64) (id, traceParent string) {
	var space [160]byte
	b := append(space[:0], g.class...)
	b = append(b, '/')
	b = strconv.AppendInt(b, g.first+n, 10)
	length := len(b)

	// version 00, trace-id, parent-id, trace-flags (Trace Context, section 3.2)
	var low [8]byte
	binary.BigEndian.PutUint64(low[:], uint64(g.index)<<48|uint64(n)&(1<<48-1))
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, g.run[:])
	b = hex.AppendEncode(b, low[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, low[:])
	if g.sampled(n) {
		b = append(b, "-01"...)
	} else {
		b = append(b, "-00"...)
	}
	s := string(b)
	return s[:length], s[length:]
}

// sampled spreads the sampled requests evenly over all.
func (g *naming) sampled(n int64) bool {
	return math.Floor(float64(n+1)*g.sample) > math.Floor(float64(n)*g.sample)
}

// traceID returns the trace id in a traceparent, empty if it has none.
func traceID(traceParent string) string {
	_, rest, _ := strings.Cut(traceParent, "-")
	id, _, ok := strings.Cut(rest, "-")
	if !ok || len(id) != 32 {
		return ""
	}
	return id
}
