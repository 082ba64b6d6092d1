package classifier

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"
)

// choices turns bytes into decisions, so that a fuzzer can change one at a time. When
// none are left, all are 0.
type choices struct{ left []byte }

func (c *choices) upTo(n int) int {
	if len(c.left) == 0 {
		return 0
	}
	b := c.left[0]
	c.left = c.left[1:]
	return int(b) % n
}

func (c *choices) oneIn(n int) bool { return c.upTo(n) == n-1 }

func (c *choices) of(texts ...string) string { return texts[c.upTo(len(texts))] }

// text is one of texts, or rarely whatever comes next.
func (c *choices) text(texts ...string) string {
	if !c.oneIn(32) {
		return c.of(texts...)
	}
	n := min(c.upTo(16), len(c.left))
	raw := string(c.left[:n])
	c.left = c.left[n:]
	return raw
}

func (c *choices) several(most int, next func() string) (all []string) {
	for range 1 + c.upTo(most) {
		all = append(all, next())
	}
	return all
}

func (c *choices) values(patterns bool) map[string]string {
	all := map[string]string{}
	for range 1 + c.upTo(2) {
		value := []string{"a", "b", "", "Bot", "robot/2", "ab", "a, b", "*bot*"}
		if patterns {
			value = []string{
				"a", "b", "", "*", "!", "*bot*", "a*b", "*b", "**", "*obo*2", "~bo+t", "~(?i)BOT", "~^(a|b)$", "~(ro)?bot/\\d", "~sk|ab", "~",
			}
		}
		all[c.text("A", "X-Plan", "User-Agent", "a")] = c.text(value...)
	}
	return all
}

func (c *choices) path(patterns bool) string {
	segments := []string{"a", "b", "ab", "", "A", "c.js"}
	if patterns {
		if c.oneIn(16) {
			return "/"
		}
		segments = append(segments, "*", "**", "a*", "*.js", "{a,b}", "{a/b,ab}", "{,b}", "a*b")
	}
	var path strings.Builder
	for range 1 + c.upTo(4) {
		path.WriteString("/" + c.text(segments...))
	}
	return path.String()
}

func (c *choices) match() (m Match) {
	host := func() string { return c.text("a.x", "b.a.x", "*.x", "*.a.x", "B.A.X.", "x", "[::1]", "*.b.a.x") }
	source := func() string {
		return c.of("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "255.255.0.0/16", "::/0", "fe80::/10", "0.0.0.0/0")
	}
	for range 1 + c.upTo(3) {
		switch c.upTo(9) {
		case 0:
			m.Path = c.path(true)
		case 1:
			m.Headers = c.values(true)
		case 2:
			m.Hosts = c.several(3, host)
		case 3:
			m.Methods = c.several(2, func() string { return c.text("GET", "POST", "PUT") })
		case 4:
			m.Query = c.values(true)
		case 5:
			m.Sources = prefixes(c.several(2, source)...)
		case 6:
			m.MinSize, m.MaxSize = int64(c.upTo(4)), int64(c.upTo(6))
		case 7:
			m.ContentType = c.text("text/*", "*/json", "TEXT/html", "*")
		case 8:
			m.Expr = c.of("", "", "", `request.path == "/a"`, `request.size / 0 == 1`)
		}
	}
	return m
}

func (c *choices) request() *Request {
	fields := &testFields{headers: map[string]string{}, query: c.values(false)}
	for name, value := range c.values(false) {
		fields.headers[strings.ToUpper(name[:min(1, len(name))])+name[min(1, len(name)):]] = value
	}
	if c.oneIn(2) {
		fields.headers["Content-Type"] = c.text("text/html; charset=utf-8", "Application/JSON", "")
	}
	r := &Request{
		Method: c.text("GET", "POST", "PUT", "X"), Path: c.path(false), Fields: fields,
		Host:     c.text("a.x", "A.x", "b.a.x", "c.b.a.x", "c.a.x.", "x", "y", "", "::1", ".a.x", "\u212a.x", strings.Repeat("a.", 200)+"x"),
		BodySize: int64(c.upTo(8)) - 1,
	}
	if c.oneIn(16) {
		r.Path = c.of("*", "", "a/b")
	}
	if text := c.of("", "10.1.2.3", "10.2.0.0", "255.255.255.255", "::ffff:10.1.2.4", "fe80::1%eth0", "::1", "11.0.0.0"); text != "" {
		r.Source = netip.MustParseAddr(text)
	}
	return r
}

// compareWithNaive makes rules and requests, and compares what a List says of them with
// testing each matcher in turn.
func compareWithNaive(t *testing.T, rules, requests int, data []byte) {
	c := &choices{left: data}
	var matchers []*Matcher
	var matches []Match
	for range rules {
		m := c.match()
		compiled, err := Compile(m)
		if err != nil {
			continue
		}
		matchers, matches = append(matchers, compiled), append(matches, m)
	}
	list := NewList(matchers, nil)
	for range requests {
		r := c.request()
		var want, got []int
		for i, m := range matchers {
			if m.Matches(r) {
				want = append(want, i)
			}
		}
		s := search{list: list}
		for i := s.next(r); i >= 0; i = s.next(r) {
			got = append(got, i)
		}
		if !slices.Equal(got, want) {
			differ := slices.IndexFunc(want, func(i int) bool { return !slices.Contains(got, i) })
			t.Fatalf("of %d rules, %+v matches\n%v, one by one it matches\n%v; the first that is missing is %+v",
				len(matchers), r, got, want, matches[want[max(differ, 0)]])
		}
		first := -1
		if len(want) > 0 {
			first = want[0]
		}
		if got := list.First(r); got != first {
			t.Fatalf("the first of %d rules that %+v matches is %d, want %d", len(matchers), r, got, first)
		}
		for i := range list.blocks {
			b := &list.blocks[i]
			if got, want := b.sources.at(r.source()), b.where(func(m *Matcher) bool { return fromSource(m, r.source()) }); *got != *want {
				t.Fatalf("from %s: %v, want %v", r.source(), got, want)
			}
			if got, want := b.sizes.at(r.BodySize), b.where(func(m *Matcher) bool { return m.containsSize(r.BodySize) }); *got != *want {
				t.Fatalf("of %d bytes: %v, want %v", r.BodySize, got, want)
			}
		}
	}
}

// FuzzList finds a list and a request about which the index is wrong.
func FuzzList(f *testing.F) {
	for seed := range byte(16) {
		f.Add(seed, randomBytes(uint64(seed), 100))
	}
	f.Fuzz(func(t *testing.T, rules byte, data []byte) { compareWithNaive(t, int(rules), 8, data) })
}

// TestListAgreesWithNaive does the same with lists of all sizes, up to several blocks.
func TestListAgreesWithNaive(t *testing.T) {
	for seed := range uint64(300) {
		compareWithNaive(t, 1+int(seed), 20, randomBytes(seed, 20_000))
	}
	compareWithNaive(t, 2*blockSize+100, 100, randomBytes(1, 200_000))
}

func randomBytes(seed uint64, n int) []byte {
	random := rand.New(rand.NewPCG(seed, 0))
	data := make([]byte, 0, n+8)
	for len(data) < n {
		data = binary.LittleEndian.AppendUint64(data, random.Uint64())
	}
	return data
}

// A block has room for so many columns; what is beyond is only not indexed.
func TestListOfMoreColumnsThanRoom(t *testing.T) {
	var matchers []*Matcher
	for i := range blockSize {
		m, err := Compile(Match{
			Headers: map[string]string{fmt.Sprintf("X-%d", i): "1"},
			Query:   map[string]string{fmt.Sprintf("q%d", i): "1"},
		})
		if err != nil {
			t.Fatal(err)
		}
		matchers = append(matchers, m)
	}
	list := NewList(matchers, nil)
	for _, i := range []string{"0", "700", "1023"} {
		fields := &testFields{headers: map[string]string{"X-" + i: "1"}, query: map[string]string{"q" + i: "1"}}
		if got := fmt.Sprint(list.First(&Request{Fields: fields})); got != i {
			t.Errorf("the first is %s, want %s", got, i)
		}
	}
	if got := list.First(&Request{}); got != -1 {
		t.Errorf("%d matches a request without headers", got)
	}
}

// Most rules are not tested: one miss strikes out all that ask for something else.
func TestListTestsFew(t *testing.T) {
	c := newClassifier(t, mixedRules(1000)...)
	for name, r := range mixedRequests() {
		if e := c.Explain(r, Claim{}); e.Tested > 30 {
			t.Errorf("%s: %d of 1000 rules tested, want at most 30", name, e.Tested)
		}
	}
}

// A text in which a regular expression is found has the digrams that it needs.
func FuzzRegexpDigrams(f *testing.F) {
	f.Add(`(?i)bot|crawler`, "xBOTx")
	f.Add(`a(bc)+d{2,3}(e|ef)?`, "abcbcdde")
	f.Add(`(?i)sky\x{212a}`, "\u017f\u212ayk")
	f.Add(`(?s)x.y|[xy]z`, "x\ny")
	f.Fuzz(func(t *testing.T, expr, text string) {
		re, err := regexp.Compile(expr)
		if err != nil || !re.MatchString(text) {
			return
		}
		parsed, err := syntax.Parse(expr, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		var has digrams
		has.add(text)
		for _, d := range regexpDigrams(parsed).list() {
			if !has[d] {
				t.Errorf("~%s is found in %q, which lacks the digram %d", expr, text, d)
			}
		}
	})
}
