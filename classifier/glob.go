package classifier

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// maxAlternatives bounds what the braces of one path expand to: they multiply.
const maxAlternatives = 256

// pathGlob matches paths. Braces are expanded when it is compiled, so that
// matching is a plain walk over segments, once per alternative.
type pathGlob struct {
	everything   bool
	alternatives []alternative
}

// alternative is one of the texts that braces expand to.
type alternative struct {
	segments  []segment
	beginning string // the literal segments before the first other one: /a/b
}

// segment is what one segment of a path is compared with.
type segment struct {
	kind segmentKind
	text string
}

type segmentKind uint8

const (
	literal  segmentKind = iota
	wild                 // text has a *
	anyDepth             // **
)

func compileGlob(pattern string) (*pathGlob, error) {
	if pattern == "/" {
		return &pathGlob{everything: true}, nil
	}
	var expanded []string
	if err := expandBraces(&expanded, pattern); err != nil {
		return nil, fmt.Errorf("%q: %w", pattern, err)
	}
	g := &pathGlob{}
	for _, text := range expanded {
		segments, err := splitSegments(text)
		if err == nil {
			err = checkReachable(pattern, text, segments)
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", pattern, err)
		}
		literals := slices.IndexFunc(segments, func(s segment) bool { return s.kind != literal })
		if literals < 0 {
			literals = len(segments)
		}
		a := alternative{segments: segments}
		for _, s := range segments[:literals] {
			a.beginning += "/" + s.text
		}
		g.alternatives = append(g.alternatives, a)
	}
	return g, nil
}

func (g *pathGlob) matches(path string) bool {
	if g.everything {
		return true
	}
	if !strings.HasPrefix(path, "/") {
		return false // "*" of an OPTIONS request, or the authority of a CONNECT
	}
	for i := range g.alternatives {
		if matchSegments(g.alternatives[i].segments, path) {
			return true
		}
	}
	return false
}

// digrams are those that every path has that matches, apart from those of the
// beginning.
func (g *pathGlob) digrams() []uint16 {
	var all digramSet
	for i, a := range g.alternatives {
		set := digramSet{}
		for _, s := range a.segments[strings.Count(a.beginning, "/"):] {
			if s.kind != anyDepth {
				set = set.with(literalDigrams("/" + s.text))
			}
		}
		if i == 0 {
			all = set
		}
		all = all.both(set)
	}
	return all.list()
}

// matchSegments compares path, which starts with "/", with pattern. On a
// mismatch it goes back to the latest ** and lets it take one segment more.
// Going back further can't help: what lies before the latest ** has already
// been matched with the fewest segments. So it takes at most len(pattern) x
// segments(path) steps and needs no stack.
func matchSegments(pattern []segment, path string) bool {
	next, start := 0, 1      // in pattern, and of the segment in path
	latest, resume := -1, -1 // the latest **, and where the path goes on after it
	for start <= len(path) {
		end := segmentEnd(path, start)
		switch {
		case next < len(pattern) && pattern[next].kind == anyDepth:
			latest, resume = next, start
			next++
		case next < len(pattern) && pattern[next].matches(path[start:end]):
			next, start = next+1, end+1
		case latest >= 0:
			resume = segmentEnd(path, resume) + 1
			next, start = latest+1, resume
		default:
			return false
		}
	}
	for next < len(pattern) && pattern[next].kind == anyDepth {
		next++
	}
	return next == len(pattern)
}

func (s segment) matches(text string) bool {
	if s.kind == literal {
		return s.text == text
	}
	return wildcard(s.text, text, false)
}

func segmentEnd(path string, start int) int {
	if i := strings.IndexByte(path[start:], '/'); i >= 0 {
		return start + i
	}
	return len(path)
}

func splitSegments(pattern string) ([]segment, error) {
	rest, ok := strings.CutPrefix(pattern, "/")
	if !ok {
		return nil, &mistake{"a path starts with /", "write /" + pattern}
	}
	var segments []segment
	for text := range strings.SplitSeq(rest, "/") {
		switch {
		case text == "**":
			segments = append(segments, segment{kind: anyDepth})
		case strings.Contains(text, "**"):
			return nil, &mistake{"** stands for whole segments", "write " + strings.ReplaceAll(text, "**", "*") + " for text inside of one, or /**/ between two"}
		case strings.Contains(text, "*"):
			segments = append(segments, segment{wild, text})
		default:
			segments = append(segments, segment{literal, text})
		}
	}
	return segments, nil
}

// checkReachable refuses segments that no path has when it is compared: doubled slashes
// are one there, and dot segments are resolved. text is what the braces of pattern
// expand to.
func checkReachable(pattern, text string, segments []segment) error {
	subject := ""
	if text != pattern {
		subject = "its " + text + " "
	}
	for i, s := range segments {
		switch {
		case s.text == "." || s.text == "..":
			return &mistake{subject + "matches no request, as paths are compared without dot segments", reachable(pattern, text)}
		case s == segment{} && i < len(segments)-1: // the last one is the slash that a path ends with
			return &mistake{subject + "matches no request, as paths are compared with doubled slashes merged", reachable(pattern, text)}
		}
	}
	return nil
}

// reachable is what to write for a text that no path is when it is compared.
func reachable(pattern, text string) string {
	segments := strings.Split(text, "/")
	if slices.Contains(segments, "**") && slices.Contains(segments, "..") {
		return "leave out .. and what it leads back from" // that may be any number of segments
	}
	plain := path.Clean(text)
	if last := segments[len(segments)-1]; plain != "/" && (last == "" || last == "." || last == "..") {
		plain += "/"
	}
	switch {
	case text != pattern:
		return "write the braces so that it becomes " + plain
	case plain == "/":
		return "write /{} for the front page, or / for every path"
	}
	return "write " + plain
}

// expandBraces appends to out all texts that pattern stands for, by replacing
// its first pair of braces and then expanding the result.
func expandBraces(out *[]string, pattern string) error {
	open := strings.IndexAny(pattern, "{}")
	if open < 0 {
		if len(*out) == maxAlternatives {
			return &mistake{fmt.Sprintf("more than %d alternatives", maxAlternatives), "use fewer braces, or several rules"}
		}
		*out = append(*out, pattern)
		return nil
	}
	if pattern[open] == '}' {
		return &mistake{"} without {", "write {a,b} for either of two texts"}
	}
	alternatives, end := splitAlternatives(pattern, open)
	if end < 0 {
		return &mistake{"{ without }", "write {a,b} for either of two texts"}
	}
	for _, alternative := range alternatives {
		if err := expandBraces(out, pattern[:open]+alternative+pattern[end:]); err != nil {
			return err
		}
	}
	return nil
}

// splitAlternatives splits what is inside the brace at open by its own commas,
// and returns the position after the closing brace, or -1 without one.
func splitAlternatives(pattern string, open int) (alternatives []string, end int) {
	depth, start := 0, open+1
	for i := open; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '{':
			depth++
		case c == ',' && depth == 1:
			alternatives = append(alternatives, pattern[start:i])
			start = i + 1
		case c == '}':
			depth--
			if depth == 0 {
				return append(alternatives, pattern[start:i]), i + 1
			}
		}
	}
	return nil, -1
}

// wildcard reports whether text is what pattern stands for, each * being any
// run of bytes. With fold, ASCII case is ignored and pattern must be lower
// case. Like [matchSegments] it only ever goes back to the latest *.
func wildcard(pattern, text string, fold bool) bool {
	next, i := 0, 0
	latest, resume := -1, 0
	for i < len(text) {
		switch {
		case next < len(pattern) && pattern[next] == '*':
			latest, resume = next, i
			next++
			if next == len(pattern) {
				return true
			}
		case next < len(pattern) && (pattern[next] == text[i] || fold && pattern[next] == lower(text[i])):
			next, i = next+1, i+1
		case latest >= 0:
			resume = seek(text, resume+1, pattern[latest+1], fold)
			next, i = latest+1, resume
		default:
			return false
		}
	}
	for next < len(pattern) && pattern[next] == '*' {
		next++
	}
	return next == len(pattern)
}

// seek returns where c is next in text, from i on; len(text) if it is not.
func seek(text string, i int, c byte, fold bool) int {
	for i < len(text) && text[i] != c && (!fold || lower(text[i]) != c) {
		i++
	}
	return i
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
