package config

import (
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"overtake/classifier"
)

// validateSpelling reports what a request could have only in theory, and is
// nearly always another spelling of what was meant.
func (v validator) validateSpelling(path string, m Match) {
	for i, method := range m.Methods {
		if upper := strings.ToUpper(method); method != upper {
			v.wrong(item(path+".methods", i), method, "matches no request, as methods have a case", "write "+upper)
		}
	}
	spelled := make(map[string]string, len(m.Headers))
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		if other, twice := spelled[strings.ToLower(name)]; twice {
			v.problem(join(path+".headers", name), "keep one of them", "is the same header as %s", other)
		}
		spelled[strings.ToLower(name)] = name
	}
	if strings.ContainsAny(m.Path, "?#") {
		v.wrong(path+".path", m.Path, "matches no request, as a query is not part of a path", "match it with query")
	} else if decoded, err := url.PathUnescape(m.Path); err == nil && decoded != m.Path {
		v.wrong(path+".path", m.Path, "matches no request, as paths are compared decoded", "write "+decoded)
	}
}

// validateMatch reports what package classifier finds wrong with a match.
func (v validator) validateMatch(path string, m Match) {
	if m.Size != nil && m.Size.Max > 0 && m.Size.Min > m.Size.Max {
		v.problem(path+".size.min", "swap them", "%s is more than max, %s", m.Size.Min, m.Size.Max)
		m.Size = nil
	}
	v.validateSpelling(path, m)
	if _, err := classifier.Compile(m.Spec()); err != nil {
		for _, e := range matchErrors(err) {
			at := join(path, e.Field)
			if e.Key != "" {
				at = join(at, e.Key)
			}
			if v.anyBroken(at) {
				continue
			}
			// The text of the error may quote the value.
			if v.anyWritten(at) {
				v.problem(at, "", "is not a pattern, after its variables are replaced")
				continue
			}
			v.problem(at, "", "%v", e.Err)
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
	return []*classifier.MatchError{{Field: "expr", Err: err}}
}

// reachable warns of a rule or route that an earlier one always wins over.
func (v validator) reachable(path, list string, before []Match, m Match) {
	for i, earlier := range before {
		switch {
		case earlier.isEverything():
			v.warn(path, "is never reached: %s matches everything", item(list, i))
			return
		case sameMatch(earlier, m):
			v.warn(path, "is never reached: %s has the same match", item(list, i))
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
