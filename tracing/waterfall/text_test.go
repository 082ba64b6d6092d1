package waterfall

import (
	"testing"
	"time"
)

func TestTook(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                   "0µs",
		999 * time.Microsecond:              "999µs",
		9994 * time.Microsecond:             "9.99ms",
		99940 * time.Microsecond:            "99.9ms",
		999 * time.Millisecond:              "999ms",
		9994 * time.Millisecond:             "9.99s",
		59900 * time.Millisecond:            "59.9s",
		61 * time.Second:                    "1m1s",
		59*time.Minute + 59*time.Second:     "59m59s",
		99*time.Hour + 59*time.Minute:       "99h59m",
		100 * time.Hour:                     "4.2d",
		250 * 365 * 24 * time.Hour:          "91250.0d",
		2*time.Hour + 400*time.Millisecond:  "2h0m",
		10*time.Minute + 1*time.Millisecond: "10m0s",
	} {
		if got := took(d); got != want || length(got) > timeWidth {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		text string
		n    int
		want string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"abcd", 1, "…"}, {"abcd", 0, ""}, {"", 0, ""},
		{"数据库", 6, "数据库"}, {"数据库", 5, "数据…"}, {"数据库", 4, "数…"}, {"e\u0301e\u0301", 2, "e\u0301e\u0301"},
	} {
		if got := cut(c.text, c.n); got != c.want {
			t.Errorf("cut(%q, %d) = %q, want %q", c.text, c.n, got, c.want)
		}
		if got := length(fit(c.text, c.n)); got != c.n {
			t.Errorf("fit(%q, %d) has %d columns", c.text, c.n, got)
		}
	}
}
