// Package markdown reads the project's documentation as its tests need it: which
// blocks are fenced, what the comments before them ask for, and what it links to.
// It knows as much of CommonMark as these documents use.
package markdown

import (
	"fmt"
	"regexp"
	"strings"
)

// Block is a fenced block of a document.
type Block struct {
	// Line is the line of the opening fence, from 1, and End that of the closing one.
	Line, End int
	// Language is the first word behind the fence, "" for none.
	Language string
	// Text is what is between the fences, without the fence's indentation.
	Text string
	// Directives are what the comments right before the block ask for, in their
	// order.
	Directives []Directive
}

// Directive is what a comment right before a block asks for.
type Directive struct {
	// Line is the line on which the comment begins, from 1.
	Line int
	// Name is one of those in [Names]; Text is what follows its colon.
	Name, Text string
}

// Names are the directives, each with whether it needs a text.
var Names = map[string]bool{"file": true, "append": true, "setup": true, "expect": true, "seconds": true, "offline": false}

// Error is a mistake in a document.
type Error struct {
	Line int // from 1
	Text string
}

func (e *Error) Error() string { return fmt.Sprintf("%d: %s", e.Line, e.Text) }

var (
	fence    = regexp.MustCompile("^( *)(`{3,}|~{3,})[ \t]*([^ \t`]*)([^`]*)$")
	quoted   = regexp.MustCompile("^ {0,3}>.*(```|~~~)")
	listItem = regexp.MustCompile(`^( *)([-*+]|[0-9]{1,9}[.)])( {1,4})\S`)
	named    = regexp.MustCompile(`(?s)^([A-Za-z][A-Za-z_-]*)\s*(:\s*(.*))?$`)
	tabbed   = regexp.MustCompile("^ *\t\\s*(`{3}|~{3})")
)

// scanner goes through the lines of a document.
type scanner struct {
	lines   []string
	next    int         // the line to read
	offsets []int       // where the text of the list items begins that are open
	pending []Directive // those that wait for their block
	blocks  []Block
}

// Blocks returns the fenced blocks of a document in their order. The error is an
// [Error].
func Blocks(text string) ([]Block, error) {
	s := &scanner{lines: strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")}
	for s.next < len(s.lines) {
		if err := s.line(); err != nil {
			return nil, err
		}
	}
	if len(s.pending) > 0 {
		return nil, s.misplaced()
	}
	return s.blocks, nil
}

// line reads one line that is in no block and no comment, and what it begins.
func (s *scanner) line() error {
	line := s.lines[s.next]
	trimmed := strings.TrimSpace(line)
	if trimmed == "" {
		s.next++
		return nil
	}
	indent := len(line) - len(strings.TrimLeft(line, " "))
	s.list(line, indent)
	if strings.HasPrefix(trimmed, "<!--") {
		return s.comment()
	}
	if m := fence.FindStringSubmatch(line); m != nil && s.opens(indent) && (m[2][0] == '~' || !strings.Contains(m[3]+m[4], "`")) {
		return s.block(indent, m[2], m[3])
	}
	if len(s.pending) > 0 {
		return s.misplaced()
	}
	if tabbed.MatchString(line) {
		return &Error{s.next + 1, "a block behind a tab is not run: indent it with spaces"}
	}
	if quoted.MatchString(line) {
		return &Error{s.next + 1, "a block in a quotation is not run: write it without the >"}
	}
	s.next++
	return nil
}

func (s *scanner) misplaced() error {
	d := s.pending[0]
	return &Error{d.Line, fmt.Sprintf("the comment %s: is not right before a fenced block", d.Name)}
}

// list follows which list items are open.
func (s *scanner) list(line string, indent int) {
	for len(s.offsets) > 0 && indent < s.offsets[len(s.offsets)-1] {
		s.offsets = s.offsets[:len(s.offsets)-1]
	}
	if m := listItem.FindString(line); m != "" && s.opens(indent) {
		s.offsets = append(s.offsets, len(m)-1)
	}
}

// opens reports whether what is indented by so much is no indented code, that is
// less than four spaces behind the text it is in.
func (s *scanner) opens(indent int) bool {
	if len(s.offsets) > 0 {
		indent -= s.offsets[len(s.offsets)-1]
	}
	return indent < 4
}

// block reads a fenced block from its opening fence to its end.
func (s *scanner) block(indent int, opening, language string) error {
	b := Block{Line: s.next + 1, Language: language, Directives: s.pending}
	s.pending = nil
	var text strings.Builder
	for s.next++; s.next < len(s.lines); s.next++ {
		line := s.lines[s.next]
		if closes(line, opening) {
			s.next++
			b.Text, b.End = text.String(), s.next
			s.blocks = append(s.blocks, b)
			return nil
		}
		for range indent { // CommonMark takes away as much as the fence has
			line = strings.TrimPrefix(line, " ")
		}
		text.WriteString(line + "\n")
	}
	return &Error{b.Line, "the block has no end: a line with nothing but " + opening + " is missing"}
}

// closes reports whether a line ends the block that began with opening: so many of
// the same character or more, and nothing else.
func closes(line, opening string) bool {
	line = strings.TrimSpace(line)
	return len(line) >= len(opening) && strings.Trim(line, opening[:1]) == ""
}

// comment reads a comment from its first line to its last.
func (s *scanner) comment() error {
	first := s.next + 1
	rest := strings.Join(s.lines[s.next:], "\n")
	text, after, closed := strings.Cut(strings.TrimLeft(rest, " ")[len("<!--"):], "-->")
	if !closed {
		return &Error{first, "the comment has no end: --> is missing"}
	}
	s.next += strings.Count(text, "\n") + 1
	d, err := directive(strings.TrimSpace(text))
	if err != "" {
		return &Error{first, err}
	}
	if d.Name == "" {
		return nil // a comment for whoever reads the source
	}
	if line, _, _ := strings.Cut(after, "\n"); strings.TrimSpace(line) != "" {
		return &Error{first, fmt.Sprintf("the comment %s is followed by text on its line", d.Name)}
	}
	d.Line = first
	s.pending = append(s.pending, d)
	return nil
}

// directive reads the text of a comment. Its Name is empty if it is none, and
// mistake says what is wrong about one.
func directive(text string) (d Directive, mistake string) {
	first, _, _ := strings.Cut(text, " ")
	m := named.FindStringSubmatch(text)
	if m == nil {
		if _, known := Names[first]; known {
			return d, fmt.Sprintf("a colon is missing: <!-- %s: ... -->", first)
		}
		return d, ""
	}
	needs, known := Names[m[1]]
	switch {
	case !known:
		return d, fmt.Sprintf("unknown comment %q: want file, append, setup, expect, seconds or offline", m[1])
	case needs && strings.TrimSpace(m[3]) == "":
		return d, fmt.Sprintf("the comment %s: says nothing", m[1])
	case !needs && m[2] != "":
		return d, fmt.Sprintf("the comment %s takes no text", m[1])
	}
	return Directive{Name: m[1], Text: m[3]}, ""
}
