package content

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"overtake/classifier/strictyaml"
	"overtake/loadgen/distribution"
)

func requests(t testing.TB, s Spec, seed uint64, name string, n int) []*Request {
	t.Helper()
	g, err := s.Open(seed, name)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]*Request, n)
	for i := range all {
		all[i] = g.Next()
	}
	return all
}

func targets(drawn []*Request) []string {
	all := make([]string, len(drawn))
	for i, r := range drawn {
		all[i] = r.Target
	}
	return all
}

var varied = Spec{
	Method: "POST",
	Path:   "/shop/{{zipf 1.1 500}}/{{hex 8}}",
	Query:  []Field{{"page", "{{int 1 20}}"}, {"q a", `{{pick "a b" "ü&"}}`}},
	Fields: []Field{{"X-Tenant", "tenant-{{int 1 5}}"}, {"X-Fixed", "yes"}, {"Idempotency-Key", "{{uuid}}"}},
	Text:   `{"n": {{seq}}, "color": "{{pick "red" "blue"}}"}`,
}

func TestDraw(t *testing.T) {
	target := regexp.MustCompile(`^/shop/([1-9][0-9]?|[1-4][0-9][0-9]|500)/[0-9a-f]{8}\?page=([1-9]|1[0-9]|20)&q\+a=(a\+b|%C3%BC%26)$`)
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	body := regexp.MustCompile(`^{"n": (\d+), "color": "(red|blue)"}$`)
	for i, r := range requests(t, varied, 1, "a", 1000) {
		if r.Method != "POST" || !target.MatchString(r.Target) {
			t.Fatalf("%s %s", r.Method, r.Target)
		}
		if q, err := url.ParseRequestURI(r.Target); err != nil || q.Query().Get("q a") != "a b" && q.Query().Get("q a") != "ü&" {
			t.Fatalf("%s: %v, %v", r.Target, q, err)
		}
		f := r.Fields
		if len(f) != 3 || f[0].Name != "X-Tenant" || f[1] != (Field{"X-Fixed", "yes"}) || !uuid.MatchString(f[2].Value) {
			t.Fatalf("%q", f)
		}
		m := body.FindStringSubmatch(string(r.Body))
		if m == nil || m[1] != fmt.Sprint(i+1) {
			t.Fatalf("request %d: %s", i+1, r.Body)
		}
	}
}

func TestSameSeedSameRequests(t *testing.T) {
	print := func(s Spec, seed uint64, name string) (all []string) {
		for _, r := range requests(t, s, seed, name, 100) {
			all = append(all, fmt.Sprintf("%+v", *r))
		}
		return all
	}
	a := print(varied, 1, "a")
	if !slices.Equal(a, print(varied, 1, "a")) {
		t.Error("same seed and name, other requests")
	}
	if slices.Equal(a, print(varied, 2, "a")) || slices.Equal(a, print(varied, 1, "b")) {
		t.Error("other seed or name, same requests")
	}
	more := varied
	more.Fields = append([]Field{{"X-New", "{{hex 4}}"}}, more.Fields...)
	if !slices.Equal(targets(requests(t, varied, 1, "a", 100)), targets(requests(t, more, 1, "a", 100))) {
		t.Error("a header field changed the paths")
	}
}

// What does not vary is one request, made once.
func TestFixedIsOnePointer(t *testing.T) {
	s := Spec{
		Path: "/a%20b?x=1", Query: []Field{{"y", "1 2"}, {"empty", ""}}, Fields: []Field{{"A", "b"}}, Text: `{"a": "ü"}`,
	}
	all := requests(t, s, 1, "a", 2)
	if all[0] != all[1] {
		t.Error("two requests where nothing varies")
	}
	if r := all[0]; r.Method != "GET" || r.Target != "/a%20b?x=1&y=1+2&empty=" || r.Fields[0] != (Field{"A", "b"}) || string(r.Body) != `{"a": "ü"}` {
		t.Errorf("%+v", *r)
	}
	g, _ := s.Open(1, "a")
	if n := testing.AllocsPerRun(100, func() { g.Next() }); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
	g, _ = Spec{Path: "/{{int 1 9}}"}.Open(1, "a")
	if n := testing.AllocsPerRun(100, func() { g.Next() }); n > 2 {
		t.Errorf("%v allocations for a path, want 2", n)
	}
}

// What was drawn stays as it is when more is.
func TestRequestsShareNothing(t *testing.T) {
	all := requests(t, varied, 1, "a", 50)
	var then []string
	g, _ := varied.Open(1, "a")
	for range all {
		then = append(then, fmt.Sprintf("%+v", *g.Next()))
	}
	for i, r := range all {
		if got := fmt.Sprintf("%+v", *r); got != then[i] {
			t.Fatalf("request %d was %s and is %s", i, then[i], got)
		}
	}
}

func TestFunctionsAreWhatTheySay(t *testing.T) {
	const n = 50_000
	counts := map[string]float64{}
	for _, target := range targets(requests(t, Spec{Path: `/i{{int -1 2}}/p{{pick "a" "b" 2 "b"}}/z{{zipf 2 1000}}`}, 1, "a", n)) {
		for part := range strings.SplitSeq(target[1:], "/") {
			counts[part]++
		}
	}
	// Of a zipf distribution, the shares are 1/n^2 of their sum.
	sum := 0.0
	for i := 1; i <= 1000; i++ {
		sum += 1 / float64(i*i)
	}
	for part, share := range map[string]float64{
		"i-1": 0.25, "i0": 0.25, "i1": 0.25, "i2": 0.25, "pa": 0.25, "pb": 0.5, "p2": 0.25, "z1": 1 / sum, "z2": 0.25 / sum, "z10": 0.01 / sum,
	} {
		want := share * n
		if off := (counts[part] - want) / math.Sqrt(want*(1-share)); math.Abs(off) > 4 {
			t.Errorf("%s: %v times, want %.0f: %.1f standard deviations", part, counts[part], want, off)
		}
	}
}

func TestMistakes(t *testing.T) {
	for _, test := range []struct{ path, want string }{
		{"products", `path: "products" does not begin with '/'; write /products`},
		{"{{int 1 2}}", `path: "{{int 1 2}}" does not begin with '/'; begin it with '/'`},
		{`{{pick "/a" "b"}}`, `path: "{{pick \"/a\" \"b\"}}" does not begin with '/'; write /{{pick "/a" "b"}}`},
		{"/a b", `path: "/a b" has ' ', which a request can't have there; write it as %20, or move it to query, which is encoded`},
		{`/{{pick "a" "ü"}}`, `path: "/{{pick \"a\" \"ü\"}}" has 'ü', which a request can't have there; write it as %C3%BC, or move it to query, which is encoded`},
		{"/{{int 1}}", `path: in "/{{int 1}}": {{int 1}}: has 1 arguments, want 2; write {{int 1 20}}`},
		{"/{{int 1 2 3}}", `path: in "/{{int 1 2 3}}": {{int 1 2 3}}: has 3 arguments, want 2; write {{int 1 20}}`},
		{"/{{int 2 1}}", `path: in "/{{int 2 1}}": {{int 2 1}}: the first number is above the second; write {{int 1 20}}`},
		{`/{{int "a" 1}}`, `path: in "/{{int \"a\" 1}}": {{int "a" 1}}: "a" is not a whole number from -1000000000000000 to 1000000000000000; write {{int 1 20}}`},
		{"/{{zipf 1 10}}", `path: in "/{{zipf 1 10}}": {{zipf 1 10}}: 1 is not a number above 1 and up to 10; write {{zipf 1.1 500}}`},
		{"/{{zipf 1.1 0}}", `path: in "/{{zipf 1.1 0}}": {{zipf 1.1 0}}: 0 is not a whole number from 1 to 1000000000000; write {{zipf 1.1 500}}`},
		{"/{{hex 0}}", `path: in "/{{hex 0}}": {{hex 0}}: 0 is not a whole number from 1 to 4096; write {{hex 16}}`},
		{"/{{pick}}", `path: in "/{{pick}}": {{pick}}: nothing to pick from; write {{pick "a" "b"}}`},
		{"/{{seq 1}}", `path: in "/{{seq 1}}": {{seq 1}}: has 1 arguments, want 0; write {{seq}}`},
		{"/{{uuid 4}}", `path: in "/{{uuid 4}}": {{uuid 4}}: has 1 arguments, want 0; write {{uuid}}`},
		{"/{{env 1}}", `path: in "/{{env 1}}": "env" is not a function of templates; want int, pick, zipf, hex, seq or uuid`},
		{"/{{.Env}}", `path: in "/{{.Env}}": {{.Env}} is not a function; want int, pick, zipf, hex, seq or uuid`},
		{"/{{$x := 1}}", `path: in "/{{$x := 1}}": {{$x := 1}} sets a variable, and templates have none; want a function: int, pick, zipf, hex, seq or uuid`},
		{"/{{seq | hex}}", `path: in "/{{seq | hex}}": {{seq | hex}} has a pipe, and templates have none; want one function: int, pick, zipf, hex, seq or uuid`},
		{"/{{hex (int 1 5)}}", `path: in "/{{hex (int 1 5)}}": {{hex (int 1 5)}}: int 1 5 is neither a number nor text in quotes; write {{hex 16}}`},
		{"/{{range .}}x{{end}}", `path: in "/{{range .}}x{{end}}": "range" is not known in templates; want a function: int, pick, zipf, hex, seq or uuid`},
		{`/{{template "x"}}`, `path: in "/{{template \"x\"}}": "template" is not known in templates; want a function: int, pick, zipf, hex, seq or uuid`},
		{"/{{int 1", `path: in "/{{int 1": unclosed action; write a function as in {{int 1 20}}, and {{"{{"}} as {{pick "{{"}}`},
	} {
		err := Spec{Path: test.path}.Check()
		if err == nil || err.Error() != test.want {
			t.Errorf("%s\ngot  %v\nwant %s", test.path, err, test.want)
		}
		if _, err := (Spec{Path: test.path}).Open(1, "a"); err == nil {
			t.Errorf("%s can be opened", test.path)
		}
	}
}

// All mistakes come at once, and each says its place.
func TestAllMistakes(t *testing.T) {
	err := Spec{
		Method: "get", Path: "/", Query: []Field{{"q", "{{x}}"}},
		Fields:    []Field{{"", "a"}, {"A b", "c"}, {"Content-Length", "3"}, {"X", "a\nb"}, {"Y", `{{pick "\x00"}}`}},
		BodyBytes: -1, Size: &distribution.Size{}, Text: "{{range}}",
	}.Check()
	want := []string{"method", "query.q", "headers.", "headers.A b", "headers.Content-Length", "headers.X", "headers.Y", "body.text", "body", "body.size"}
	var got []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		m, ok := errors.AsType[Mistake](e)
		if !ok || m.Hint == "" || m.What == "" {
			t.Errorf("%#v", e)
		}
		got = append(got, m.Place)
	}
	if !slices.Equal(got, want) {
		t.Errorf("mistakes at %q, want %q\n%v", got, want, err)
	}
}

// Bodies of filler have the lengths of their distribution, and none is too long.
func TestSizes(t *testing.T) {
	const n = 20_000
	s := Spec{Path: "/", Size: &distribution.Size{Lognormal: &distribution.Tail[strictyaml.Size]{Median: 2048, P99: 65536}}}
	below := map[int64]float64{2048: 0, 65536: 0}
	for _, r := range requests(t, s, 1, "a", n) {
		if r.Body != nil || r.Filler < 0 {
			t.Fatalf("a body of %d bytes and %q", r.Filler, r.Body)
		}
		for size := range below {
			if r.Filler < size {
				below[size]++
			}
		}
	}
	for size, share := range map[int64]float64{2048: 0.5, 65536: 0.99} {
		if off := (below[size] - share*n) / math.Sqrt(share*(1-share)*n); math.Abs(off) > 4 {
			t.Errorf("%v of %d are below %d: %.1f standard deviations off", below[size], n, size, off)
		}
	}
	s.Size = &distribution.Size{Exponential: &distribution.Mean[strictyaml.Size]{Mean: MaxBody / 7}}
	for _, r := range requests(t, s, 1, "a", n) {
		if r.Filler > MaxBody {
			t.Fatalf("a body of %d bytes", r.Filler)
		}
	}
	s.Size.Exponential.Mean = MaxBody
	if err := s.Check(); err == nil || !strings.Contains(err.Error(), "1GiB") {
		t.Errorf("a mean of 1 GiB: %v", err)
	}
}

// Whatever the templates are, what is accepted can be sent.
func FuzzSpec(f *testing.F) {
	f.Add("/a{{int 1 2}}", "{{pick `x y` 'a'}}", "{{uuid}}", "{{seq}}{{- hex 3 -}} ")
	f.Add("/{{range .}}{{end}}", "{{(((", "{{/* c */}}", "{{zipf 9 1e3}}")
	f.Add(`/{{pick "?" "a"}}`, "{{nil}}{{true}}", "{{define `x`}}{{end}}", "{{break}}")
	f.Fuzz(func(t *testing.T, path, query, field, text string) {
		s := Spec{Path: path, Query: []Field{{"q", query}}, Fields: []Field{{"F", field}}, Text: text}
		g, err := s.Open(1, "a")
		if (err == nil) != (s.Check() == nil) {
			t.Fatalf("open: %v, check: %v", err, s.Check())
		}
		if err != nil {
			return
		}
		for range 3 {
			r := g.Next()
			if path != "" && r.Target[0] != '/' || strings.ContainsFunc(r.Target, notInTarget) {
				t.Fatalf("target %q", r.Target)
			}
			if strings.ContainsAny(r.Fields[0].Value, "\r\n\x00") {
				t.Fatalf("field %q", r.Fields[0].Value)
			}
		}
	})
}

func BenchmarkNext(b *testing.B) {
	g, err := varied.Open(1, "a")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		g.Next()
	}
}
