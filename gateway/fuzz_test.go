package gateway

import (
	"bufio"
	"bytes"
	"io"
	"math"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/tracing"
)

func FuzzHostname(f *testing.F) {
	for _, s := range []string{"", "a", "a.example:80", "[::1]", "[::1]:80", "[", "]", "::1", ":80", "a:b:c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, authority string) {
		host := hostname(authority)
		if !strings.Contains(authority, host) || strings.Contains(host, ":") && authority[0] != '[' {
			t.Errorf("%q: host %q", authority, host)
		}
		if strings.Count(authority, ":") > 1 && authority[0] != '[' {
			return // an IPv6 address without brackets, of which nobody knows where it ends
		}
		if u, err := url.Parse("//" + authority); err == nil && u.Host == authority && u.Hostname() != host {
			t.Errorf("%q: host %q, want %q", authority, host, u.Hostname())
		}
	})
}

func FuzzOriginForm(f *testing.F) {
	for _, s := range []string{"/", "*", "/a?b", "http://a", "http://a/b", "http://a?b", "/a://b", "//a/b", "://", "a://", "http://a?b/c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		if target == "" {
			return // fasthttp makes a slash of it
		}
		got := originForm(target)
		switch {
		case target[0] == '/' || target == "*" || !strings.Contains(target, "://"):
			if got != target {
				t.Errorf("%q became %q", target, got)
			}
		case got == "" || got[0] != '/':
			t.Errorf("%q became %q", target, got)
		case got != "/" && !strings.HasSuffix(target, got) && !strings.HasSuffix(target, got[1:]):
			t.Errorf("%q became %q, which is no part of it", target, got)
		}
	})
}

// FuzzForwarded: whatever Host a client sends, and whatever a trusted one says about
// others, the last element is this hop's, with each value inside its parameter.
func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"", "a", "a:80", `a"b`, `a\`, `a;for=b`, `a, for=b`, "[::1]:80", "ä"} {
		f.Add(s, true, false, "", "", "")
	}
	f.Add("a", false, true, `for="[2001:db8::7]:4711";proto=https, for=_hidden;host="b:80"`, "", "")
	f.Add("a", false, true, `for=192.0.2.7;host="a\"b"`, "192.0.2.7, x", "https, http")
	f.Add("a", false, true, `for=192.0.2.7;host="a`, `192.0.2.7", fe80::1%";,[::1]:80`, "ä")
	f.Add("a", true, true, ",;,a=b;;c=,", ",", " , h,")
	f.Fuzz(func(t *testing.T, host string, v6, trusted bool, received, addresses, protos string) {
		client := netip.MustParseAddr("192.0.2.1")
		if v6 {
			client = netip.MustParseAddr("2001:db8::1")
		}
		w := forwardedFor{client: client, host: host}
		if trusted {
			w.received = fields{{"Forwarded", received}, {"X-Forwarded-For", addresses}, {"X-Forwarded-Proto", protos}}
		}
		got := map[string]string{}
		w.each(func(name, value string) { got[name] = strings.Clone(value) })
		elements := splitForwarded(got["Forwarded"])
		last := elements[len(elements)-1]
		if strings.Trim(last["for"], "[]") != client.String() {
			t.Errorf("%q and %q give %s, whose last element reads as %q", received, addresses, got["Forwarded"], last)
		}
		if !trusted && (len(elements) != 1 || last["host"] != host || last["proto"] != "http" || got["X-Forwarded-For"] != client.String()) {
			t.Errorf("host %q gives %s, which reads as %q", host, got["Forwarded"], elements)
		}
		if members := strings.Split(got["X-Forwarded-Proto"], ","); trusted && !slices.ContainsFunc(members, func(m string) bool { return strings.Trim(m, " \t") == last["proto"] }) {
			t.Errorf("the last element has the scheme %q, and X-Forwarded-Proto says %q", last["proto"], got["X-Forwarded-Proto"])
		}
		if n := strings.Count(got["X-Forwarded-For"], ","); trusted && addresses == "" && n+1 != len(elements) {
			t.Errorf("%s became %s, of %d addresses and not %d", got["Forwarded"], got["X-Forwarded-For"], n+1, len(elements))
		}
	})
}

// splitForwarded is a reader of RFC 7239. Elements in which nothing is do not count.
func splitForwarded(s string) (elements []map[string]string) {
	parts := make(map[string]string)
	name, value, quotes, inValue := "", "", false, false
	flush := func() {
		if inValue {
			parts[strings.ToLower(name)] = value
		}
		name, value, inValue = "", "", false
	}
	next := func() {
		flush()
		if len(parts) > 0 {
			elements, parts = append(elements, parts), make(map[string]string)
		}
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quotes && c == '\\' && i+1 < len(s):
			i++
			value += s[i : i+1]
		case c == '"':
			quotes = !quotes
		case !quotes && (c == ' ' || c == '\t'):
			continue
		case !quotes && c == ';':
			flush()
		case !quotes && c == ',':
			next()
		case !inValue && c == '=':
			inValue = true
		case inValue:
			value += s[i : i+1]
		default:
			name += s[i : i+1]
		}
	}
	next()
	return elements
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "7", " 7 ", "-1", "9999999999", "9223372036854775807", "Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 2999 23:59:59 GMT", "soon"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if d := parseRetryAfter(value); d < 0 || d > time.Hour {
			t.Errorf("%q: %s", value, d)
		}
	})
}

// FuzzResponseHeader reads raw response headers as they come from an app, and
// what becomes of them as a client does.
func FuzzResponseHeader(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: close, x-a\r\nX-A: 1\r\nX-B: 2\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n",
		"HTTP/1.0 304 Not Modified\r\nlatency-class: x\r\nOvertake-Reason: y\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\nKeep-Alive: 1\r\nX-A: 1\r\n folded\r\n\r\n",
		"HTTP/1.1 000 \x1b[31m\r\nX: a\nOvertake-Reason: draining\r\nContent-Type: application/problem+json\r\n\r\n",
		"HTTP/1.1 503 No\r\nLatency-Class: a\r\nServer-Timing: queue;dur=1.000, upstream;dur=2.000\r\nServer-Timing: db;dur=1\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := checkHeader(bufio.NewReaderSize(bytes.NewReader(raw), len(raw)+16)); err != nil {
			return
		}
		var h fasthttp.ResponseHeader
		h.DisableNormalizing()
		if err := h.Read(bufio.NewReader(bytes.NewReader(raw))); err != nil {
			return
		}
		status, cookies, refused := h.StatusCode(), countSetCookies(&h), isRefusal(&h)
		var ordinary, other fasthttp.ResponseHeader
		h.CopyTo(&ordinary)
		h.CopyTo(&other)
		if cleanOrdinary(&ordinary) {
			if cleanAny(&other); string(ordinary.Header()) != string(other.Header()) {
				t.Errorf("%q became %q as an ordinary response, and %q as any", raw, ordinary.Header(), other.Header())
			}
		}
		cleanResponse(&h)
		for name, value := range h.All() {
			n := strings.ToLower(string(name))
			if n == "connection" || n == "keep-alive" || n == "upgrade" || n == "latency-class" || n == "overtake-reason" && !refused {
				t.Errorf("%q passed, in %q", name, raw)
			}
			if bytes.ContainsAny(value, "\r\n\x00") || bytes.ContainsAny(name, "\r\n\x00:") {
				t.Errorf("%q: %q can't be sent", name, value)
			}
		}
		if h.StatusCode() != status || countSetCookies(&h) > cookies {
			t.Errorf("status %d and %d cookies became %d and %d", status, cookies, h.StatusCode(), countSetCookies(&h))
		}
		if got := string(h.Header()); !strings.HasPrefix(got, "HTTP/1.1 ") || strings.ContainsAny(got[:strings.Index(got, "\r")], "\x00\x07\x1b\n") || strings.Count(got, "\r\n\r\n") != 1 {
			t.Errorf("%q became %q", raw, got)
		}
	})
}

func countSetCookies(h *fasthttp.ResponseHeader) (n int) {
	for name := range h.All() {
		if strings.EqualFold(string(name), "Set-Cookie") {
			n++
		}
	}
	return n
}

// FuzzRequestHeader reads raw request headers, and checks what is sent on: one
// request, with nothing in it that the gateway means to write itself.
func FuzzRequestHeader(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: x-a, close\r\nX-A: 1\r\nLatency_Class: x\r\nUberCtx-Latency%2eClass: x\r\nX_B3_Sampled: 1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: x\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nx-request-id: \xff\x01\r\ntracestate: a=1\r\ngrpc-timeout: 1H\r\nbaggage: a=1,b=\x7f\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\nX: 1\n\nGET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n  y\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var h fasthttp.RequestHeader
		h.DisableNormalizing()
		if err := h.Read(bufio.NewReader(bytes.NewReader(raw))); err != nil {
			return
		}
		trail := tracing.Trail{Propagate: tracing.AllFormats}
		got, err := fields(nil).read(&h)
		if err != nil {
			return
		}
		head := string(append(appendEndToEnd(nil, got, connectionOptions(got), &trail, false), "\r\n"...))
		if strings.Count(head, "\r\n") != strings.Count(head, "\n") || strings.Contains(strings.TrimSuffix(head, "\r\n"), "\r\n\r\n") {
			t.Errorf("%q is sent on as %q", raw, head)
		}
		stamped := stampedFields{head: []byte("GET / HTTP/1.1\r\nHost: a\r\n")}
		trail.Extract(&got, time.Now())
		trail.Class = "standard" // as decided
		trail.Stamp(&stamped, time.Now())
		if req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(append(stamped.head, "\r\n"...)))); err != nil || len(req.Header) < 9 {
			t.Errorf("%q is stamped as %q: %v", raw, stamped.head, err)
		}
		br := bufio.NewReader(strings.NewReader(head))
		for {
			line, err := br.ReadString('\n')
			if err == io.EOF || line == "\r\n" {
				break
			}
			name, value, ok := strings.Cut(line, ":")
			if !ok || hopByHop(name) || rewritten(name) || trail.Owns(name, strings.Trim(value, " \t\r\n")) {
				t.Errorf("%q: line %q passed", raw, line)
			}
		}
	})
}

// FuzzTrailer reads the end of a chunked response, and what becomes of it as a client
// does.
func FuzzTrailer(f *testing.F) {
	for _, s := range []string{
		"\r\n", "X: 1\r\n\r\n", "X: 1\r\nx: 2\r\nX:\t3 \r\n\r\n", "Content-Length: 5\r\n\r\n", "X: 1\n\r\n", "X : 1\r\n\r\n",
		"Set-Cookie: a=1\r\nLatency-Class: x\r\nKeep-Alive: 1\r\n\r\n", " X: 1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", ":\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		br := bufio.NewReader(bytes.NewReader(append(raw, "rest"...)))
		lines, err := readTrailer(br, bufferSize, math.MaxInt)
		if err != nil {
			return
		}
		if left, _ := io.ReadAll(br); !bytes.HasSuffix(left, []byte("rest")) || len(lines) == 0 && len(left) != len(raw)-2+len("rest") {
			t.Errorf("%q: %q is left after %q", raw, left, lines)
		}
		var h fasthttp.ResponseHeader
		h.DisableNormalizing()
		_ = h.SetTrailer("X-Announced")
		setTrailer(&h, lines)
		sent := h.TrailerHeader()
		again, err := readTrailer(bufio.NewReader(bytes.NewReader(sent)), bufferSize, math.MaxInt)
		if err != nil || len(again) > len(lines) {
			t.Fatalf("%q is sent on as %q: %v", raw, sent, err)
		}
		for i, line := range again {
			if hopByHop(line.name) || isWrittenHere(line.name) || containsName(again[:i], line.name) || !containsName(lines, line.name) {
				t.Errorf("%q: %q passed", raw, line)
			}
		}
	})
}

// FuzzAuthority: what passes for a host is one to others as well, and the same one.
func FuzzAuthority(f *testing.F) {
	for _, s := range []string{
		"", "a", "a:80", "a:", "a:b", "a:80:81", "[::1]", "[::1]:80", "[::1", "[a]", "[::1%25eth0]", "::1", "a@b", "a,b", "a/b", "a b", "%61", "ä", "a\\b", "127.0.0.1:0",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !isAuthority(s) {
			return
		}
		if strings.ContainsAny(s, " \t\r\n\x00/\\?#@,;<>\"'%") {
			t.Errorf("%q passed", s)
		}
		u, err := url.Parse("http://" + s + "/x")
		switch {
		case err != nil || u.User != nil || u.Path != "/x":
			t.Errorf("%q: %v, %v", s, u, err)
		case u.Host != s || u.Hostname() != hostname(s):
			t.Errorf("%q: host %q, port %q", s, u.Hostname(), u.Port())
		}
	})
}

// FuzzChunks: what passes for a chunked body is the same body to a more lenient reader,
// however the bytes come.
func FuzzChunks(f *testing.F) {
	for _, s := range []string{
		"0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "A;x=y\r\n0123456789\r\n1 \r\nx\r\n0\r\nX: 1\r\n\r\nrest", "5\nhello\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n",
		"+5\r\nhello\r\n0\r\n\r\n", "0x5\r\n", "fffffffffffffff\r\n", "ffffffffffffffff\r\n", "\r\n", ";\r\n", "1\r\nx\r\n1\r\ny\r\n",
	} {
		f.Add([]byte(s), 7)
	}
	f.Fuzz(func(t *testing.T, raw []byte, size int) {
		body := &chunkedBody{chunks: chunks{br: bufio.NewReaderSize(iotest.OneByteReader(bytes.NewReader(raw)), 64)}, bytesAllowed: bufferSize, linesAllowed: math.MaxInt}
		if size%2 == 0 {
			body.br = bufio.NewReader(bytes.NewReader(raw))
		}
		var got []byte
		part := make([]byte, 1+(size&0x3f))
		for {
			n, err := body.Read(part)
			got = append(got, part[:n]...)
			if n > 0 && err != nil {
				t.Fatalf("%d bytes came with %v", n, err)
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				return
			}
		}
		if n, err := body.Read(part); n != 0 || err != io.EOF {
			t.Errorf("behind the end: %d, %v", n, err)
		}
		br := bufio.NewReader(bytes.NewReader(raw))
		want, err := io.ReadAll(httputil.NewChunkedReader(br))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q reads as %q, and to others as %q, %v", raw, got, want, err)
		}
		trailer, err := readTrailer(br, bufferSize, math.MaxInt)
		if err != nil || len(trailer) != len(body.trailer) {
			t.Errorf("%q: trailer %q, and to others %q, %v", raw, body.trailer, trailer, err)
		}
	})
}
