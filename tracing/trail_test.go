package tracing

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// lines are a header as it is on the wire: names as spelled, repeated ones apart.
type lines []line

type line struct{ name, value string }

func (h *lines) Len() int                         { return len(*h) }
func (h *lines) Field(i int) (name, value string) { return (*h)[i].name, (*h)[i].value }

func (h *lines) Set(name, value string) {
	h.Del(name)
	*h = append(*h, line{name, strings.Clone(value)})
}

func (h *lines) Del(name string) {
	*h = slices.DeleteFunc(*h, func(l line) bool { return strings.EqualFold(l.name, name) })
}

// sent returns a header of lines "name: value".
func sent(text ...string) *lines {
	h := new(lines)
	for _, s := range text {
		name, value, _ := strings.Cut(s, ": ")
		*h = append(*h, line{name, value})
	}
	return h
}

func (h *lines) all(name string) (values []string) {
	for _, l := range *h {
		if strings.EqualFold(l.name, name) {
			values = append(values, l.value)
		}
	}
	return values
}

func (h *lines) get(name string) string { return strings.Join(h.all(name), " | ") }

// now is some moment that has a whole number of milliseconds.
var now = time.UnixMilli(1_790_000_000_000)

// extracted is the trail of a header, all formats to be stamped.
func extracted(h *lines) *Trail {
	t := &Trail{Propagate: AllFormats}
	t.Extract(h, now)
	return t
}

// A hop continues the trace, and the next one sees it as its parent.
func TestTrailContinues(t *testing.T) {
	h := sent(
		"traceparent: "+parentOf+"01",
		"tracestate: rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
		"baggage: latency.class=interactive,tenant=acme",
		"Latency-Class: batch",
		"Latency-Deadline: 1800000000123",
		"X-Request-ID: r-1",
		"Accept: text/html",
	)
	trail := extracted(h)
	if trail.TraceID.String() != traceHex || trail.ParentID.String() != spanHex || trail.Flags != FlagSampled || trail.Begins() {
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
	trail.Stamp(h, now)
	span := trail.SpanID.String()
	h.want(t, map[string]string{
		"traceparent":           "00-" + traceHex + "-" + span + "-01",
		"tracestate":            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
		"baggage":               "latency.class=standard,tenant=acme",
		"Latency-Class":         "standard",
		"Latency-Deadline":      "1800000000123",
		"x-request-id":          "r-1",
		"b3":                    traceHex + "-" + span + "-1",
		"X-B3-TraceId":          traceHex,
		"X-B3-SpanId":           span,
		"X-B3-Sampled":          "1",
		"uber-trace-id":         traceHex + ":" + span + ":0:1",
		"uberctx-latency.class": "standard",
		"Accept":                "text/html",
	})
	if next := extracted(h); next.TraceID != trail.TraceID || next.ParentID != trail.SpanID {
		t.Errorf("the next hop is in trace %s after %s", next.TraceID, next.ParentID)
	}
}

// want checks that these are all the lines there are.
func (h *lines) want(t *testing.T, want map[string]string) {
	t.Helper()
	if len(*h) != len(want) {
		t.Errorf("%d lines, want %d:\n%v", len(*h), len(want), *h)
	}
	for name, value := range want {
		if got := h.get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
}

// Without a valid trace context a trace begins, and nothing of a broken trail
// reaches the next hop.
func TestTrailBegins(t *testing.T) {
	h := sent(
		"traceparent: "+strings.ToUpper(parentOf)+"01",
		"tracestate: rojo=1",
		"baggage: Latency.Class=interactive",
		"Latency-Deadline: 10s",
		"grpc-timeout: soon",
	)
	trail := extracted(h)
	if trail.TraceID == (TraceID{}) || trail.SpanID == (SpanID{}) || !trail.Begins() {
		t.Errorf("trace %s, span %s, parent %s", trail.TraceID, trail.SpanID, trail.ParentID)
	}
	trail.Propagate = 0
	trail.Stamp(h, now)
	h.want(t, map[string]string{
		"traceparent":  "00-" + trail.TraceID.String() + "-" + trail.SpanID.String() + "-00",
		"x-request-id": trail.TraceID.String(),
	})
}

func TestExtractClass(t *testing.T) {
	for _, test := range []struct {
		sent *lines
		want string
	}{
		{sent(), ""},
		{sent("latency-class:  batch "), "batch"},
		{sent("baggage: a=1,latency.class=batch"), "batch"},
		{sent("Latency-Class: interactive", "baggage: latency.class=batch", "uberctx-latency.class: x"), "interactive"},
		{sent("baggage: latency.class=batch", "uberctx-latency.class: x"), "batch"},
		{sent("Uberctx-Latency.Class: batch"), "batch"},
		{sent("Latency-Class: batch", "Latency-Class: interactive"), ""},
		{sent("Latency_Class: interactive"), ""},
	} {
		if got := extracted(test.sent).Class; got != test.want {
			t.Errorf("%v: class %q, want %q", *test.sent, got, test.want)
		}
	}
}

// Trace context is taken from the first format that has a valid one.
func TestOrderOfFormats(t *testing.T) {
	formats := []string{
		"traceparent: 00-1" + traceHex[1:] + "-" + spanHex + "-01",
		"uber-trace-id: 2" + traceHex[1:] + ":" + spanHex + ":0:1",
		"b3: 3" + traceHex[1:] + "-" + spanHex + "-1",
		"X-B3-TraceId: 4" + traceHex[1:],
	}
	for i := range formats {
		h := sent(append(formats[i:], "X-B3-SpanId: "+spanHex, "tracestate: rojo=1")...)
		trail := extracted(h)
		if got, want := trail.TraceID.String(), string(rune('1'+i))+traceHex[1:]; got != want {
			t.Errorf("%v: trace %s, want %s", *h, got, want)
		}
		if (trail.State != "") != (i == 0) {
			t.Errorf("%v: tracestate %q, want that of a traceparent", *h, trail.State)
		}
	}
}

func TestRequestID(t *testing.T) {
	for _, test := range []struct {
		sent *lines
		want string // "" for a new one
	}{
		{sent("x-request-id: 7"), "7"},
		{sent("X-REQUEST-ID:   a b\tc\xff "), "a b\tc\xff"},
		{sent("x-request-id: 1", "x-request-id: 2"), "1"},
		{sent("x-request-id: "), ""},
		{sent("x-request-id: " + strings.Repeat("x", 1024)), strings.Repeat("x", 1024)},
		{sent("x-request-id: "+strings.Repeat("x", 1025), "x-request-id: 2"), ""},
		{sent("x-request-id: a\r\nb: c"), ""},
		{sent(), ""},
	} {
		trail := extracted(test.sent)
		trail.Stamp(test.sent, now)
		got := test.sent.all("x-request-id")
		if len(got) != 1 || got[0] != trail.RequestID {
			t.Fatalf("%v: stamped as %q, the trail has %q", *test.sent, got, trail.RequestID)
		}
		if test.want == "" && got[0] != trail.TraceID.String() || test.want != "" && got[0] != test.want {
			t.Errorf("%v: request id %q, want %q", *test.sent, got[0], test.want)
		}
	}
	first := extracted(sent("traceparent: " + parentOf + "01")).RequestID
	if len(first) != 32 || first == traceHex {
		t.Errorf("request id %q in a trace that others began, want one of its own", first)
	}
}

// A trail can be used again: nothing of the request before is left.
func TestExtractResets(t *testing.T) {
	trail := extracted(sent("traceparent: "+parentOf+"01", "tracestate: a=1", "baggage: a=1,latency.class=batch",
		"Latency-Deadline: 1800000000123", "grpc-timeout: 1S", "x-envoy-expected-rq-timeout-ms: 5", "x-request-id: 1"))
	h := sent()
	trail.Extract(h, now)
	trail.Propagate = 0
	trail.Stamp(h, now)
	h.want(t, map[string]string{"traceparent": trail.TraceParent(), "x-request-id": trail.TraceID.String()})
	if !trail.Begins() || trail.Sampled() {
		t.Errorf("left over: %+v", trail)
	}
}

// A message carries what W3C and the contract say, and its deliverer adds the
// rest.
func TestStampMessage(t *testing.T) {
	trail := extracted(sent("b3: "+traceHex+"-"+spanHex+"-1", "grpc-timeout: 1S", "x-request-id: 1", "Latency-Class: batch"))
	h := sent()
	trail.StampMessage(h)
	h.want(t, map[string]string{
		"traceparent": trail.TraceParent(), "x-request-id": "1", "Latency-Class": "batch",
		"baggage": "latency.class=batch", "Latency-Deadline": "1790000001000",
	})
}

func TestOwns(t *testing.T) {
	always := []string{
		"traceparent", "TraceParent", "tracestate", "BAGGAGE", "Latency-Class", "latency_class", "Latency_Deadline",
		"x-request-id", "X_Request-Id", "grpc-timeout", "X-Envoy-Expected-Rq-Timeout-Ms",
		"uberctx-latency.class", "UberCtx-Latency.Class", "uberctx_latency%2Eclass", "uberctx-%6catency.class", "uberctx-latency.class%20",
	}
	never := []string{
		"", "b", "Accept", "User-Agent", "trace-parent", "trace.state", "latencyclass", "X-B3", "uberctx-user", "uberctx-latency.classy",
		"uberctx", "uberctx-latency-class", "jaeger-debug-id", "jaeger-baggage", "x-envoy-upstream-rq-timeout-ms", "traceparent\x0d",
	}
	only := map[Formats][]string{
		B3:      {"b3", "B3"},
		B3Multi: {"X-B3-TraceId", "x_b3_spanid", "x-b3-parentspanid", "X-B3-Sampled", "X-B3-Flags"},
		Jaeger:  {"uber-trace-id", "Uber_Trace_Id"},
	}
	for _, propagate := range []Formats{0, B3, B3Multi, Jaeger, AllFormats} {
		trail := Trail{Propagate: propagate}
		check := func(name string, want bool) {
			if got := trail.Owns(name, ""); got != want {
				t.Errorf("formats %b: %q is owned: %v", propagate, name, got)
			}
		}
		for _, name := range always {
			check(name, true)
		}
		for _, name := range never {
			check(name, false)
		}
		for format, names := range only {
			for _, name := range names {
				check(name, propagate&format != 0)
			}
		}
		for value, want := range map[string]bool{
			"a=1, b=2": false, "latency.class=x": true, "a=1, Latency.Class = x": true, "a=latency.class": false, "latency%2eclass": true,
		} {
			if got := trail.Owns("Jaeger-Baggage", value); got != want {
				t.Errorf("jaeger-baggage: %s is owned: %v", value, got)
			}
		}
	}
}

// Whether a trace is recorded is decided once, where it begins.
func TestSample(t *testing.T) {
	const traces = 100_000
	for _, share := range []float64{0, 0.01, 0.5, 1} {
		sampled := 0
		for range traces {
			trail := Trail{TraceID: newTraceID()}
			trail.Sample(share)
			if trail.Sampled() {
				sampled++
			}
			here := trail.Sampled()
			again := Trail{TraceID: trail.TraceID}
			again.Sample(share)
			if again.Sampled() != here {
				t.Fatalf("%s: hops with a share of %v disagree", trail.TraceID, share)
			}
		}
		want := share * traces
		if off := float64(sampled) - want; off*off > 36*want*(1-share) {
			t.Errorf("share %v: %d of %d sampled", share, sampled, traces)
		}
	}
	for _, test := range []struct {
		sent  string
		share float64
		want  bool
	}{
		{"traceparent: " + parentOf + "01", 0, true},
		{"traceparent: " + parentOf + "00", 1, false},
		{"uber-trace-id: " + traceHex + ":" + spanHex + ":0:1", 0, true},
		{"uber-trace-id: " + traceHex + ":" + spanHex + ":0:0", 1, false},
		{"b3: " + traceHex + "-" + spanHex + "-d", 0, true},
		{"b3: " + traceHex + "-" + spanHex + "-0", 1, false},
		{"b3: " + traceHex + "-" + spanHex, 0, false}, // left to us
		{"b3: " + traceHex + "-" + spanHex, 1, true},
		{"b3: 0", 1, false},
		{"b3: d", 0, true},
		{"X-B3-Sampled: 0", 1, false},
		{"X-B3-Flags: 1", 0, true},
	} {
		trail := extracted(sent(test.sent))
		if trail.Sample(test.share); trail.Sampled() != test.want {
			t.Errorf("%s, share %v: sampled %v", test.sent, test.share, trail.Sampled())
		}
	}
}
