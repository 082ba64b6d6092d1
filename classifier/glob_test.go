package classifier

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPathGlob(t *testing.T) {
	for _, test := range []struct {
		pattern  string
		match    []string
		mismatch []string
	}{
		{"/", []string{"/", "/a", "/a/b", "*", ""}, nil},
		{"/reports", []string{"/reports"}, []string{"/", "/reports/", "/reports/x", "/Reports", "/reportsx"}},
		{"/reports/", []string{"/reports/"}, []string{"/reports", "/reports/x"}},
		{"/reports/*", []string{"/reports/x", "/reports/"}, []string{"/reports", "/reports/x/y", "/reports/x/"}},
		{"/reports/**", []string{"/reports", "/reports/", "/reports/x", "/reports/x/y/"}, []string{"/report", "/reportsx", "/a/reports"}},
		{"/**", []string{"/", "/a", "/a/b"}, []string{"*", "", "a/b"}},
		{"/**/b", []string{"/b", "/a/b", "/b/b", "/a/a/b"}, []string{"/", "/b/", "/bb", "/a/b/c"}},
		{"/a/**/b/**/c", []string{"/a/b/c", "/a/x/b/y/z/c", "/a/b/c/b/c"}, []string{"/a/c", "/a/b", "/a/c/b"}},
		{"/**/*.js", []string{"/x.js", "/a/b/x.js", "/.js"}, []string{"/x.jsx", "/x.js/y"}},
		{"/v*/users", []string{"/v/users", "/v1/users"}, []string{"/v1/x/users", "/users"}},
		{"/a*b*c", []string{"/abc", "/axbxc", "/abcbc"}, []string{"/acb", "/ab/c"}},
		{"/{a,b}/x", []string{"/a/x", "/b/x"}, []string{"/c/x", "/{a,b}/x"}},
		{"/x{,/y}", []string{"/x", "/x/y"}, []string{"/x/", "/xy"}},
		{"/{,about}", []string{"/", "/about"}, []string{"/x", "*"}},
		{"/{api/v1,app{1,2}}/**", []string{"/api/v1/x", "/app1", "/app2/"}, []string{"/api", "/app", "/app12"}},
		{"/x{,/}", []string{"/x", "/x/"}, []string{"/", "/x/y"}},
		{"/{}", []string{"/"}, []string{"/x"}},
		{"/**/", []string{"/", "/a/", "/a/b/"}, []string{"/a"}},
		{"/.well-known/...", []string{"/.well-known/..."}, []string{"/"}},
		{"/a?[b]", []string{"/a?[b]"}, []string{"/axb"}},
	} {
		glob, err := compileGlob(test.pattern)
		if err != nil {
			t.Errorf("compileGlob(%q): %v", test.pattern, err)
			continue
		}
		for _, path := range test.match {
			if !glob.matches(path) {
				t.Errorf("%q does not match %q", test.pattern, path)
			}
		}
		for _, path := range test.mismatch {
			if glob.matches(path) {
				t.Errorf("%q matches %q", test.pattern, path)
			}
		}
	}
}

func TestPathGlobErrors(t *testing.T) {
	for pattern, want := range map[string]string{
		"reports":                   "starts with /",
		"*":                         "starts with /",
		"/{a,b":                     "{ without }",
		"/a}":                       "} without {",
		"/a}{b}":                    "} without {",
		"/{a,{b}":                   "{ without }",
		"/a**":                      "whole segments",
		"/{a,b**}":                  "whole segments",
		strings.Repeat("/{a,b}", 9): "alternatives",
	} {
		_, err := compileGlob(pattern)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("compileGlob(%q) = %v, want an error with %q", pattern, err, want)
		}
	}
}

// A pattern that no path is, once its slashes are merged and its dot segments resolved,
// is refused with what to write instead.
func TestUnreachableGlobs(t *testing.T) {
	for pattern, want := range map[string]string{
		"//":            "matches no request, as paths are compared with doubled slashes merged; write /{} for the front page, or / for every path",
		"/a//b":         "matches no request, as paths are compared with doubled slashes merged; write /a/b",
		"/a//":          "matches no request, as paths are compared with doubled slashes merged; write /a/",
		"//*/b":         "matches no request, as paths are compared with doubled slashes merged; write /*/b",
		"/**//b":        "matches no request, as paths are compared with doubled slashes merged; write /**/b",
		"/{,v1}/users":  "its //users matches no request, as paths are compared with doubled slashes merged; write the braces so that it becomes /users",
		"/{,a}/":        "its // matches no request, as paths are compared with doubled slashes merged; write the braces so that it becomes /",
		"/./":           "matches no request, as paths are compared without dot segments; write /{} for the front page, or / for every path",
		"/..":           "matches no request, as paths are compared without dot segments; write /{} for the front page, or / for every path",
		"/a/.":          "matches no request, as paths are compared without dot segments; write /a/",
		"/a/../b":       "matches no request, as paths are compared without dot segments; write /b",
		"/a/b/..":       "matches no request, as paths are compared without dot segments; write /a/",
		"/a/**/../b":    "matches no request, as paths are compared without dot segments; leave out .. and what it leads back from",
		"/a/{b,.}/c":    "its /a/./c matches no request, as paths are compared without dot segments; write the braces so that it becomes /a/c",
		"/a/.{,.,b}.//": "its /a/..// matches no request, as paths are compared without dot segments; write the braces so that it becomes /",
	} {
		_, err := Compile(Match{Path: pattern})
		e, ok := errors.AsType[*MatchError](err)
		if !ok {
			t.Errorf("%q is taken: %v", pattern, err)
			continue
		}
		if got := fmt.Sprintf("%v; %s", e.Err, e.Remedy); got != fmt.Sprintf("%q: %s", pattern, want) {
			t.Errorf("%s\nwant: %s", got, want)
		}
	}
}

func TestWildcard(t *testing.T) {
	for _, test := range []struct {
		pattern, text string
		fold, want    bool
	}{
		{"*bot*", "Mozilla/5.0 (compatible; GoogleBot/2.1)", true, true},
		{"*bot*", "GoogleBot", false, false},
		{"*bot", "bot/bot", true, true},
		{"a*", "", false, false},
		{"*", "", false, true},
		{"", "", false, true},
		{"**", "x", false, true},
		{"x*", "\u212a", true, false}, // KELVIN SIGN: only ASCII is folded
	} {
		if got := wildcard(test.pattern, test.text, test.fold); got != test.want {
			t.Errorf("wildcard(%q, %q, fold %v) = %v", test.pattern, test.text, test.fold, got)
		}
	}
}

// FuzzGlob compares the matcher with a translation into a regular expression, and what is
// refused with a search for it.
func FuzzGlob(f *testing.F) {
	f.Add("/reports/**", "/reports")
	f.Add("/a/**/b/**/*c*d", "/a/b/b/xcxdd")
	f.Add("/{a,b{c,d/**}}/x", "/bd/y/x")
	f.Add("/**/**", "//")
	f.Add("/x{,/y}*", "/x/yz")
	f.Add("/{}", "/x")
	f.Add("/x{,/}/", "/x/")
	f.Add("/{.,a}{,.}/b", "/a/b")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		if !utf8.ValidString(pattern) || !utf8.ValidString(path) {
			t.Skip("regexp matches runes")
		}
		if strings.Count(pattern, "{") > 5 || strings.Count(pattern, ",") > 20 {
			t.Skip("the naive expansion is exponential")
		}
		glob, err := compileGlob(pattern)
		if err != nil && !strings.Contains(err.Error(), "matches no request") {
			return
		}
		texts := naiveExpansion(pattern)
		if unreachable := slices.ContainsFunc(texts, unlikePaths.MatchString); unreachable != (err != nil) {
			t.Fatalf("%q is taken as %v, with the texts %q", pattern, err, texts)
		}
		if err != nil {
			return
		}
		want := pattern == "/" || slices.ContainsFunc(texts, func(text string) bool { return naiveGlob(t, text, path) })
		if got := glob.matches(path); got != want {
			t.Errorf("%q matches %q: %v, the regular expression says %v", pattern, path, got, want)
		}
	})
}

var (
	innermostBraces = regexp.MustCompile(`(?s)\{[^{}]*\}`)
	// unlikePaths finds what no path has that is compared.
	unlikePaths = regexp.MustCompile(`//|/\.\.?(/|$)`)
)

// naiveExpansion expands braces from the inside out, where [expandBraces] goes from left
// to right.
func naiveExpansion(pattern string) (texts []string) {
	at := innermostBraces.FindStringIndex(pattern)
	if at == nil {
		return []string{pattern}
	}
	for alternative := range strings.SplitSeq(pattern[at[0]+1:at[1]-1], ",") {
		texts = append(texts, naiveExpansion(pattern[:at[0]]+alternative+pattern[at[1]:])...)
	}
	return texts
}

// naiveGlob leaves the matching of what braces expand to to package regexp.
func naiveGlob(t *testing.T, text, path string) bool {
	var expr strings.Builder
	expr.WriteString(`(?s)^`)
	for segment := range strings.SplitSeq(text[1:], "/") {
		if segment == "**" {
			expr.WriteString(`(/[^/]*)*`)
			continue
		}
		expr.WriteString("/" + strings.ReplaceAll(regexp.QuoteMeta(segment), `\*`, `[^/]*`))
	}
	re, err := regexp.Compile(expr.String() + `$`)
	if err != nil {
		t.Skip(err) // a pattern too large for regexp
	}
	return strings.HasPrefix(path, "/") && re.MatchString(path)
}
