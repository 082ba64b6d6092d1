package classifier

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"
)

// mixedRules are n rules as large installations have them: of every field, alone and
// together, most of them about something else than what a request is for.
func mixedRules(n int) []Rule {
	rules := make([]Rule, n)
	for i := range rules {
		m := &rules[i].Match
		rules[i].Class = Class(i % 3)
		switch i % 12 {
		case 0:
			m.Path = fmt.Sprintf("/api/v%d/orders/**", i)
		case 1:
			m.Hosts = []string{fmt.Sprintf("tenant-%d.example.com", i)}
		case 2:
			m.Path, m.Methods = fmt.Sprintf("/{app,api}/team-%d/*/export", i), []string{"POST", "PUT"}
		case 3:
			m.Headers = map[string]string{"User-Agent": fmt.Sprintf("*agent-%d/*", i)}
		case 4:
			m.Headers = map[string]string{"X-Api-Key": fmt.Sprintf("key-%d", i)}
		case 5:
			m.Sources = prefixes(fmt.Sprintf("10.%d.%d.0/24", i/256, i%256))
		case 6:
			m.Query, m.Path = map[string]string{"report": fmt.Sprintf("r%d", i)}, "/**"
		case 7:
			m.Path, m.MinSize = fmt.Sprintf("/**/upload-%d", i), 1<<20
		case 8:
			m.Headers = map[string]string{"Referer": fmt.Sprintf("~^https://partner-%d\\.example/", i)}
		case 9:
			m.Hosts, m.Path = []string{fmt.Sprintf("*.zone-%d.example.net", i)}, "/static/**"
		case 10:
			m.ContentType, m.Methods = fmt.Sprintf("application/vnd.app%d+json", i), []string{"POST"}
		case 11:
			m.MinSize, m.MaxSize = int64(i)<<20, int64(i+1)<<20
		}
	}
	return rules
}

// browserHeaders are those of a page's own call.
var browserHeaders = map[string]string{
	"Accept": "application/json, text/plain, */*", "Accept-Encoding": "gzip, deflate, br, zstd", "Accept-Language": "en-US,en;q=0.5",
	"Cookie":     "session=8f14e45fceea167a; theme=dark",
	"Referer":    "https://shop.example/checkout?step=2",
	"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
	"X-Api-Key":  "somebody", "Content-Type": "application/json; charset=utf-8",
}

// mixedRequests are requests to 1,000 mixed rules: one for early, late and no rules,
// and for patterns that can't be looked up.
func mixedRequests() map[string]*Request {
	browser := func(change func(r *Request, f *testFields)) *Request {
		f := &testFields{headers: map[string]string{}, query: map[string]string{"page": "2"}}
		maps.Copy(f.headers, browserHeaders)
		r := &Request{Method: "POST", Host: "shop.example", Path: "/cart/items/17", Source: netip.MustParseAddr("192.0.2.7"), BodySize: 120, Fields: f}
		change(r, f)
		return r
	}
	return map[string]*Request{
		"none":  browser(func(*Request, *testFields) {}),
		"path":  browser(func(r *Request, _ *testFields) { r.Path = "/api/v996/orders/7" }),
		"host":  browser(func(r *Request, _ *testFields) { r.Host = "tenant-997.example.com" }),
		"team":  browser(func(r *Request, _ *testFields) { r.Path = "/app/team-998/q3/export" }),
		"agent": browser(func(_ *Request, f *testFields) { f.headers["User-Agent"] = "agent-999/2.1" }),
		"key":   browser(func(_ *Request, f *testFields) { f.headers["X-Api-Key"] = "key-988" }),
		"partner": browser(func(_ *Request, f *testFields) {
			f.headers["Referer"] = "https://partner-992.example/"
		}),
		"type": browser(func(_ *Request, f *testFields) { f.headers["Content-Type"] = "application/vnd.app994+json" }),
	}
}

func matchersOf(t testing.TB, rules []Rule) (all []*Matcher) {
	t.Helper()
	for _, r := range rules {
		m, err := Compile(r.Match)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// The requests find the rules that they are made for.
func TestMixedRequests(t *testing.T) {
	c := newClassifier(t, mixedRules(1000)...)
	want := map[string]string{
		"none": RuleDefault, "path": "#997", "host": "#998", "team": "#999", "agent": "#1000", "key": "#989", "partner": "#993", "type": "#995",
	}
	for name, r := range mixedRequests() {
		if got := c.Classify(r, Claim{}); got.Rule != want[name] {
			t.Errorf("%s: %+v, want %s", name, got, want[name])
		}
	}
}

func TestClassifyDoesNotAllocate(t *testing.T) {
	c, err := New(Config{
		Classes: defaultClasses(t), Default: standard, Rules: append(mixedRules(100), Rule{Name: "last", Class: batch, Match: Match{
			Methods: []string{"GET", "POST"},
			Hosts:   []string{"*.example.com"},
			Path:    "/**/daily",
			Sources: prefixes("10.0.0.0/8"),
			MinSize: 1,
			Headers: map[string]string{"User-Agent": "*bot*", "X-None": "!", "X-Plan": "~^(Gold|Silver)$"},
			Query:   map[string]string{"page": "T*"},

			ContentType: "application/json",
		}}),
		FlowHeader: "X-Plan", Ceilings: []Ceiling{{Name: "gold", Class: batch, Keys: []string{"gold", "Gold"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	fields := sample().Fields
	allocs := testing.AllocsPerRun(1000, func() {
		// On the stack: nothing of a request may be kept.
		r := Request{
			Method: "POST", Host: "api.example.com", Path: "/reports/daily",
			Source: netip.AddrFrom4([4]byte{10, 1, 2, 3}), BodySize: 1000, Fields: fields,
		}
		if got := c.Classify(&r, Claim{}); got.Rule != "last" {
			t.Fatalf("decision %+v", got)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// BenchmarkClassify is the mean over requests that match late, in each way, or not at
// all. The same rules one by one are its peer.
func BenchmarkClassify(b *testing.B) {
	requests := mixedRequests()
	for _, n := range []int{1, 10, 100, 1000} {
		rules := mixedRules(1000)[1000-n:]
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkAll(b, newClassifier(b, rules...).Classify, requests) })
	}
	b.Run("builtin", func(b *testing.B) {
		benchmarkAll(b, newClassifier(b, Builtin(defaultClasses(b))...).Classify, requests)
	})
	b.Run("expr", func(b *testing.B) {
		c := newClassifier(b, Rule{Match: Match{Expr: `request.headers["x-plan"] == "gold" && request.size < 65536`}})
		benchmarkAll(b, c.Classify, requests)
	})
	b.Run("naive-1000", func(b *testing.B) {
		matchers := matchersOf(b, mixedRules(1000))
		benchmarkAll(b, func(r *Request, _ Claim) (d Decision) {
			for i, m := range matchers {
				if m.Matches(r) {
					d.Class = Class(i % 3)
					break
				}
			}
			return d
		}, requests)
	})
	for name, r := range requests {
		b.Run("1000-"+name, func(b *testing.B) {
			benchmarkAll(b, newClassifier(b, mixedRules(1000)...).Classify, map[string]*Request{name: r})
		})
	}
}

func benchmarkAll(b *testing.B, classify func(*Request, Claim) Decision, requests map[string]*Request) {
	var all []*Request
	for _, r := range requests {
		all = append(all, r)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		classify(all[i%len(all)], Claim{})
	}
}
