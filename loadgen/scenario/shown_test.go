package scenario

import "testing"

// What ${NAME} brings into a path or a query is sent, and no report shows it.
func TestVariablesAreNotShown(t *testing.T) {
	lookup := func(string) (string, bool) { return "hunter2", true }
	for _, c := range []struct{ class, sent, shown string }{
		{"path: '/a/${KEY}'", "/a/hunter2", "/a/${KEY}"},
		{"path: /a, query: {key: '${KEY}'}", "/a", "/a"},
		{"path: /a, query: {key: open}", "/a", ""},
	} {
		s, problems := read("s.yaml", []byte("classes: [{name: a, rate: 1/s, "+c.class+"}]"), Changes{}, lookup, openRecording)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		if got := s.Classes[0]; got.Request.Path != c.sent || got.ShownPath != c.shown {
			t.Errorf("%s: sent %q, shown %q; want %q and %q", c.class, got.Request.Path, got.ShownPath, c.sent, c.shown)
		}
	}
}
