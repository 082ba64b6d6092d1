package main

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain, ünïcode and 雨": "plain, ünïcode and 雨",
		"a\x1b[31mred\x07":     `a\x1b[31mred\a`,
		"two\nlines\r":         "two\nlines\\r",
		"\xff\ufffd\u202e\x7f": "\\xff\ufffd\\u202e\\x7f",
		"it's":                 "it's",
	} {
		if got := printable(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	if got := printableLine("a\nb\x1b"); got != `a\nb\x1b` {
		t.Errorf("one line is %q", got)
	}
}

func FuzzPrintable(f *testing.F) {
	for _, seed := range []string{"", "a\x1bb", "\xc3", "\xed\xa0\x80", "\u0085\u2028", "\t'\\"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := printableLine(text)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q becomes %q", text, got)
		}
	})
}
