package content

import (
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// Mistake is one thing that is wrong with a [Spec].
type Mistake struct {
	// Place is method, path, query.NAME, headers.NAME, body.text or body.size.
	Place string
	What  string
	Hint  string // what to write instead
}

// Error is place, mistake and remedy in a line.
func (m Mistake) Error() string { return m.Place + ": " + m.What + "; " + m.Hint }

// compiled is what a [Spec] is when it was read.
type compiled struct {
	method        string
	path, text    template
	query, fields []template
}

// compile reads the templates and finds all that is wrong.
func (s Spec) compile() (c compiled, mistakes []error) {
	add := func(place, hint, format string, args ...any) {
		mistakes = append(mistakes, Mistake{Place: place, What: fmt.Sprintf(format, args...), Hint: hint})
	}
	read := func(place, text string, escape func(string) string) template {
		t, w := compile(text, escape)
		if w != nil {
			add(place, w.hint, "in %q: %s", short(text), w.what)
		}
		return t
	}
	c.method = s.Method
	if c.method == "" {
		c.method = "GET"
	}
	if len(c.method) > 32 || strings.ContainsFunc(c.method, func(r rune) bool { return r < 'A' || r > 'Z' }) {
		add("method", "write it as in GET", "%q is not 1 to 32 capital letters", short(s.Method))
	}
	c.path = read("path", s.Path, verbatim)
	if s.Path != "" && c.path != nil {
		s.checkPath(c.path, add)
	}
	if s.Path == "" && len(s.Query) > 0 {
		add("query", "give it a path", "is a query without a path")
	}
	for _, f := range s.Query {
		t := read("query."+f.Name, f.Value, url.QueryEscape)
		c.query = append(c.query, append(template{{text: url.QueryEscape(f.Name) + "="}}, t...))
	}
	for _, f := range s.Fields {
		place := "headers." + f.Name
		t := read(place, f.Value, verbatim)
		c.fields = append(c.fields, t)
		checkField(f, t, func(hint, format string, args ...any) { add(place, hint, format, args...) })
	}
	c.text = read("body.text", s.Text, verbatim)
	s.checkBody(add)
	return c, mistakes
}

type addMistake = func(place, hint, format string, args ...any)

// checkPath looks at all that the path can become, so that no draw is ever wrong.
func (s Spec) checkPath(t template, add addMistake) {
	first := t.texts(0)
	for _, text := range first {
		if !strings.HasPrefix(text, "/") {
			add("path", "write "+suggested("/"+strings.TrimPrefix(s.Path, "/")), "%q does not begin with '/'", short(s.Path))
			return
		}
	}
	if len(first) == 0 {
		add("path", "begin it with '/'", "%q does not begin with '/'", short(s.Path))
		return
	}
	for i := range t {
		for _, text := range t.texts(i) {
			if j := strings.IndexFunc(text, notInTarget); j >= 0 {
				r, _ := utf8.DecodeRuneInString(text[j:])
				add("path", "write it as "+encoded(text[j:])+", or move it to query, which is encoded",
					"%q has %q, which a request can't have there", short(s.Path), r)
				return
			}
		}
	}
}

// suggested is a value that is short enough to be shown as a remedy.
func suggested(text string) string {
	if len(text) > 80 {
		return "'/' before it"
	}
	return text
}

// encoded %-encodes the first character of text.
func encoded(text string) string {
	_, n := utf8.DecodeRuneInString(text)
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%%%02X", text[i])
	}
	return b.String()
}

// framing are fields that say where a message ends or what becomes of its
// connection (RFC 9112 section 6, RFC 9110 section 7.6.1).
var framing = map[string]string{
	"content-length":    "leave it out: it is sent as the body needs it",
	"transfer-encoding": "leave it out: bodies are sent with their length",
	"connection":        "leave it out: see connections",
	"keep-alive":        "leave it out: see connections",
	"upgrade":           "leave it out: answers are read as HTTP/1.1",
	"te":                "leave it out",
	"trailer":           "leave it out",
	"expect":            "leave it out: the body is sent at once",
}

func checkField(f Field, t template, add func(hint, format string, args ...any)) {
	if f.Name == "" || strings.ContainsFunc(f.Name, notInToken) {
		add("want letters, digits and any of !#$%&'*+-.^_`|~", "%q is not the name of a header field", short(f.Name))
		return
	}
	if hint, ok := framing[strings.ToLower(f.Name)]; ok {
		add(hint, "the generator sends %s itself where it belongs", f.Name)
	}
	for i := range t {
		for _, text := range t.texts(i) {
			if j := strings.IndexFunc(text, notInField); j >= 0 {
				r, _ := utf8.DecodeRuneInString(text[j:])
				add("want visible characters, spaces and tabs", "%q has %q, which a header field can't have", short(f.Value), r)
				return
			}
		}
	}
}

func (s Spec) checkBody(add addMistake) {
	given := 0
	for _, is := range []bool{len(s.Body) > 0, s.Text != "", s.Size != nil, s.BodyBytes != 0} {
		if is {
			given++
		}
	}
	if given > 1 {
		add("body", "keep one of them", "has %d of a content, a text, a size and a distribution of sizes", given)
	}
	if s.BodyBytes < 0 || s.BodyBytes > MaxBody {
		add("body.size", "want 0 to 1GiB", "is %d bytes", s.BodyBytes)
	}
	if s.Size != nil && s.Size.Largest() > MaxBody {
		add("body.size", "want at most 1GiB", "can be %v", s.Size.Largest())
	}
}

// texts are all that the i-th part can be, where that is not letters and digits
// alone.
func (t template) texts(i int) []string {
	switch {
	case i >= len(t):
		return nil
	case t[i].open == nil:
		return []string{t[i].text}
	}
	return t[i].texts
}

func verbatim(text string) string { return text }

// short is text as errors quote it.
func short(text string) string {
	if len(text) > 80 {
		return text[:80] + "..."
	}
	return text
}

func notInTarget(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }
func notInField(r rune) bool  { return r < ' ' && r != '\t' || r == 0x7f }
func notInToken(r rune) bool {
	alphanumeric := r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	return !alphanumeric && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}
