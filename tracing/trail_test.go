package tracing

import (
	"maps"
	"strings"
	"testing"
	"time"
)

// messageHeader is a carrier whose names have a case, as those of AMQP and NATS.
type messageHeader map[string]string

func (h messageHeader) Get(name string) string { return h[strings.ToLower(name)] }
func (h messageHeader) Set(name, value string) { h[strings.ToLower(name)] = value }
func (h messageHeader) Del(name string)        { delete(h, strings.ToLower(name)) }

// A hop continues the trace, and the next one sees it as its parent.
func TestTrailContinues(t *testing.T) {
	header := messageHeader{
		"traceparent":      parentOf + "01",
		"tracestate":       "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
		"baggage":          "latency.class=interactive,tenant=acme",
		"latency-class":    "batch",
		"latency-deadline": "1800000000123",
		"x-request-id":     "r-1",
	}
	trail := Extract(header)
	if trail.TraceID.String() != traceHex || trail.ParentID.String() != spanHex || trail.Flags != FlagSampled {
		t.Errorf("trace %s, parent %s, flags %02x", trail.TraceID, trail.ParentID, trail.Flags)
	}
	if trail.SpanID == trail.ParentID || trail.SpanID == (SpanID{}) {
		t.Errorf("span %s has no id of its own", trail.SpanID)
	}
	if trail.Class != "batch" {
		t.Errorf("class %q, want the header's", trail.Class)
	}
	if want := time.UnixMilli(1800000000123); !trail.Deadline.Equal(want) {
		t.Errorf("deadline %v, want %v", trail.Deadline, want)
	}
	if trail.RequestID != "r-1" {
		t.Errorf("request id %q", trail.RequestID)
	}

	trail.Class = "standard" // as decided
	trail.Stamp(header)
	want := messageHeader{
		"traceparent":      "00-" + traceHex + "-" + trail.SpanID.String() + "-01",
		"tracestate":       "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
		"baggage":          "latency.class=standard,tenant=acme",
		"latency-class":    "standard",
		"latency-deadline": "1800000000123",
		"x-request-id":     "r-1",
	}
	if !maps.Equal(header, want) {
		t.Errorf("stamped\n%v\nwant\n%v", header, want)
	}
	if next := Extract(header); next.TraceID != trail.TraceID || next.ParentID != trail.SpanID {
		t.Errorf("the next hop is in trace %s after %s", next.TraceID, next.ParentID)
	}
}

// Without a valid traceparent a trace begins, and nothing of a broken trail
// reaches the next hop.
func TestTrailBegins(t *testing.T) {
	header := messageHeader{
		"traceparent":      strings.ToUpper(parentOf) + "01",
		"tracestate":       "rojo=1",
		"baggage":          "Latency.Class=interactive",
		"latency-deadline": "10s",
	}
	trail := Extract(header)
	if trail.TraceID == (TraceID{}) || trail.SpanID == (SpanID{}) || trail.ParentID != (SpanID{}) {
		t.Errorf("trace %s, span %s, parent %s", trail.TraceID, trail.SpanID, trail.ParentID)
	}
	trail.Stamp(header)
	want := messageHeader{"traceparent": "00-" + trail.TraceID.String() + "-" + trail.SpanID.String() + "-02"}
	if !maps.Equal(header, want) {
		t.Errorf("stamped\n%v\nwant\n%v", header, want)
	}
}

func TestExtractClass(t *testing.T) {
	for _, test := range []struct{ header, baggage, want string }{
		{"", "", ""},
		{" batch ", "", "batch"},
		{"", "a=1,latency.class=batch", "batch"},
		{"interactive", "latency.class=batch", "interactive"},
	} {
		trail := Extract(messageHeader{"latency-class": test.header, "baggage": test.baggage})
		if trail.Class != test.want {
			t.Errorf("header %q, baggage %q: class %q, want %q", test.header, test.baggage, trail.Class, test.want)
		}
	}
}

// What can't be unix milliseconds is no deadline at all.
func TestParseDeadline(t *testing.T) {
	for in, want := range map[string]time.Time{
		"1000000000000":          time.UnixMilli(1000000000000),
		" 1800000000000 ":        time.UnixMilli(1800000000000),
		"9999999999999":          time.UnixMilli(9999999999999),
		"":                       {},
		"0":                      {},
		"5000":                   {}, // a duration
		"1800000000":             {}, // seconds
		"1800000000000000000000": {},
		"-180000000000":          {},
		"-1800000000000":         {},
		"+180000000000":          {},
		"0180000000000":          {},
		"18000000000.0":          {},
		"1_800_000_000":          {},
		"1800000000000, 1":       {},
	} {
		if got := parseDeadline(in); !got.Equal(want) || got.IsZero() != want.IsZero() {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
}

// parsed is a carrier that costs nothing, to measure only the trail.
type parsed struct {
	traceParent, traceState, baggage, class, deadline string
}

func (p *parsed) Get(name string) string {
	switch name {
	case HeaderTraceParent:
		return p.traceParent
	case HeaderTraceState:
		return p.traceState
	case HeaderBaggage:
		return p.baggage
	case HeaderClass:
		return p.class
	case HeaderDeadline:
		return p.deadline
	}
	return ""
}

func (*parsed) Set(string, string) {}
func (*parsed) Del(string)         {}

// Reading allocates nothing; writing one string per field that is made.
func TestTrailAllocations(t *testing.T) {
	var c Carrier = benchmarkCarrier()
	if n := testing.AllocsPerRun(1000, func() { Extract(c) }); n != 0 {
		t.Errorf("Extract: %v allocations", n)
	}
	trail := Extract(c)
	if n := testing.AllocsPerRun(1000, func() { trail.Stamp(c) }); n > 3 {
		t.Errorf("Stamp: %v allocations, want at most traceparent, baggage and deadline", n)
	}
}

func benchmarkCarrier() *parsed {
	return &parsed{
		traceParent: parentOf + "01",
		traceState:  "rojo=00f067aa0ba902b7",
		baggage:     "latency.class=interactive,tenant=acme,session=8f14e45f",
		class:       "interactive",
		deadline:    "1800000000123",
	}
}

func BenchmarkExtract(b *testing.B) {
	b.Run("continue", func(b *testing.B) {
		c := benchmarkCarrier()
		b.ReportAllocs()
		for b.Loop() {
			Extract(c)
		}
	})
	b.Run("begin", func(b *testing.B) {
		c := &parsed{}
		b.ReportAllocs()
		for b.Loop() {
			Extract(c)
		}
	})
}

func BenchmarkStamp(b *testing.B) {
	c := benchmarkCarrier()
	trail := Extract(c)
	b.ReportAllocs()
	for b.Loop() {
		trail.Stamp(c)
	}
}
