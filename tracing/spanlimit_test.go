package tracing

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestLimitText(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"short", "GET /", "GET /"},
		{"empty", "", ""},
		{"just fits", strings.Repeat("x", 1024), strings.Repeat("x", 1024)},
		{"too long", strings.Repeat("x", 1025), strings.Repeat("x", 1021) + "…"},
		{"cut inside a character", strings.Repeat("x", 1020) + "ää" + strings.Repeat("x", 100), strings.Repeat("x", 1020) + "…"},
		{"cut between characters", strings.Repeat("x", 1019) + "ää" + strings.Repeat("x", 100), strings.Repeat("x", 1019) + "ä…"},
		{"not UTF-8", "a\xff\xfeb\x80", "a?b?"},
		{"long and not UTF-8", strings.Repeat("\x80", 2000), "?…"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := test.in
			limitText(&got)
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// Whatever a span holds, it is small and valid UTF-8 afterwards, and what fits is
// as it was.
func FuzzLimitSpan(f *testing.F) {
	f.Add("GET /", "a=1", "key", "value", 3)
	f.Add("\xff", strings.Repeat("s", 3000), strings.Repeat("ä", 600), "\xe4\xb8", 100)
	f.Fuzz(func(t *testing.T, name, state, key, value string, n int) {
		n = min(max(n, 0), MaxAttributes+2)
		attributes := func() (out []Attribute) {
			for range n {
				out = append(out, Attribute{key, value})
			}
			return out
		}
		s := Span{Name: name, State: state, Failure: value, Attributes: attributes()}
		events := min(n, MaxEvents+2)
		for range events {
			s.Events = append(s.Events, Event{Name: name, Attributes: attributes()})
		}
		size := limit(&s)
		texts := []struct{ was, is string }{{name, s.Name}, {value, s.Failure}}
		check := func(got []Attribute) {
			if len(got) != min(n, MaxAttributes) {
				t.Fatalf("%d attributes of %d", len(got), n)
			}
			for _, a := range got {
				texts = append(texts, struct{ was, is string }{key, a.Key}, struct{ was, is string }{value, a.Value.(string)})
			}
		}
		check(s.Attributes)
		for _, event := range s.Events {
			texts = append(texts, struct{ was, is string }{name, event.Name})
			check(event.Attributes)
		}
		sum := len(s.State)
		for _, text := range texts {
			sum += len(text.is)
			fits := len(text.was) <= MaxText && utf8.ValidString(text.was)
			if len(text.is) > MaxText || !utf8.ValidString(text.is) || fits && text.is != text.was {
				t.Errorf("%q became %q", text.was, text.is)
			}
		}
		if s.State != state && s.State != "" || len(s.State) > MaxText || !utf8.ValidString(s.State) {
			t.Errorf("state %q became %q", state, s.State)
		}
		if len(s.Events) != min(events, MaxEvents) || size < sum {
			t.Errorf("%d events of %d; size %d, of which %d are text", len(s.Events), events, size, sum)
		}
	})
}
