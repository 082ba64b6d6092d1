package classifier

import (
	"errors"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"testing"
)

// testFields looks up headers and query parameters in two maps.
type testFields struct {
	headers, query map[string]string // headers by canonical name
}

func (f *testFields) Header(name string) (string, bool) {
	value, ok := f.headers[textproto.CanonicalMIMEHeaderKey(name)]
	return value, ok
}

func (f *testFields) Query(name string) (string, bool) {
	value, ok := f.query[name]
	return value, ok
}

func withHeaders(headers map[string]string) *Request {
	return &Request{Method: "GET", Path: "/", Fields: &testFields{headers: headers}}
}

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// sample is the request that the table of TestMatch asks about.
func sample() *Request {
	return &Request{
		Method:   "POST",
		Host:     "API.Example.com",
		Path:     "/reports/daily",
		Source:   netip.MustParseAddr("::ffff:10.1.2.3"),
		BodySize: 1000,
		Fields: &testFields{
			headers: map[string]string{
				"User-Agent":   "GoogleBot/2.1",
				"X-Plan":       "Gold",
				"X-Empty":      "",
				"Content-Type": "Application/JSON; charset=utf-8",
			},
			query: map[string]string{"page": "Two", "empty": ""},
		},
	}
}

func TestMatch(t *testing.T) {
	header := func(name, value string) Match { return Match{Headers: map[string]string{name: value}} }
	query := func(name, value string) Match { return Match{Query: map[string]string{name: value}} }
	for _, test := range []struct {
		name  string
		match Match
		want  bool
	}{
		{"nothing asked", Match{}, true},

		{"method", Match{Methods: []string{"GET", "POST"}}, true},
		{"other method", Match{Methods: []string{"GET"}}, false},
		{"methods have a case", Match{Methods: []string{"post"}}, false},

		{"host", Match{Hosts: []string{"api.example.com"}}, true},
		{"host with the root's dot", Match{Hosts: []string{"api.example.com."}}, true},
		{"one of the hosts", Match{Hosts: []string{"a.org", "*.Example.com"}}, true},
		{"any depth below", Match{Hosts: []string{"*.com"}}, true},
		{"not below itself", Match{Hosts: []string{"*.api.example.com"}}, false},
		{"a suffix is not below", Match{Hosts: []string{"*.xample.com"}}, false},

		{"path", Match{Path: "/reports/**"}, true},
		{"other path", Match{Path: "/jobs/**"}, false},

		{"IPv4 network, mapped address", Match{Sources: prefixes("192.168.0.0/16", "10.0.0.0/8")}, true},
		{"a network inside of another", Match{Sources: prefixes("10.1.0.0/24", "10.0.0.0/8", "10.1.0.0/25")}, true},
		{"mapped network", Match{Sources: prefixes("::ffff:10.0.0.0/104")}, true},
		{"other network", Match{Sources: prefixes("11.0.0.0/8", "::/0")}, false},

		{"size in bounds", Match{MinSize: 1000, MaxSize: 1000}, true},
		{"too small", Match{MinSize: 1001}, false},
		{"too large", Match{MaxSize: 999}, false},

		{"header", header("x-plan", "Gold"), true},
		{"an exact value has a case", header("X-Plan", "gold"), false},
		{"header glob ignores case", header("User-Agent", "*BOT*"), true},
		{"other header glob", header("User-Agent", "*curl*"), false},
		{"header present", header("X-Empty", "*"), true},
		{"header not present", header("X-None", "*"), false},
		{"header absent", header("X-None", "!"), true},
		{"header not absent", header("X-Plan", "!"), false},
		{"header empty", header("X-Empty", ""), true},
		{"absent is not empty", header("X-None", ""), false},
		{"header regexp", header("User-Agent", `~/\d+\.\d+$`), true},
		{"other header regexp", header("User-Agent", `~^bot`), false},
		{"absent for a regexp", header("X-None", `~`), false},
		{"all headers", Match{Headers: map[string]string{"X-Plan": "*", "X-None": "*"}}, false},

		{"query", query("page", "Two"), true},
		{"query glob has a case", query("page", "t*"), false},
		{"query names have a case", query("Page", "*"), false},
		{"query present", query("empty", "*"), true},
		{"query absent", query("none", "!"), true},

		{"content type", Match{ContentType: "application/json"}, true},
		{"content type glob", Match{ContentType: "*/json"}, true},
		{"other content type", Match{ContentType: "text/*"}, false},

		{"all fields", Match{
			Hosts: []string{"*.example.com"}, Path: "/reports/*", Methods: []string{"POST"},
			Headers: map[string]string{"X-Plan": "*"}, Query: map[string]string{"page": "*"},
			Sources: prefixes("10.0.0.0/8"), MinSize: 1, MaxSize: 2000, ContentType: "application/*",
			Expr: `request.size > 10`,
		}, true},
		{"all but the last", Match{Path: "/reports/*", Methods: []string{"POST"}, Expr: `request.size < 10`}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			matcher, err := Compile(test.match)
			if err != nil {
				t.Fatal(err)
			}
			if got := matcher.Matches(sample()); got != test.want {
				t.Errorf("Matches = %v, want %v", got, test.want)
			}
		})
	}
}

// What a request lacks never matches, and never panics.
func TestMatchEmptyRequest(t *testing.T) {
	for name, match := range map[string]Match{
		"hosts":   {Hosts: []string{"*.example.com"}},
		"path":    {Path: "/**"},
		"headers": {Headers: map[string]string{"A": "*"}},
		"query":   {Query: map[string]string{"a": "*"}},
		"sources": {Sources: prefixes("0.0.0.0/0", "::/0")},
		"type":    {ContentType: "*"},
		"expr":    {Expr: `request.headers["a"] != "" || request.source != ""`},
	} {
		matcher, err := Compile(match)
		if err != nil {
			t.Fatal(name, err)
		}
		if matcher.Matches(&Request{}) {
			t.Errorf("%s: matches an empty request", name)
		}
	}
}

func TestMatchAddresses(t *testing.T) {
	hosts, err := Compile(Match{Hosts: []string{"[::1]"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"::1", "[::1]"} {
		if !hosts.Matches(&Request{Host: host}) {
			t.Errorf("host %s does not match", host)
		}
	}
	sources, err := Compile(Match{Sources: prefixes("fe80::/10")})
	if err != nil {
		t.Fatal(err)
	}
	if !sources.Matches(&Request{Source: netip.MustParseAddr("fe80::1%eth0")}) {
		t.Error("an address with a zone is not in its network")
	}
}

// An unknown size may be any: it is at least a minimum, and not within a maximum.
func TestMatchUnknownSize(t *testing.T) {
	for _, test := range []struct {
		minSize, maxSize int64
		want             bool
	}{{0, 0, true}, {1 << 20, 0, true}, {0, 1 << 20, false}, {1, 2, false}} {
		matcher, err := Compile(Match{MinSize: test.minSize, MaxSize: test.maxSize})
		if err != nil {
			t.Fatal(err)
		}
		if got := matcher.Matches(&Request{BodySize: -1}); got != test.want {
			t.Errorf("sizes %d to %d match an unknown size: %v", test.minSize, test.maxSize, got)
		}
	}
}

// Compile tells everything that is wrong, each with its field.
func TestCompileErrors(t *testing.T) {
	_, err := Compile(Match{
		Hosts:   []string{"example.com:80", "*", "*.", "a*b.org", ""},
		Path:    "reports",
		Methods: []string{""},
		Headers: map[string]string{"X-B": "~(", "X-A": "~["},
		Query:   map[string]string{"q": "~*"},
		Sources: []netip.Prefix{{}},
		MinSize: 2, MaxSize: 1,
		Expr: `request.size`,
	})
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("error %v is not joined", err)
	}
	var got []string
	for _, err := range joined.Unwrap() {
		match, ok := errors.AsType[*MatchError](err)
		if !ok {
			t.Fatalf("%v is no MatchError", err)
		}
		if !strings.HasPrefix(match.Error(), match.Field+": ") {
			t.Errorf("error %q does not start with its field", match)
		}
		got = append(got, strings.TrimSuffix(match.Field+"."+match.Key, "."))
	}
	want := []string{"headers.X-A", "headers.X-B", "query.q", "hosts", "hosts", "hosts", "hosts", "hosts",
		"sources", "methods", "size", "path", "expr"}
	if !slices.Equal(got, want) {
		t.Errorf("wrong fields %q, want %q", got, want)
	}
}

// FuzzMatch looks for patterns that compile and then panic.
func FuzzMatch(f *testing.F) {
	f.Add("/a/{b,c}/**", "*.example.com", "*bot*", `request.path == "/"`, "/a/b", "x.example.com", "robot")
	f.Add("/**", "[::1]", "~^a+$", `request.headers["x"].matches("a")`, "", "[", "aaa")
	f.Add("/*", ".", "!", `"x" in request.query`, "//", ".", "")
	f.Fuzz(func(t *testing.T, glob, hostPattern, value, expr, path, host, header string) {
		matcher, err := Compile(Match{
			Path: glob, Hosts: []string{hostPattern}, ContentType: value, Expr: expr,
			Headers: map[string]string{"X": value}, Query: map[string]string{"x": value},
		})
		if err != nil {
			return
		}
		r := &Request{Path: path, Host: host, Fields: &testFields{
			headers: map[string]string{"X": header, "Content-Type": header},
			query:   map[string]string{"x": header},
		}}
		at := matcher.miss(r)
		if matcher.Matches(r) != (at.field == fieldNone) {
			t.Errorf("two answers for %+v", r)
		}
		matcher.seen(r, at)
	})
}
