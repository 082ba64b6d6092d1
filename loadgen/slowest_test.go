package loadgen

import (
	"strings"
	"testing"

	"overtake/loadgen/content"
)

// Reports don't show a request that has secrets in it.
func TestSlowestShowsThePathOfTheClass(t *testing.T) {
	for shown, want := range map[string]string{"": "GET /a?key=1", "/a/${KEY}": "GET /a/${KEY}"} {
		var s slowest
		s.add(&Call{Class: &Class{ShownPath: shown}, Request: &content.Request{Method: "GET", Target: "/a?key=1"}}, 1, 1, 0)
		if got := s.result(0, "")[0].Request; got != want {
			t.Errorf("shown as %q, want %q", got, want)
		}
	}
}

// A trace that was not asked for can't be looked up.
func TestSlowestLinksToRecordedTraces(t *testing.T) {
	id := strings.Repeat("a", 32)
	for flags, want := range map[string]string{"00": "", "01": "http://jaeger/trace/" + id} {
		var s slowest
		s.add(&Call{Class: &Class{}, TraceParent: "00-" + id + "-" + id[:16] + "-" + flags}, 1, 1, 0)
		if got := s.result(0, "http://jaeger/")[0]; got.URL != want || got.TraceID != id || got.Sampled != (flags == "01") {
			t.Errorf("flags %s: %+v, want the link %q", flags, got, want)
		}
	}
}
