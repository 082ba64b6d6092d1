package gateway

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ask sends a call of the app as it is written and reads the answer.
func (s sidecar) ask(text string) fetched {
	s.t.Helper()
	p := s.dialOutbound()
	p.send(text)
	method, _, _ := strings.Cut(text, " ")
	resp, body := p.response(method)
	p.Close()
	return fetched{Response: resp, body: body}
}

// TestCallGoesWhereItWants: as a forward proxy the target goes on in origin form,
// with its own Host, without the fields of the proxy's hop and with those about
// clients untouched.
func TestCallGoesWhereItWants(t *testing.T) {
	next := serveRaw(t)
	heads := next.answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
	s := startSidecar(t, "", deadAddress(t))
	host := strings.TrimPrefix(next.url(), "http://")
	f := s.ask("GET " + next.url() + "/a%2fb?q=1 HTTP/1.1\r\nHost: elsewhere\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\n" +
		"X-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.7\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-End: 1\r\n\r\n")
	if f.body != "hi" {
		t.Fatalf("got %d %q", f.StatusCode, f.body)
	}
	head := heads.last(t)
	if !strings.HasPrefix(head, "GET /a%2fb?q=1 HTTP/1.1\r\nHost: "+host+"\r\n") {
		t.Errorf("the next hop got %q", head)
	}
	for name, want := range map[string]string{
		"X-Forwarded-For": "192.0.2.7", "Forwarded": "for=192.0.2.7", "X-Forwarded-Host": "", "Via": "1.1 overtake",
		"Proxy-Connection": "", "Proxy-Authorization": "", "X-Hop": "", "X-End": "1",
	} {
		if got := strings.Join(values(head, name), "|"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestBodiesOfCalls pass both ways, in any framing, on connections that are kept.
func TestBodiesOfCalls(t *testing.T) {
	next := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(204)
		case "/trailer":
			w.Header().Set("Trailer", "X-T")
			io.WriteString(w, "body")
			w.(http.Flusher).Flush()
			w.Header().Set("X-T", "1")
		default:
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("X-Length", fmt.Sprint(r.ContentLength))
			w.Write(body)
		}
	})
	s := startSidecar(t, "", deadAddress(t))
	c := s.caller()
	do := func(method, path string, body io.Reader) fetched {
		req, _ := http.NewRequest(method, next+path, body)
		resp, err := c.Do(req)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return fetched{resp, string(text), err}
	}
	big := strings.Repeat("x", 300_000)
	if f := do("POST", "/", strings.NewReader(big)); f.body != big || f.Header.Get("X-Length") != "300000" {
		t.Errorf("%d bytes came back of a body with %s", len(f.body), f.Header.Get("X-Length"))
	}
	if f := do("POST", "/", onlyReader{strings.NewReader(big)}); f.body != big || f.Header.Get("X-Length") != "-1" {
		t.Errorf("%d bytes came back of a chunked body with %s", len(f.body), f.Header.Get("X-Length"))
	}
	if f := do("HEAD", "/", nil); f.StatusCode != 200 || f.body != "" {
		t.Errorf("HEAD: %d %q", f.StatusCode, f.body)
	}
	if f := do("GET", "/204", nil); f.StatusCode != 204 || f.body != "" {
		t.Errorf("204: %d %q", f.StatusCode, f.body)
	}
	if f := do("GET", "/trailer", nil); f.body != "body" || f.err != nil {
		t.Errorf("with a trailer: %q %v", f.body, f.err)
	}
}

// TestHostRoutes: a route that names hosts leads to an upstream or a queue, by Host
// and by absolute target; one that does not is for others than the app.
func TestHostRoutes(t *testing.T) {
	one := serveApp(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "one for "+r.Host) })
	q := newFakeQueue()
	s := startSidecar(t, `
upstreams: {app: {servers: [$APP]}, one: {servers: ["`+one+`"], limit: {max: 4}}}
queues: {jobs: {}}
routes:
  - {match: {hosts: [one.internal], path: "/x/**"}, upstream: one}
  - {match: {hosts: [jobs.internal]}, queue: jobs}
  - {upstream: app}
`, serveNext(t), q.open())
	for _, target := range []string{"/x/1", "http://one.internal/x/1"} {
		if f := s.ask("GET " + target + " HTTP/1.1\r\nHost: one.internal\r\n\r\n"); f.body != "one for one.internal" {
			t.Errorf("%s: %d %q", target, f.StatusCode, f.body)
		}
	}
	f := s.ask("POST http://jobs.internal/do HTTP/1.1\r\nHost: jobs.internal\r\nContent-Length: 0\r\nLatency-Class: batch\r\n\r\n")
	if f.StatusCode != 202 || !strings.Contains(f.body, `"class":"batch"`) {
		t.Errorf("a call into a queue: %d %s", f.StatusCode, f.body)
	}
	// Jobs are asked for at the host that took them, and nowhere else.
	wantRefusal(t, s.ask("GET /_overtake/jobs/none HTTP/1.1\r\nHost: one.internal\r\n\r\n"), 404, reasonNoUpstream)
	if f := s.ask("GET " + f.Header.Get("Location") + " HTTP/1.1\r\nHost: jobs.internal\r\n\r\n"); f.StatusCode == 202 {
		t.Errorf("asking for a job made another: %d %s", f.StatusCode, f.body)
	}
	for _, host := range []string{"one.internal", "other.internal"} {
		f := s.ask("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		wantRefusal(t, f, 404, reasonNoUpstream)
		if !strings.Contains(f.body, "HTTP_PROXY") {
			t.Errorf("no remedy in %s", f.body)
		}
	}
}

// TestHostileCalls get an answer and reach nobody.
func TestHostileCalls(t *testing.T) {
	next := serveRaw(t)
	seen := next.answering(okNoBody)
	authority := strings.TrimPrefix(next.url(), "http://")
	s := startSidecar(t, "", deadAddress(t))
	via := strings.Repeat("1.1 overtake, ", maxLaps) + "1.1 overtake"
	for _, tc := range []struct {
		name, request string
		status        int
	}{
		{"CONNECT without port", "CONNECT 127.0.0.1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400},
		{"CONNECT with an empty port", "CONNECT 127.0.0.1: HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"CONNECT to port 0", "CONNECT 127.0.0.1:0 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"CONNECT to port 65536", "CONNECT 127.0.0.1:65536 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"CONNECT with userinfo", "CONNECT me@" + authority + " HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"CONNECT without host", "CONNECT :80 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"CONNECT with a path", "CONNECT " + authority + "/x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"CONNECT to a path", "CONNECT /x HTTP/1.1\r\nHost: " + authority + "\r\n\r\n", 400},
		{"CONNECT with length", "CONNECT " + authority + " HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 400},
		{"CONNECT with chunks", "CONNECT " + authority + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"CONNECT to the sidecar", "CONNECT " + s.outbound + " HTTP/1.1\r\nHost: a\r\n\r\n", 508},
		{"a bad IPv6 address", "CONNECT [::1:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"a zone", "CONNECT [fe80::1%25lo]:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"a huge authority", "CONNECT " + strings.Repeat("a", 8000) + ":80 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"a larger one", "CONNECT " + strings.Repeat("a", 16<<10) + ":80 HTTP/1.1\r\nHost: a\r\n\r\n", 431},
		{"https", "GET https://" + authority + "/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"ftp", "GET ftp://" + authority + "/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"userinfo", "GET http://me:secret@" + authority + "/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"a fragment", "GET http://" + authority + "#@evil/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"a backslash", "GET http://" + authority + `\@evil/ HTTP/1.1` + "\r\nHost: a\r\n\r\n", 400},
		{"an escaped host", "GET http://%31%32%37.0.0.1/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"no host", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"the sidecar itself", "GET http://" + s.outbound + "/ HTTP/1.1\r\nHost: a\r\n\r\n", 508},
		{"a loop", "GET " + next.url() + "/ HTTP/1.1\r\nHost: a\r\nVia: " + via + "\r\n\r\n", 508},
		{"two framings", "POST " + next.url() + "/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"another coding", "POST " + next.url() + "/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400},
		{"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			wantRefusal(t, s.ask(tc.request), tc.status, reasonBadRequest)
		})
	}
	if heads := seen.all(); len(heads) > 0 {
		t.Errorf("the next hop got %q", heads)
	}
}

// TestConnectIsForOutbound alone: an inbound listener is no proxy.
func TestConnectIsForOutbound(t *testing.T) {
	s := startSidecar(t, "", deadAddress(t))
	p := s.dial()
	p.send("CONNECT ", s.outbound, " HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, body := p.response("CONNECT")
	wantRefusal(t, fetched{Response: resp, body: body}, 400, reasonBadRequest)
}

// TestFaultsOfCalls are answered as those of the app are.
func TestFaultsOfCalls(t *testing.T) {
	s := startSidecar(t, "", deadAddress(t))
	dead := deadAddress(t)
	for _, call := range []string{"GET " + dead + "/", "CONNECT " + strings.TrimPrefix(dead, "http://")} {
		f := s.ask(call + " HTTP/1.1\r\nHost: a\r\n\r\n")
		wantRefusal(t, f, 502, reasonConnectFailed)
		if !strings.Contains(f.body, "The destination of the call could not be reached: it refused the connection.") {
			t.Errorf("%s: %s; want that it is the destination, and why", call, f.body)
		}
	}
	if n := strings.Count(s.log.String(), "msg=refused reason=connect_failed"); n != 2 {
		t.Errorf("%d refusals are in the log, want 2", n)
	}
	broken := serveRaw(t)
	broken.each(func(c net.Conn) { io.WriteString(c, "220 smtp ready\r\n") })
	f := s.ask("GET " + broken.url() + "/ HTTP/1.1\r\nHost: a\r\n\r\n")
	wantRefusal(t, f, 502, reasonUpstreamFailed)
	if !strings.Contains(f.body, "The destination of the call closed") {
		t.Errorf("%s; want that it is the destination", f.body)
	}
	silent := newGate()
	hanging := serveApp(t, silent.ServeHTTP)
	soon := time.Now().Add(time.Second).UnixMilli()
	wantRefusal(t, s.ask(fmt.Sprintf("GET %s/ HTTP/1.1\r\nHost: a\r\nLatency-Deadline: %d\r\n\r\n", hanging, soon)), 504, reasonDeadline)
	past := time.Now().Add(-time.Second).UnixMilli()
	wantRefusal(t, s.ask(fmt.Sprintf("GET %s/ HTTP/1.1\r\nHost: a\r\nLatency-Deadline: %d\r\n\r\n", hanging, past)), 504, reasonDeadline)
}

// TestAppLeavesItsCall: the next hop learns of it.
func TestAppLeavesItsCall(t *testing.T) {
	gone := make(chan struct{})
	arrived := make(chan struct{})
	next := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(gone)
	})
	s := startSidecar(t, "", deadAddress(t))
	p := s.dialOutbound()
	p.send("GET ", next, "/ HTTP/1.1\r\nHost: a\r\n\r\n")
	receive(t, "the call", arrived)
	p.Close()
	receive(t, "the next hop to learn of it", gone)
	eventually(t, "it is counted", func() bool {
		_, page := s.adminGet("/metrics")
		return strings.Contains(page, `overtake_requests_total{class="standard",code="499",listener="outbound"} 1`)
	})
}

// TestDestinationsAreBounded in number; one that makes room ends no exchange, and
// keeps no connection.
func TestDestinationsAreBounded(t *testing.T) {
	s := startSidecar(t, "", deadAddress(t))
	d := s.destinations
	first := d.to("first:80")
	if d.to("first:80") != first {
		t.Error("asked again, another upstream came")
	}
	for i := range maxDestinations {
		d.to(fmt.Sprintf("host-%d:80", i))
	}
	if n := len(d.open); n != maxDestinations || d.open["first:80"] != nil {
		t.Errorf("%d destinations, the first still there: %v", n, d.open["first:80"] != nil)
	}
	one, other := net.Pipe()
	defer other.Close()
	first.servers[0].put(&upstreamConn{Conn: one})
	if _, err := other.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a connection to a forgotten destination was kept: %v", err)
	}
	d.closeIdle(0)
	if n := len(d.open); n != 0 {
		t.Errorf("%d destinations are left", n)
	}
}

// FuzzDialAddress: what is taken is one host and one port, and means the same when
// it is read again, by us and by the standard library.
func FuzzDialAddress(f *testing.F) {
	for _, authority := range []string{"a", "a:80", "A.b:081", "[::1]:443", "::1", "a@b:1", "a:80:90", ":1", "[fe80::1%25lo]:1", "a\\b:1", "1.2.3.4:99999", "[1.2.3.4]:5"} {
		f.Add(authority, "80")
		f.Add(authority, "")
	}
	f.Fuzz(func(t *testing.T, authority, port string) {
		address, err := dialAddress(authority, port)
		if err != nil {
			return
		}
		host, number, err := net.SplitHostPort(address)
		if err != nil || host == "" || strings.ContainsAny(address, "@/\\?# %\r\n\t") {
			t.Fatalf("%q became %q: %v", authority, address, err)
		}
		if n, err := strconv.ParseUint(number, 10, 16); err != nil || n == 0 {
			t.Errorf("%q became %q", authority, address)
		}
		if again, err := dialAddress(address, ""); again != address || err != nil {
			t.Errorf("%q became %q and that %q, %v", authority, address, again, err)
		}
	})
}
