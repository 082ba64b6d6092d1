package strictyaml

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a file, or, among warnings, one thing
// that is accepted but has no effect.
type Problem struct {
	// File is the file's name, or the flag or environment variable that gave
	// the value.
	File string
	// Line and Column are where the value is, from 1. Zero if the value does
	// not come from a file.
	Line, Column int
	// Path names the value: upstreams.app.limit.mode, rules[2].class.
	Path string
	// Text says what is wrong.
	Text string
	// Hint says what to write instead; it may be empty.
	Hint string
}

// String formats the problem as one line:
//
//	overtake.yaml:12:5: upstreams.app.limit.mode: "fxed" is not a mode; did you mean "fixed"?
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Text)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return b.String()
}

// Problems are all problems of one file. None at all is no error: ask for the
// length before it is returned as one.
type Problems []Problem

// Error prints one problem per line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Sort sorts by position; of two at the same, the earlier found stays first.
func (ps Problems) Sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// Suggest is the hint for a name that is not one of names: did you mean "a"? for
// the nearest, or want a, b or c when none is near.
func Suggest(name string, names []string) string {
	if near := Nearest(name, names); len(near) > 0 {
		return fmt.Sprintf("did you mean %q?", near[0])
	}
	switch len(names) {
	case 0:
		return ""
	case 1:
		return "want " + names[0]
	}
	last := len(names) - 1
	return "want " + strings.Join(names[:last], ", ") + " or " + names[last]
}

// Mistake is what is wrong with a value, to be read after the value itself ("is
// not a size"), and what to write instead; Hint may be empty. It is an error for
// [encoding.TextUnmarshaler].
type Mistake struct{ What, Hint string }

// Error returns what is wrong, without the hint.
func (m Mistake) Error() string { return m.What }

// Nearest returns those of names that name is a likely misspelling of: the ones with the
// fewest wrong letters or, with none, those that name begins. The likeliest is first, by
// how many letters it begins and ends with as name does.
func Nearest(name string, names []string) []string {
	// Two wrong letters in a word of three are another word.
	var best []string
	limit := min(2, (len(name)-1)/2)
	for _, n := range names {
		d := distance(strings.ToLower(name), strings.ToLower(n))
		if d < limit {
			best, limit = nil, d
		}
		if d <= limit {
			best = append(best, n)
		}
	}
	if best == nil && len(name) > 3 {
		for _, n := range names {
			if strings.HasPrefix(n, name) {
				best = append(best, n)
			}
		}
	}
	slices.SortStableFunc(best, func(a, b string) int { return cmp.Compare(shared(name, b), shared(name, a)) })
	return best
}

// shared counts the letters that a and b begin and end with alike.
func shared(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	a, b = a[n:], b[n:]
	m := 0
	for m < len(a) && m < len(b) && a[len(a)-1-m] == b[len(b)-1-m] {
		m++
	}
	return n + m
}

// distance counts the single-byte insertions, deletions, substitutions and
// swaps of neighbours between a and b (optimal string alignment).
func distance(a, b string) int {
	// Only small distances matter, and b may be long when it is a typing accident.
	if d := len(a) - len(b); d > 2 || d < -2 {
		return 3
	}
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev, row = prev, row, before
	}
	return prev[len(b)]
}
