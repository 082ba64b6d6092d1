package waterfall

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"
)

// clean keeps what comes from outside from steering the terminal: escape sequences,
// line breaks, and marks that turn the direction of writing.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// columns is how many columns of a terminal r takes.
func columns(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// length is how many columns s takes.
func length(s string) (n int) {
	for _, r := range s {
		n += columns(r)
	}
	return n
}

// cut shortens s to at most n columns.
func cut(s string, n int) string {
	if length(s) <= n {
		return s
	}
	taken := 0
	for i, r := range s {
		if taken += columns(r); taken > n-1 {
			return s[:i] + strings.Repeat("…", min(n, 1))
		}
	}
	return s
}

// fit makes s exactly n columns long.
func fit(s string, n int) string {
	s = cut(s, n)
	return s + strings.Repeat(" ", max(0, n-length(s)))
}

// fitRight is fit with s at the right.
func fitRight(s string, n int) string {
	s = cut(s, n)
	return strings.Repeat(" ", max(0, n-length(s))) + s
}

// took writes a duration with three digits or more, in at most 8 columns while it
// is less than a thousand years.
func took(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%dµs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.2fms", d.Seconds()*1e3)
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%.1fms", d.Seconds()*1e3)
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 100*time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%.1fd", d.Hours()/24)
}
