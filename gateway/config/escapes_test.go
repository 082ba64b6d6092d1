package config

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"overtake/classifier"
	"overtake/classifier/strictyaml"
)

// FuzzEscapes: who writes a path as it is in a URL is told what to write instead, and
// that matches this path, and not one that has something else for an escape.
func FuzzEscapes(f *testing.F) {
	for _, text := range []string{"/a*", "/b?page=2", "/c#'top'", "/{d}", "/e,f", "/g%41", "/h%", "/i ", "/j\np", `/"k\`, "/${SECRET}", "/ä*", "/ä:", "//", "/.", "/a/../b", "/\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" || text[0] != '/' || path.Clean(text) != text || text == "/" || len(text) > 200 || strings.ContainsAny(text, "\u0085\u2028\u2029\ufeff") {
			return
		}
		var pattern strings.Builder
		for segment := range strings.SplitSeq(text[1:], "/") {
			pattern.WriteString("/" + strings.NewReplacer(",", "%2C", "'", "%27", "*", "%2A").Replace(url.PathEscape(segment)))
		}
		_, err := Parse("overtake.yaml", fmt.Appendf(nil, "rules: [{class: batch, match: {path: %q}}]", pattern.String()), lookup)
		if err == nil { // nothing was escaped
			return
		}
		problems, ok := errors.AsType[strictyaml.Problems](err)
		if !ok || len(problems) != 1 {
			t.Fatalf("%q: %v", text, err)
		}
		if !utf8.ValidString(text) {
			if want := "write * for bytes that are not UTF-8"; problems[0].Hint != want {
				t.Errorf("%q: %s, want %s", text, problems[0].Hint, want)
			}
			return
		}
		remedy, ok := strings.CutPrefix(problems[0].Hint, "write ")
		if !ok {
			t.Fatalf("%q: nothing to write in %q", text, problems[0].Hint)
		}
		if !strings.HasPrefix(remedy, "expr: ") {
			remedy = "path: " + remedy
		}
		c, err := Parse("overtake.yaml", []byte("rules:\n- class: batch\n  match:\n    "+remedy+"\n"), lookup)
		if err != nil {
			t.Fatalf("%q: what is to be written is refused: %s\n%v", text, remedy, err)
		}
		m, err := classifier.Compile(c.Rules[0].Match.Spec())
		if err != nil {
			t.Fatal(err)
		}
		if !m.Matches(&classifier.Request{Path: text}) {
			t.Errorf("%q is not matched by %s", text, remedy)
		}
		if other := strings.NewReplacer("*", "xy", "{", "xy", ",", "/").Replace(text); other != text && m.Matches(&classifier.Request{Path: other}) {
			t.Errorf("%q is matched by %s, which is for %q", other, remedy, text)
		}
	})
}
