package tracing

import (
	"strings"
	"testing"
)

// requestIDOf is what a careful reader takes for the request's id, "" for none.
func requestIDOf(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	id := strings.Trim(lines[0], " \t")
	for _, c := range []byte(id) {
		if c == 0x7f || c < 0x20 && c != 0x09 {
			return ""
		}
	}
	if len(id) > 1024 {
		return ""
	}
	return id
}

// classOf is what a careful reader takes for the class that is claimed: in the field
// of its own if that is there once and says something, else in the baggage, else in
// Jaeger's.
func classOf(own, baggage, jaeger []string) string {
	if len(own) == 1 && strings.Trim(own[0], " \t") != "" {
		return strings.Trim(own[0], " \t")
	}
	for _, line := range baggage {
		for member := range strings.SplitSeq(line, ",") {
			pair, _, _ := strings.Cut(member, ";")
			key, value, _ := strings.Cut(pair, "=")
			value = strings.Trim(value, " \t")
			if _, _, ok := parseMember(member); ok && value != "" && strings.Trim(key, " \t") == "latency.class" {
				return value
			}
		}
	}
	if len(jaeger) == 1 {
		return strings.Trim(jaeger[0], " \t")
	}
	return ""
}

// FuzzExtract reads a request id and a class claim of any form, in any number of
// lines and among each other, and stamps them.
func FuzzExtract(f *testing.F) {
	f.Add("x-request-id: r-1\nLatency-Class: batch")
	f.Add("X-Request-ID:  r 1\t\nx-request-id: r-2\nx_request_id: r-3\nlatency_class: x")
	f.Add("x-request-id: a\x01\nlatency-class: a\nLATENCY-CLASS: b\nbaggage: a=1, latency.class = c ;p, latency.class=d\nuberctx-latency.class: e")
	f.Add("uberctx-latency.class: e\nbaggage: latency.class=,latency.class=b\nx-request-id: " + strings.Repeat("x", 1024))
	f.Add("uberctx-latency.class: e\nuberctx-latency.class: f\nbaggage: x\nbaggage: latency.class=b\nx-request-id: " + strings.Repeat("x", 1025))
	f.Fuzz(func(t *testing.T, text string) {
		h := sent(strings.Split(text, "\n")...)
		for _, l := range *h {
			if !strings.EqualFold(l.name, HeaderJaegerClass) && isJaegerClass(l.name, '-') {
				t.Skip() // other spellings, see FuzzJaegerBaggage
			}
		}
		wantID := requestIDOf(h.all(HeaderRequestID))
		wantClass := classOf(h.all(HeaderClass), h.all(HeaderBaggage), h.all(HeaderJaegerClass))
		trail := extracted(h)
		if trail.Class != wantClass {
			t.Errorf("%q: class %q, want %q", text, trail.Class, wantClass)
		}
		if wantID != "" && trail.RequestID != wantID {
			t.Errorf("%q: request id %q, want %q", text, trail.RequestID, wantID)
		}
		if got := trail.RequestID; wantID == "" && (len(got) != 32 || strings.Trim(got, "0123456789abcdef") != "") {
			t.Errorf("%q: request id %q, want a new one", text, got)
		}
		id := strings.Clone(trail.RequestID)
		trail.Class = "standard" // as decided
		trail.Stamp(h, now)
		if got := h.get(HeaderRequestID); got != id {
			t.Errorf("%q: request id %q stamped as %q", text, id, got)
		}
		if got := h.get(HeaderClass) + h.get(HeaderJaegerClass); got != "standardstandard" {
			t.Errorf("%q: class stamped as %q", text, got)
		}
		if again := extracted(h); again.RequestID != id || again.Class != "standard" {
			t.Errorf("%q: the next hop reads %q and %q", text, again.RequestID, again.Class)
		}
	})
}
