package tracing

import (
	"regexp"
	"strings"
	"testing"
)

// The suite's own formats, with Level 2's keys that begin with a digit.
var (
	stateMemberRE = regexp.MustCompile(`^([a-z0-9][_0-9a-z\-*/]{0,255}|[0-9a-z][_0-9a-z\-*/]{0,240}@[a-z][_0-9a-z\-*/]{0,13})` +
		`=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$`)
	stateDelimiterRE = regexp.MustCompile(`[ \t]*,[ \t]*`)
)

// naiveTraceState is parseTraceState by the suite's formats. What it returns has
// no space between members.
func naiveTraceState(s string) string {
	var members []string
	keys, n := map[string]bool{}, 0
	for _, member := range stateDelimiterRE.Split(strings.Trim(s, " \t"), -1) {
		if member == "" {
			continue
		}
		key, _, _ := strings.Cut(member, "=")
		if n++; n > 32 || !stateMemberRE.MatchString(member) {
			return ""
		}
		if !keys[key] {
			keys[key] = true
			members = append(members, member)
		}
	}
	return strings.Join(members, ",")
}

func FuzzTraceState(f *testing.F) {
	for _, test := range w3cTests {
		for _, s := range test.sent {
			f.Add(strings.TrimPrefix(s, "tracestate: "))
		}
	}
	f.Add("a=1, b=2 ,\t,c= 3,b=4")
	f.Fuzz(func(t *testing.T, s string) {
		got := parseTraceState(s)
		if compact := naiveTraceState(got); compact != naiveTraceState(s) || (compact == "") != (got == "") {
			t.Errorf("%q is passed on as %q, want %q", s, got, naiveTraceState(s))
		}
		if parseTraceState(got) != got {
			t.Errorf("%q is passed on as %q, and then as %q", s, got, parseTraceState(got))
		}
	})
}
