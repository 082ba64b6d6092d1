package broker

import (
	"maps"
	"slices"
	"testing"
)

func TestHeaderCleaned(t *testing.T) {
	h := Header{"fine": {"a", "b"}, "line\nbreak": {"a\r\nb"}, "line break": {"c"}, "nul": {"\x00"}, "": {"nameless"}, "ü": {"ü"}}
	h = h.Cleaned()
	m := Message{ID: "m", Header: h}
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(h["line_break"]) // which of the two was first is open
	want := Header{"fine": {"a", "b"}, "line_break": {"a  b", "c"}, "nul": {" "}, "__": {"ü"}}
	if !maps.EqualFunc(h, want, slices.Equal) {
		t.Errorf("%q, want %q", h, want)
	}
}
