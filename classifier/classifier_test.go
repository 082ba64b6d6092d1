package classifier

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"unsafe"
)

// Ranks of the default classes.
const (
	interactive Class = iota
	standard
	batch
)

func defaultClasses(t testing.TB) Classes {
	t.Helper()
	classes, err := NewClasses("interactive", "standard", "batch")
	if err != nil {
		t.Fatal(err)
	}
	return classes
}

func newClassifier(t testing.TB, rules ...Rule) *Classifier {
	t.Helper()
	c, err := New(Config{Classes: defaultClasses(t), Default: standard, Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The first rule that matches decides; the default is for the rest.
func TestClassifyFirstMatchWins(t *testing.T) {
	c := newClassifier(t,
		Rule{Name: "reports", Class: batch, Match: Match{Path: "/reports/**"}},
		Rule{Name: "vip", Class: interactive, Match: Match{Headers: map[string]string{"X-Plan": "gold"}}},
		Rule{Class: batch, Match: Match{Methods: []string{"DELETE"}}},
	)
	gold := &testFields{headers: map[string]string{"X-Plan": "gold"}}
	for _, test := range []struct {
		request Request
		want    Decision
	}{
		{Request{Method: "GET", Path: "/reports/x", Fields: gold}, Decision{Class: batch, Rule: "reports"}},
		{Request{Method: "GET", Path: "/x", Fields: gold}, Decision{Class: interactive, Rule: "vip"}},
		{Request{Method: "DELETE", Path: "/x"}, Decision{Class: batch, Rule: "#3"}},
		{Request{Method: "GET", Path: "/x"}, Decision{Class: standard, Rule: RuleDefault}},
	} {
		if got := c.Classify(&test.request, Claim{}); got != test.want {
			t.Errorf("%s %s: %+v, want %+v", test.request.Method, test.request.Path, got, test.want)
		}
	}
}

// A trusted claim is believed. Any other claim can lower the class that the
// rules give, and never raise it.
func TestClassifyClaim(t *testing.T) {
	c := newClassifier(t, Rule{Name: "all", Class: standard})
	for _, test := range []struct {
		claim Claim
		want  Decision
	}{
		{Claim{Present: true, Trusted: true, Class: interactive}, Decision{Class: interactive, Rule: RuleTrusted}},
		{Claim{Present: true, Trusted: true, Class: batch}, Decision{Class: batch, Rule: RuleTrusted}},
		{Claim{Trusted: true}, Decision{Class: standard, Rule: "all"}},
		{Claim{Present: true, Class: interactive}, Decision{Class: standard, Rule: "all"}},
		{Claim{Present: true, Class: standard}, Decision{Class: standard, Rule: "all"}},
		{Claim{Present: true, Class: batch}, Decision{Class: batch, Rule: "all", Lowered: true}},
		{Claim{Class: batch}, Decision{Class: standard, Rule: "all"}},
		{Claim{Present: true, Trusted: true, Class: 3}, Decision{Class: standard, Rule: "all"}}, // of no class
		{Claim{Present: true, Class: 3}, Decision{Class: standard, Rule: "all"}},
	} {
		if got := c.Classify(&Request{}, test.claim); got != test.want {
			t.Errorf("%+v: %+v, want %+v", test.claim, got, test.want)
		}
	}
}

func TestExplain(t *testing.T) {
	c := newClassifier(t,
		Rule{Name: "jobs", Class: batch, Match: Match{Path: "/jobs/**", Methods: []string{"POST"}}},
		Rule{Name: "bots", Class: batch, Match: Match{Headers: map[string]string{"User-Agent": "*bot*"}}},
		Rule{Name: "paged", Class: batch, Match: Match{Query: map[string]string{"page": "*"}}},
		Rule{Name: "small", Class: interactive, Match: Match{MaxSize: 10}},
		Rule{Name: "broken", Class: interactive, Match: Match{Expr: `1 / request.size == 1 && request.size / 0 == 1`}},
		Rule{Name: "gold", Class: interactive, Match: Match{Expr: `request.path == "/jobs/1"`}},
		Rule{Name: "never reached", Class: batch},
	)
	r := &Request{Method: "POST", Path: "/work", BodySize: -1, Fields: &testFields{
		headers: map[string]string{"User-Agent": "curl/8"},
	}}
	got := c.Explain(r, Claim{})
	r.Path = "/jobs/1"
	r.Method = "PUT"
	again := c.Explain(r, Claim{Present: true, Class: batch})

	wantTrials := []Trial{
		{Rule: "jobs", Class: batch, Field: "path", Seen: `"/work"`},
		{Rule: "bots", Class: batch, Field: "headers", Key: "User-Agent", Seen: `"curl/8"`},
		{Rule: "paged", Class: batch, Field: "query", Key: "page", Seen: "absent"},
		{Rule: "small", Class: interactive, Field: "size", Seen: "unknown"},
		{Rule: "broken", Class: interactive, Field: "expr", Seen: "false"},
		{Rule: "gold", Class: interactive, Field: "expr", Seen: "false"},
		{Rule: "never reached", Class: batch, Matched: true},
	}
	if got.Rule != "never reached" || !reflect.DeepEqual(got.Trials, wantTrials) {
		t.Errorf("explanation\n%+v\nwant\n%+v", got.Trials, wantTrials)
	}

	wantTrials = wantTrials[:6]
	wantTrials[0].Field, wantTrials[0].Seen = "methods", `"PUT"`
	wantTrials[5] = Trial{Rule: "gold", Class: interactive, Matched: true}
	want := Explanation{Decision{Class: batch, Rule: "gold", Lowered: true}, wantTrials}
	if !reflect.DeepEqual(again, want) {
		t.Errorf("explanation\n%+v\nwant\n%+v", again, want)
	}
}

func TestExplainFailedExpr(t *testing.T) {
	c := newClassifier(t, Rule{Name: "broken", Match: Match{Expr: `request.size / 0 == 1`}})
	e := c.Explain(&Request{}, Claim{})
	if e.Rule != RuleDefault || e.Trials[0].Seen != "division by zero" {
		t.Errorf("explanation %+v, want the default and a division by zero", e)
	}
	if n := c.ExprErrors(); n != 1 {
		t.Errorf("%d failed expressions, want 1", n)
	}
}

// An explanation outlives the buffer that the request was read into.
func TestExplainKeepsNothing(t *testing.T) {
	c := newClassifier(t, Rule{Name: "put", Match: Match{Methods: []string{"PUT"}}})
	buffer := []byte("GET")
	e := c.Explain(&Request{Method: unsafe.String(&buffer[0], len(buffer))}, Claim{})
	copy(buffer, "XXX")
	if got, want := e.Trials[0].Seen, `"GET"`; got != want {
		t.Errorf("seen %s after the buffer changed, want %s", got, want)
	}
}

func TestNewErrors(t *testing.T) {
	_, err := New(Config{Classes: defaultClasses(t), Default: 3, Rules: []Rule{
		{Name: "default"},
		{Name: "high", Class: 9},
		{Name: "path", Match: Match{Path: "x"}},
	}})
	for _, want := range []string{"default class 3", `rule "default"`, "class 9 of 3", `rule "path": path: "x"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
}

func TestBuiltin(t *testing.T) {
	c := newClassifier(t, Builtin(defaultClasses(t))...)
	for _, test := range []struct {
		headers map[string]string
		want    Decision
	}{
		{map[string]string{"Sec-Purpose": "prefetch;prerender", "Sec-Fetch-Mode": "navigate"}, Decision{Class: batch, Rule: "builtin:prefetch"}},
		{map[string]string{"Purpose": "prefetch"}, Decision{Class: batch, Rule: "builtin:prefetch-legacy"}},
		{map[string]string{"Priority": "u=5"}, Decision{Class: batch, Rule: "builtin:low-urgency"}},
		{map[string]string{"Priority": "i, u=7;x=1"}, Decision{Class: batch, Rule: "builtin:low-urgency"}},
		{map[string]string{"Priority": "u=4, i"}, Decision{Class: standard, Rule: RuleDefault}},
		{map[string]string{"Priority": "u=50, xu=5"}, Decision{Class: standard, Rule: RuleDefault}},
		{map[string]string{"Sec-Fetch-Mode": "navigate", "Priority": "u=0, i"}, Decision{Class: interactive, Rule: "builtin:navigation"}},
		{map[string]string{"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, Decision{Class: interactive, Rule: "builtin:fetch"}},
		{map[string]string{"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, Decision{Class: standard, Rule: RuleDefault}},
		{nil, Decision{Class: standard, Rule: RuleDefault}},
	} {
		if got := c.Classify(withHeaders(test.headers), Claim{}); got != test.want {
			t.Errorf("%v: %+v, want %+v", test.headers, got, test.want)
		}
	}
}

// Without the default names there is nothing to map to.
func TestBuiltinOtherClasses(t *testing.T) {
	for _, names := range [][]string{{"fast", "slow"}, {"interactive", "batch"}, {"standard", "batch"}} {
		classes, err := NewClasses(names...)
		if err != nil {
			t.Fatal(err)
		}
		if rules := Builtin(classes); rules != nil {
			t.Errorf("%d rules for classes %q", len(rules), names)
		}
	}
}

// benchmarkRules are n rules that the sample request passes by, and then one
// that matches.
func benchmarkRules(n int) []Rule {
	var rules []Rule
	for i := range n {
		rules = append(rules, Rule{Class: batch, Match: Match{
			Path: fmt.Sprintf("/{app,api}/v%d/**/*.json", i), Methods: []string{"POST"},
		}})
	}
	return append(rules, Rule{Name: "last", Class: batch, Match: Match{
		Methods: []string{"GET", "POST"},
		Hosts:   []string{"*.example.com"},
		Path:    "/**/daily",
		Sources: prefixes("10.0.0.0/8"),
		MinSize: 1,
		Headers: map[string]string{"User-Agent": "*bot*", "X-None": "!", "X-Plan": "~^(Gold|Silver)$"},
		Query:   map[string]string{"page": "T*"},

		ContentType: "application/json",
	}})
}

func TestClassifyDoesNotAllocate(t *testing.T) {
	c := newClassifier(t, benchmarkRules(3)...)
	fields := sample().Fields
	want := Decision{Class: batch, Rule: "last"}
	allocs := testing.AllocsPerRun(1000, func() {
		// On the stack: nothing of a request may be kept.
		r := Request{
			Method: "POST", Host: "api.example.com", Path: "/reports/daily",
			Source: netip.AddrFrom4([4]byte{10, 1, 2, 3}), BodySize: 1000, Fields: fields,
		}
		if got := c.Classify(&r, Claim{}); got != want {
			t.Fatalf("decision %+v", got)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkClassify(b *testing.B) {
	for name, rules := range map[string][]Rule{
		"rules=1":    benchmarkRules(0),
		"rules=10":   benchmarkRules(9),
		"rules=1000": benchmarkRules(999),
		"builtin":    Builtin(defaultClasses(b)),
		"expr":       {{Name: "vip", Match: Match{Expr: `request.headers["x-plan"] == "gold" && request.size < 65536`}}},
	} {
		b.Run(name, func(b *testing.B) {
			c := newClassifier(b, rules...)
			r := sample()
			b.ReportAllocs()
			for b.Loop() {
				c.Classify(r, Claim{})
			}
		})
	}
}
