package config

import (
	"maps"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"overtake/classifier"
	"overtake/classifier/strictyaml"
)

// validateSpelling reports what a request could have only in theory, and is
// nearly always another spelling of what was meant.
func (v validator) validateSpelling(path string, m Match) {
	for i, method := range m.Methods {
		if method == "*" {
			v.Wrong(strictyaml.Item(path+".methods", i), method, "is no method", "leave methods out for all of them")
		}
		if upper := strings.ToUpper(method); method != upper && classifier.IsToken(method) {
			item, remedy := strictyaml.Item(path+".methods", i), "write "+upper
			if v.AnyReplaced(item) {
				remedy = "set it in capitals"
			}
			v.Wrong(item, method, "matches no request, as methods have a case", remedy)
		}
	}
	for name := range m.Query {
		if name == "" || strings.ContainsAny(name, "?&=") {
			v.Wrong(strictyaml.Join(path+".query", name), name, "is not the name of a parameter", "write page: \"2\" for ?page=2")
		}
	}
	spelled := make(map[string]string, len(m.Headers))
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		if other, twice := spelled[strings.ToLower(name)]; twice {
			v.Problem(strictyaml.Join(path+".headers", name), "keep one of them", "is the same header as %s", other)
		}
		spelled[strings.ToLower(name)] = name
	}
}

// validatePath is validateSpelling of a path; it reports whether nothing was wrong.
func (v validator) validatePath(path, pattern string) bool {
	if strings.ContainsAny(pattern, "?#") {
		v.Wrong(path, pattern, "matches no request, as a query is not part of a path", "match it with query")
		return false
	}
	decoded, err := url.PathUnescape(pattern)
	if err != nil || decoded == pattern {
		return true
	}
	remedy := "write what its escapes stand for"
	if !v.AnyReplaced(path) { // else it would quote what variables brought in
		remedy = withoutEscapes(pattern, decoded)
	}
	v.Wrong(path, pattern, "matches no request, as paths are compared decoded", remedy)
	return false
}

// withoutEscapes is what to write for a pattern that is decoded without its escapes. A
// path has no way to say what has a meaning in paths; an expression has.
func withoutEscapes(pattern, decoded string) string {
	if pattern[0] != '/' {
		decoded = "/" + decoded
	}
	special := readOtherwise(pattern, decoded)
	text := decoded
	if special != "" {
		text = strings.NewReplacer("*", "x", "{", "x", "}", "x").Replace(decoded)
	}
	_, err := classifier.Compile(classifier.Match{Path: text})
	remedy := "write " + decoded
	switch {
	case !utf8.ValidString(decoded):
		return "write * for bytes that are not UTF-8"
	case special != "" && (err != nil || strings.ContainsAny(pattern, "*{}")):
		return `write an RE2 expression with ` + strings.ReplaceAll(regexp.QuoteMeta(special), `\`, `\\`) +
			` in it, as expr: 'request.path.matches("^/a/[^/]*$")'`
	case special != "":
		remedy = "write expr: '" + strings.ReplaceAll("request.path == "+strconv.Quote(decoded), "'", "''") + "'"
	case err != nil:
		return matchErrors(err)[0].Remedy
	case strings.ContainsFunc(decoded, func(r rune) bool { return r == ' ' || r == ':' || !strconv.IsPrint(r) }):
		remedy = "write " + strconv.Quote(decoded) // YAML's escapes are the same
	}
	return strings.ReplaceAll(remedy, "${", "$${") // which is no variable
}

// readOtherwise returns the first character of decoded that would mean something else
// in a pattern than the escape that it came from; "" for none.
func readOtherwise(pattern, decoded string) string {
	depth := 0 // of braces
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '{':
			depth++
		case '}':
			depth--
		case '%':
			char, _ := url.PathUnescape(pattern[i : i+3]) // the whole could be decoded
			if strings.Contains("*{}?#", char) || char == "," && depth > 0 {
				return char
			}
			i += 2
		}
	}
	if again, err := url.PathUnescape(decoded); err == nil && again != decoded {
		return "%"
	}
	return ""
}

// validateMatch reports what package classifier finds wrong with a match.
func (v validator) validateMatch(path string, m Match) {
	if m.Size != nil && m.Size.Max > 0 && m.Size.Min > m.Size.Max {
		v.Problem(path+".size.min", "swap them", "%s is more than max, %s", m.Size.Min, m.Size.Max)
		m.Size = nil
	}
	v.validateSpelling(path, m)
	if !v.validatePath(path+".path", m.Path) {
		m.Path = ""
	}
	_, err := classifier.Compile(m.Spec())
	v.matchProblems(err, func(e *classifier.MatchError) string {
		at := strictyaml.Join(path, e.Field)
		if e.Key != "" {
			at = strictyaml.Join(at, e.Key)
		}
		if e.Item >= 0 {
			at = strictyaml.Item(at, e.Item)
		}
		return at
	})
}

// matchProblems reports the errors of classifier.Compile; at says where each one is.
func (v validator) matchProblems(err error, at func(*classifier.MatchError) string) {
	for _, e := range matchErrors(err) {
		path := at(e)
		switch {
		case v.AnyBroken(path):
		case v.AnyReplaced(path): // the text of the error may quote the value
			v.Problem(path, "look at what their values make of it", "is not a pattern, after its variables are replaced")
		default:
			v.Problem(path, e.Remedy, "%v", e.Err)
		}
	}
}

// matchErrors takes the error of classifier.Compile apart.
func matchErrors(err error) []*classifier.MatchError {
	switch e := err.(type) { //nolint:errorlint // the tree is walked here, part by part
	case *classifier.MatchError:
		return []*classifier.MatchError{e}
	case interface{ Unwrap() []error }:
		var all []*classifier.MatchError
		for _, part := range e.Unwrap() {
			all = append(all, matchErrors(part)...)
		}
		return all
	}
	return nil
}

// earlier is a match that was before another one in its list.
type earlier struct {
	path  string
	match Match
}

// reachable warns of what an earlier one always wins over.
func (v validator) reachable(path string, before []earlier, m Match) {
	for _, e := range before {
		switch {
		case e.match.isEverything():
			v.Warn(path, "is never reached: %s matches everything", e.path)
			return
		case sameMatch(e.match, m):
			v.Warn(path, "is never reached: %s has the same match", e.path)
			return
		}
	}
}

// isEverything says whether a match holds for every request.
func (m Match) isEverything() bool {
	if m.Path == "/" {
		m.Path = "" // the classifier's spelling of every path
	}
	return sameMatch(m, Match{})
}

// sameMatch compares what two matches mean; an empty list is none.
func sameMatch(a, b Match) bool {
	return a.Path == b.Path && a.ContentType == b.ContentType && a.Expr == b.Expr &&
		slices.Equal(a.Hosts, b.Hosts) && slices.Equal(a.Methods, b.Methods) && slices.Equal(a.Sources, b.Sources) &&
		maps.Equal(a.Headers, b.Headers) && maps.Equal(a.Query, b.Query) &&
		reflect.DeepEqual(sizeOrZero(a.Size), sizeOrZero(b.Size))
}

func sizeOrZero(s *SizeRange) SizeRange {
	if s == nil {
		return SizeRange{}
	}
	return *s
}
