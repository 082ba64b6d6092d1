package loadgen

import (
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
