package classifier

import (
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// valuePattern is what the value of one header or query parameter is compared
// with. See the package comment for its forms.
type valuePattern struct {
	name   string // of the header or parameter
	kind   valueKind
	text   string
	regexp *regexp.Regexp
	fold   bool
}

type valueKind uint8

const (
	exact valueKind = iota
	globbed
	present
	absent
	expression
)

func compileValue(name, text string, fold bool) (valuePattern, error) {
	p := valuePattern{name: name, text: text, fold: fold}
	switch {
	case text == "*":
		p.kind = present
	case text == "!":
		p.kind = absent
	case strings.HasPrefix(text, "~"):
		re, err := regexp.Compile(text[1:])
		if err != nil {
			return valuePattern{}, &mistake{err.Error(), "want an RE2 expression (golang.org/s/re2syntax); plain text needs no ~"}
		}
		p.kind, p.regexp = expression, re
	case strings.Contains(text, "*"):
		p.kind = globbed
		if fold {
			p.text = lowerASCII(text)
		}
	}
	return p, nil
}

func (p *valuePattern) matches(value string, ok bool) bool {
	switch p.kind {
	case present:
		return ok
	case absent:
		return !ok
	case expression:
		return ok && p.regexp.MatchString(value)
	case globbed:
		return ok && wildcard(p.text, value, p.fold)
	default:
		return ok && p.text == value
	}
}

// digrams are those that every value has that matches.
func (p *valuePattern) digrams() []uint16 {
	switch p.kind {
	case globbed:
		return literalDigrams(p.text).list()
	case expression:
		if re, err := syntax.Parse(p.text[1:], syntax.Perl); err == nil { // as package regexp does
			return regexpDigrams(re).list()
		}
	}
	return nil
}

// sortedNames returns the names in an order that does not change from one run
// to the next, so that explanations and errors don't either.
func sortedNames(values map[string]string) []string {
	return slices.Sorted(maps.Keys(values))
}

// lowerASCII leaves other letters alone, as the comparison in [wildcard] does.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lower(c)
	}
	return string(b)
}
