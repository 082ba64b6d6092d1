package markdown

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// Mention is a link or a piece of inline code in a document.
type Mention struct {
	// Line is where it is, from 1.
	Line int
	// Text is where the link leads, or the code.
	Text string
}

var (
	code     = regexp.MustCompile("(`+)([^`]|[^`].*?[^`])(`+)")
	link     = regexp.MustCompile(`\]\(<?([^()\s>]+)>?(?: +"[^"]*")?\)`)
	heading  = regexp.MustCompile(`^#{1,6} +(.*?)(?: +#+)?$`)
	linkText = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
	anchored = regexp.MustCompile(`<a (?:id|name)="([^"]+)">`)
)

// outside returns the lines of a document that are in no fenced block; the others
// are empty.
func outside(text string) ([]string, error) {
	blocks, err := Blocks(text)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for _, b := range blocks {
		clear(lines[b.Line-1 : b.End])
	}
	return lines, nil
}

// Links returns where a document's links and pictures lead. The error is an
// [Error].
func Links(text string) (links []Mention, err error) {
	lines, err := outside(text)
	for i, line := range lines {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(line, "code"), -1) {
			links = append(links, Mention{i + 1, m[1]})
		}
	}
	return links, err
}

// Code returns the inline code of a document. The error is an [Error].
func Code(text string) (spans []Mention, err error) {
	lines, err := outside(text)
	for i, line := range lines {
		for _, m := range code.FindAllStringSubmatch(line, -1) {
			if m[1] == m[3] {
				spans = append(spans, Mention{i + 1, strings.TrimSpace(m[2])})
			}
		}
	}
	return spans, err
}

// Anchors returns the names of a document's headings that links lead to, as GitHub
// makes them: lower case, hyphens for spaces, without punctuation, and with a number
// where there is one of that name already. The error is an [Error].
func Anchors(text string) (map[string]bool, error) {
	lines, err := outside(text)
	anchors := map[string]bool{}
	for _, line := range lines {
		if m := anchored.FindStringSubmatch(line); m != nil {
			anchors[m[1]] = true
		}
		m := heading.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		name := slug(linkText.ReplaceAllString(m[1], "$1"))
		for n, first := 1, name; anchors[name]; n++ {
			name = first + "-" + strconv.Itoa(n)
		}
		anchors[name] = true
	}
	return anchors, err
}

func slug(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '-':
			return '-'
		case r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, title)
}
