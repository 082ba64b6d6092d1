package classifier

import (
	"reflect"
	"slices"
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
	want := Explanation{Decision: Decision{Class: batch, Rule: "gold", Lowered: true}, Trials: wantTrials, Tested: 6}
	if !reflect.DeepEqual(again, want) {
		t.Errorf("explanation\n%+v\nwant\n%+v", again, want)
	}
}

// observed is what an Observer was told.
type observed []string

func (o *observed) DryRun(rule, class string) { *o = append(*o, rule+" gives "+class) }

func (o *observed) ExprFailed(rule string) { *o = append(*o, rule+" failed") }

// A failed expression is false. It is told to the observer, and to those who ask why.
func TestExprFailed(t *testing.T) {
	var told observed
	c, err := New(Config{Classes: defaultClasses(t), Default: standard, Observer: &told, Rules: []Rule{
		{Name: "broken", Match: Match{Expr: `request.size / 0 == 1`}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	e := c.Explain(&Request{}, Claim{})
	if e.Rule != RuleDefault || e.Trials[0].Seen != "division by zero" || len(told) != 0 {
		t.Errorf("explanation %+v, want the default and a division by zero; told %q", e, told)
	}
	if d := c.Classify(&Request{}, Claim{}); d.Rule != RuleDefault || !slices.Equal(told, observed{"broken failed"}) {
		t.Errorf("decision %+v, told %q", d, told)
	}
}

// A rule in dry run decides nothing. The observer is told what it would have decided,
// with the request's wish and its flow's ceiling, when no rule before it decides.
func TestDryRun(t *testing.T) {
	var told observed
	c, err := New(Config{
		Classes: defaultClasses(t), Default: standard, Observer: &told,
		FlowHeader: "X-Api-Key", Ceilings: []Ceiling{{Name: "free", Class: standard, Keys: []string{"free-*"}}},
		Rules: []Rule{
			{Name: "try", Class: interactive, DryRun: true, Match: Match{Path: "/a/**"}},
			{Name: "a", Class: batch, Match: Match{Path: "/a/b"}},
			{Name: "late", Class: batch, DryRun: true},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path, key string
		claim     Claim
		want      Decision
		told      observed
	}{
		{"/a/b", "", Claim{}, Decision{Class: batch, Rule: "a"}, observed{"try gives interactive"}},
		{"/a/b", "free-1", Claim{}, Decision{Class: batch, Rule: "a"}, observed{"try gives standard"}},
		{"/a/c", "", Claim{}, Decision{Class: standard, Rule: RuleDefault}, observed{"try gives interactive", "late gives batch"}},
		{"/a/c", "", Claim{Present: true, Class: batch}, Decision{Class: batch, Rule: RuleDefault, Lowered: true}, observed{"try gives batch", "late gives batch"}},
		{"/c", "", Claim{}, Decision{Class: standard, Rule: RuleDefault}, observed{"late gives batch"}},
		{"/a/b", "", Claim{Present: true, Trusted: true, Class: batch}, Decision{Class: batch, Rule: RuleTrusted}, nil},
	} {
		told = nil
		r := &Request{Path: test.path, Fields: &testFields{headers: map[string]string{"X-Api-Key": test.key}}}
		if got := c.Classify(r, test.claim); got != test.want || !slices.Equal(told, test.told) {
			t.Errorf("%s of %q, %+v: %+v and %q, want %+v and %q", test.path, test.key, test.claim, got, told, test.want, test.told)
		}
	}
	e := c.Explain(&Request{Path: "/a/b"}, Claim{})
	want := []Trial{{Rule: "try", Class: interactive, Matched: true, DryRun: true}, {Rule: "a", Class: batch, Matched: true}}
	if !reflect.DeepEqual(e.Trials, want) {
		t.Errorf("explained by %+v, want %+v", e.Trials, want)
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
	const chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
	for _, test := range []struct {
		headers map[string]string
		class   Class
		rule    string
	}{
		{map[string]string{"Sec-Purpose": "prefetch;prerender", "Sec-Fetch-Mode": "navigate"}, batch, "builtin:prefetch"},
		{map[string]string{"Purpose": "prefetch"}, batch, "builtin:prefetch-legacy"},
		{map[string]string{"Priority": "u=5"}, batch, "builtin:low-urgency"},
		{map[string]string{"Priority": "i, u=7;x=1"}, batch, "builtin:low-urgency"},
		{map[string]string{"Priority": "u=4, i"}, standard, RuleDefault},
		{map[string]string{"Priority": "u=50, xu=5"}, standard, RuleDefault},
		{map[string]string{"Sec-Fetch-Mode": "navigate", "Priority": "u=0, i", "User-Agent": chrome}, interactive, "builtin:navigation"},
		{map[string]string{"Upgrade-Insecure-Requests": "1", "User-Agent": chrome}, interactive, "builtin:navigation-legacy"},
		{map[string]string{"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Priority": "u=1, i", "User-Agent": chrome}, interactive, "builtin:fetch"},
		{map[string]string{"Sec-Fetch-Mode": "same-origin", "Sec-Fetch-Dest": "empty"}, interactive, "builtin:fetch"},
		{map[string]string{"X-Requested-With": "XMLHttpRequest"}, interactive, "builtin:fetch-legacy"},
		{map[string]string{"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, standard, RuleDefault},
		{map[string]string{"User-Agent": "curl/8.15.0"}, standard, RuleDefault},
		{nil, standard, RuleDefault},
	} {
		if got := c.Classify(withHeaders(test.headers), Claim{}); got.Class != test.class || got.Rule != test.rule {
			t.Errorf("%v: %+v, want class %d by %s", test.headers, got, test.class, test.rule)
		}
	}
	for _, agent := range []string{
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
		"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/116.0.1938.76 Safari/537.36",
		"Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
		"Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)",
		"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
		"facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
		"Scrapy/2.11.2 (+https://scrapy.org)",
		"CCBot/2.0 (https://commoncrawl.org/faq/)",
	} {
		r := withHeaders(map[string]string{"User-Agent": agent, "Sec-Fetch-Mode": "navigate", "Upgrade-Insecure-Requests": "1"})
		if got := c.Classify(r, Claim{}); got.Class != batch || got.Rule != "builtin:crawler" {
			t.Errorf("%s: %+v, want a crawler", agent, got)
		}
	}
	for size, want := range map[int64]Class{-1: interactive, 0: interactive, bigUpload - 1: interactive, bigUpload: batch, 1 << 40: batch} {
		r := withHeaders(map[string]string{"X-Requested-With": "XMLHttpRequest"})
		r.BodySize = size
		if got := c.Classify(r, Claim{}); got.Class != want {
			t.Errorf("an upload of %d bytes: %+v, want class %d", size, got, want)
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
