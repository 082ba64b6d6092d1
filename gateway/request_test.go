package gateway

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const okNoBody = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

const trustLoopback = `listeners: [{address: "127.0.0.1:0", trust: ["127.0.0.0/8"]}]`

// forwarded sends one raw request through a gateway and returns the head that
// the app got.
func forwarded(t *testing.T, yaml, raw string) string {
	t.Helper()
	app := serveRaw(t)
	seen := app.answering(okNoBody)
	g := start(t, yaml, app.url())
	p := g.dial()
	p.send(raw)
	if resp, _ := p.response("GET"); resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
	return seen.all()[0]
}

func TestTargetIsForwardedByteForByte(t *testing.T) {
	app := serveRaw(t)
	seen := app.answering(okNoBody)
	g := start(t, "", app.url())
	for _, tc := range []struct{ sent, want string }{
		{"/", "/"},
		{"/a%2Fb%20c%e4%00d", "/a%2Fb%20c%e4%00d"},
		{"/a//b///c", "/a//b///c"},
		{"/a/../b/./c/..", "/a/../b/./c/.."},
		{"//host/path", "//host/path"},
		{"/?", "/?"},
		{"/a?", "/a?"},
		{"/a?b=c&b=d+e&=&%zz", "/a?b=c&b=d+e&=&%zz"},
		{"/a?b?c", "/a?b?c"},
		{"/login?next=http://example.org/x?y", "/login?next=http://example.org/x?y"},
		{"/http://example.org/", "/http://example.org/"},
		{"/a;b=c,d!$'()*~[]{}|^`\"<>", "/a;b=c,d!$'()*~[]{}|^`\"<>"},
		{"http://app.example", "/"},
		{"http://app.example/a//b?c", "/a//b?c"},
		{"http://app.example?c=/d", "/?c=/d"},
		{"HTTP://app.example/x", "/x"},
	} {
		p := g.dial()
		p.send("GET ", tc.sent, " HTTP/1.1\r\nHost: app.example\r\n\r\n")
		if resp, body := p.response("GET"); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d %s", tc.sent, resp.StatusCode, body)
			continue
		}
		if got, _, _ := strings.Cut(seen.last(t), "\r\n"); got != "GET "+tc.want+" HTTP/1.1" {
			t.Errorf("%s arrived as %q", tc.sent, got)
		}
		p.Close()
	}
}

func TestMethodIsKept(t *testing.T) {
	app := serveRaw(t)
	seen := app.answering(okNoBody)
	g := start(t, "", app.url())
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get", "M-SEARCH"} {
		p := g.dial()
		target := "/x"
		if method == "OPTIONS" {
			target = "*"
		}
		p.send(method, " ", target, " HTTP/1.1\r\nHost: a\r\n\r\n")
		if resp, _ := p.response(method); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d", method, resp.StatusCode)
		} else if got := seen.last(t); !strings.HasPrefix(got, method+" "+target+" HTTP/1.1\r\n") {
			t.Errorf("%s arrived as %q", method, got)
		}
		p.Close()
	}
}

func TestConnectIsRefused(t *testing.T) {
	app := serveRaw(t)
	seen := app.answering(okNoBody)
	g := start(t, "", app.url())
	p := g.dial()
	p.send("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n")
	resp, body := p.response("GET")
	wantRefusal(t, fetched{Response: resp, body: body}, http.StatusBadRequest, reasonBadRequest)
	p.closed()
	if n := len(seen.all()); n != 0 {
		t.Errorf("%d requests reached the app", n)
	}
}

func TestFieldsKeepTheirOrderCaseAndRepetition(t *testing.T) {
	head := forwarded(t, "", "GET / HTTP/1.1\r\n"+
		"X-B: 1\r\nhOsT: App.Example:8080\r\nx-a: one\r\nX-A: two\r\nx-a: three\r\nX-Empty:\r\n"+
		"Cookie: a=1; b=\"2\"\r\ncookie: c=3;d=%20; ;e\r\nAccept:  text/html , */*\t\r\nUSER-AGENT: x\r\n"+
		"X-Utf8: \xc3\xa4\xff\r\n\r\n")
	got := slices.DeleteFunc(lines(head), func(line string) bool {
		name, _, _ := strings.Cut(line, ":")
		return stampedOnAll(name) || name == "Forwarded" || strings.HasPrefix(name, "X-Forwarded") || name == "Via"
	})
	want := []string{
		"Host: App.Example:8080", "X-B: 1", "x-a: one", "X-A: two", "x-a: three", "X-Empty: ",
		"Cookie: a=1; b=\"2\"", "cookie: c=3;d=%20; ;e", "Accept: text/html , */*", "USER-AGENT: x",
		"X-Utf8: \xc3\xa4\xff",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the app got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAuthorityOfAnAbsoluteTargetOverridesHost(t *testing.T) {
	head := forwarded(t, "", "GET http://one.example:81/x HTTP/1.1\r\nHost: two.example\r\n\r\n")
	if got := values(head, "Host"); !slices.Equal(got, []string{"one.example:81"}) {
		t.Errorf("Host %q, want that of the target", got)
	}
}

func TestHopByHopFieldsEndHere(t *testing.T) {
	head := forwarded(t, "", "POST / HTTP/1.1\r\nHost: a\r\n"+
		"Connection: keep-alive, X-Private,\tx-other ,Host, Content-Length, Latency-Class\r\nconnection: X-Third\r\n"+
		"X-Private: 1\r\nx-oTHER: 2\r\nX-Third: 3\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n"+
		"TE: gzip\r\nTrailer: X-T\r\nUpgrade: websocket\r\nProxy-Authorization: Basic eA==\r\n"+
		"Proxy-Authenticate: x\r\nX-Kept: 4\r\nContent-Length: 0\r\n\r\n")
	for _, line := range lines(head) {
		switch name, _, _ := strings.Cut(strings.ToLower(line), ":"); name {
		case "connection", "x-private", "x-other", "x-third", "keep-alive", "proxy-connection", "te", "trailer",
			"upgrade", "proxy-authorization", "proxy-authenticate":
			t.Errorf("%q reached the app", line)
		}
	}
	for _, want := range []string{"X-Kept: 4", "Host: a", "Content-Length: 0"} {
		if !slices.Contains(lines(head), want) {
			t.Errorf("%q is missing in\n%s", want, head)
		}
	}
}

func TestHopByHopFieldsOfTheResponseEndHere(t *testing.T) {
	app := serveRaw(t)
	app.answering("HTTP/1.1 200 Fine\r\nConnection: X-Private\r\nConnection: keep-alive\r\nX-Private: 1\r\nKeep-Alive: 2\r\n" +
		"Upgrade: h2c\r\nProxy-Authenticate: Basic\r\nLatency-Class: interactive\r\nOvertake-Reason: forged\r\n" +
		"Set-Cookie: a=1\r\nset-cookie: a=2; Path=/\r\nX-r: 1\r\nX-R: 2\r\nServer: own\r\nDate: then\r\nContent-Length: 2\r\n\r\nhi")
	g := start(t, "expose: none", app.url())
	p := g.dial()
	p.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	head := p.head()
	if p.body(2) != "hi" || !strings.HasPrefix(head, "HTTP/1.1 200 Fine\r\n") {
		t.Errorf("head %q", head)
	}
	want := []string{"Content-Length: 2", "Date: then", "Server: own", "Set-Cookie: a=1", "Set-Cookie: a=2; Path=/", "X-R: 2", "X-r: 1"}
	got := lines(head)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the client got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestForwardedFieldsOfStrangersAreReplaced(t *testing.T) {
	const forged = "GET / HTTP/1.1\r\nHost: app.example:81\r\nX-Forwarded-For: 10.1.1.1\r\nx-forwarded-for: 10.2.2.2\r\n" +
		"X_Forwarded_For: 10.3.3.3\r\nForwarded: for=10.1.1.1\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\n" +
		"Via: 1.0 first\r\nX-Forwarded-Port: 1\r\nX_Forwarded_Prefix: /x\r\nX-Real-IP: 10.4.4.4\r\n\r\n"
	t.Run("stranger", func(t *testing.T) {
		wantFields(t, forwarded(t, "", forged), map[string][]string{
			"X-Forwarded-For": {"127.0.0.1"}, "x-forwarded-for": nil, "X_Forwarded_For": nil,
			"X-Forwarded-Host": {"app.example:81"}, "X-Forwarded-Proto": {"http"},
			"Forwarded": {`for=127.0.0.1;host="app.example:81";proto=http`}, "Via": {"1.0 first", "1.1 overtake"},
			"X-Forwarded-Port": nil, "X_Forwarded_Prefix": nil, "X-Real-IP": nil,
		})
	})
	t.Run("trusted", func(t *testing.T) {
		wantFields(t, forwarded(t, trustLoopback, forged), map[string][]string{
			"X-Forwarded-For": {"10.1.1.1, 10.2.2.2, 127.0.0.1"}, "x-forwarded-for": nil, "X_Forwarded_For": nil,
			"X-Forwarded-Host": {"evil"}, "X-Forwarded-Proto": {"https"},
			"Forwarded": {`for=10.1.1.1, for=127.0.0.1;host=evil;proto=https`}, "Via": {"1.0 first", "1.1 overtake"},
			"X-Forwarded-Port": {"1"}, "X_Forwarded_Prefix": {"/x"}, "X-Real-IP": {"10.4.4.4"},
		})
	})
	t.Run("IPv6", func(t *testing.T) {
		wantFields(t, forwarded(t, `listeners: [{address: "[::1]:0"}]`, forged), map[string][]string{
			"X-Forwarded-For": {"::1"}, "Forwarded": {`for="[::1]";host="app.example:81";proto=http`},
		})
	})
}

// wantFields checks the values of fields, by their exact names.
func wantFields(t *testing.T, head string, want map[string][]string) {
	t.Helper()
	for name, v := range want {
		if got := values(head, name); !slices.Equal(got, v) {
			t.Errorf("%s: %q, want %q", name, got, v)
		}
	}
}

const classRules = `
rules:
  - {name: urgent, class: interactive, match: {path: /urgent}}
  - {name: reports, class: batch, match: {path: "/reports/**"}}
`

func TestClaimedClass(t *testing.T) {
	for _, tc := range []struct {
		name, path, claim     string
		stranger, whenTrusted string
	}{
		{"none", "/", "", "standard", "standard"},
		{"raise", "/", "Latency-Class: interactive\r\n", "standard", "interactive"},
		{"raise above a rule", "/reports/1", "Latency-Class: interactive\r\n", "batch", "interactive"},
		{"lower", "/urgent", "Latency-Class: batch\r\n", "batch", "batch"},
		{"other case of the name", "/", "LATENCY-class: interactive\r\n", "standard", "interactive"},
		{"twice", "/", "Latency-Class: interactive\r\nlatency-class: interactive\r\n", "standard", "standard"},
		{"twice, lower first", "/urgent", "Latency-Class: batch\r\nLatency-Class: interactive\r\n", "interactive", "interactive"},
		{"in baggage", "/", "baggage: a=1,latency.class=interactive\r\n", "standard", "interactive"},
		{"in baggage, encoded", "/", "baggage: latency%2Eclass=interactive\r\n", "standard", "standard"},
		{"in baggage, lower", "/urgent", "Baggage: latency.class=batch;p=1\r\n", "batch", "batch"},
		{"underscore", "/", "Latency_Class: interactive\r\n", "standard", "standard"},
		{"in Jaeger's baggage", "/", "uberctx-Latency.Class: interactive\r\n", "standard", "interactive"},
		{"in Jaeger's baggage, lower", "/urgent", "uberctx-latency.class: batch\r\n", "batch", "batch"},
		{"in Jaeger's baggage, underscore", "/", "uberctx_latency.class: interactive\r\n", "standard", "standard"},
		{"unknown", "/", "Latency-Class: vip\r\n", "standard", "standard"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			raw := "GET " + tc.path + " HTTP/1.1\r\nHost: a\r\n" + tc.claim + "\r\n"
			wantClass(t, forwarded(t, classRules, raw), tc.stranger)
			wantClass(t, forwarded(t, trustLoopback+classRules, raw), tc.whenTrusted)
		})
	}
}

// wantClass checks that the app sees one class, in each of its places.
func wantClass(t *testing.T, head, class string) {
	t.Helper()
	var seen []string
	for _, line := range lines(head) {
		name, value, _ := strings.Cut(line, ": ")
		switch strings.ReplaceAll(strings.ToLower(name), "_", "-") {
		case "latency-class", "uberctx-latency.class":
			seen = append(seen, value)
		case "baggage":
			for member := range strings.SplitSeq(value, ",") {
				if key, v, _ := strings.Cut(member, "="); strings.Contains(strings.ToLower(key), "class") {
					seen = append(seen, v)
				}
			}
		}
	}
	if !slices.Equal(slices.Compact(slices.Clone(seen)), []string{class}) || len(seen) != 3 {
		t.Errorf("the app sees the classes %q, want %s three times", seen, class)
	}
}

func TestTrailerCannotBringAClass(t *testing.T) {
	head := forwarded(t, "", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Latency-Class\r\n\r\n"+
		"0\r\nLatency-Class: interactive\r\n\r\n")
	wantClass(t, head, "standard")
}

var traceparentRE = regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$`)

func TestTraceIsContinued(t *testing.T) {
	head := forwarded(t, trustLoopback, "GET / HTTP/1.1\r\nHost: a\r\nTraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"+
		"tracestate: a=1\r\ntracestate: b=2\r\nbaggage: user=7\r\nx-request-id: r-1\r\n\r\n")
	parent := values(head, "traceparent")
	if len(parent) != 1 || !traceparentRE.MatchString(parent[0]) {
		t.Fatalf("traceparent %q", parent)
	}
	parts := traceparentRE.FindStringSubmatch(parent[0])
	if parts[1] != "0af7651916cd43dd8448eb211c80319c" || parts[2] == "b7ad6b7169203331" || parts[3] != "01" {
		t.Errorf("traceparent %s: want the trace, a span of this hop, and the flags", parent[0])
	}
	wantFields(t, head, map[string][]string{
		"Traceparent": nil, "tracestate": {"a=1,b=2"}, "baggage": {"latency.class=standard,user=7"}, "x-request-id": {"r-1"},
	})
}

// TestRequestIDOfStrangers: it might be that of somebody else's request.
func TestRequestIDOfStrangers(t *testing.T) {
	const raw = "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: r-1\r\nX_Request_Id: r-2\r\n\r\n"
	for yaml, believed := range map[string]bool{"": false, trustLoopback: true} {
		head := forwarded(t, yaml, raw)
		got := values(head, "x-request-id")
		if len(got) != 1 || got[0] == "" || (got[0] == "r-1") != believed || strings.Contains(head, "r-2") {
			t.Errorf("believed %t: %q", believed, got)
		}
	}
}

func TestTraceIsBegunWhereThereIsNone(t *testing.T) {
	for _, bad := range []string{"", "traceparent: 00-0-0-01\r\ntracestate: a=1\r\n"} {
		head := forwarded(t, "", "GET / HTTP/1.1\r\nHost: a\r\n"+bad+"\r\n")
		if got := values(head, "traceparent"); len(got) != 1 || !traceparentRE.MatchString(got[0]) {
			t.Errorf("with %q: traceparent %q", bad, got)
		}
		wantFields(t, head, map[string][]string{"tracestate": nil})
	}
}

func TestDeadlineOnlyShrinks(t *testing.T) {
	const ofAnHour = "classes: [{name: interactive}, {name: standard, deadline: 1h}, {name: batch}]\n"
	in := func(d time.Duration) int64 { return time.Now().Add(d).UnixMilli() }
	deadline := func(t *testing.T, yaml string, received string) int64 {
		head := forwarded(t, yaml, "GET / HTTP/1.1\r\nHost: a\r\n"+received+"\r\n")
		got := values(head, "Latency-Deadline")
		if len(got) == 0 {
			return 0
		}
		ms, err := strconv.ParseInt(got[0], 10, 64)
		if err != nil || len(got) > 1 {
			t.Fatalf("Latency-Deadline %q", got)
		}
		return ms
	}
	if got := deadline(t, "", ""); got != 0 {
		t.Errorf("a deadline out of nowhere: %d", got)
	}
	before := in(time.Hour)
	got := deadline(t, ofAnHour, "")
	if after := in(time.Hour); got < before || got > after {
		t.Errorf("the class's deadline is %d, want between %d and %d", got, before, after)
	}
	soon := in(time.Minute)
	if got := deadline(t, ofAnHour, fmt.Sprintf("Latency-Deadline: %d\r\n", soon)); got != soon {
		t.Errorf("the client's earlier deadline %d became %d", soon, got)
	}
	late := in(10 * time.Hour)
	if got := deadline(t, ofAnHour, fmt.Sprintf("Latency-Deadline: %d\r\n", late)); got == 0 || got >= late {
		t.Errorf("the client's later deadline %d became %d, want the class's", late, got)
	}
	if got := deadline(t, "", "Latency-Deadline: 30\r\n"); got != 0 {
		t.Errorf("a deadline that is none became %d", got)
	}
}

func TestTooLargeHeaderIsToldSo(t *testing.T) {
	g := start(t, "", deadAddress(t))
	p := g.dial()
	p.send("GET / HTTP/1.1\r\nHost: a\r\nX-Big: ", strings.Repeat("x", 4<<20), "\r\n\r\n")
	resp, body := p.response("GET")
	wantRefusal(t, fetched{Response: resp, body: body}, http.StatusRequestHeaderFieldsTooLarge, reasonBadRequest)
}
