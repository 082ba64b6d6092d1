package loadgen

import (
	"bufio"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"overtake/loadgen/arrival"
	"overtake/loadgen/content"
)

// handler serves one connection.
type handler func(nc net.Conn, in *bufio.Reader)

// serveRaw runs handle for each connection, for what no HTTP library would send,
// until the test ends. It returns the base URL.
func serveRaw(t *testing.T, handle handler) string {
	t.Helper()
	ln, url := listen(t)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer func() { _ = nc.Close() }()
				handle(nc, bufio.NewReader(nc))
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		running.Wait()
	})
	return url
}

// takeRequest reads a whole request; nil is the end of the connection.
func takeRequest(in *bufio.Reader) *http.Request {
	req, err := http.ReadRequest(in)
	if err != nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return nil
	}
	return req
}

// used counts the connections on which at least one request came.
func used(n *atomic.Int64, answer string, last bool) handler {
	return func(nc net.Conn, in *bufio.Reader) {
		for first := true; takeRequest(in) != nil; first = false {
			if first {
				n.Add(1)
			}
			_, _ = io.WriteString(nc, answer)
			if last {
				return
			}
		}
	}
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// How an answer ends is known from its framing (RFC 9112, section 6.3): the next
// one on the connection is read only if that is got right.
func TestAnswersEndWhereTheyEnd(t *testing.T) {
	for name, test := range map[string]struct {
		method, answer string
		bytes          int64
		failed         string
		closes         bool // the connection serves one request
	}{
		"length":       {answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", bytes: 5},
		"large":        {answer: "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100_000), bytes: 100_000},
		"large header": {answer: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 20_000) + "\r\nContent-Length: 2\r\n\r\nok", bytes: 2},
		"empty":        {answer: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		"chunked":      {answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;a=b\r\nyou\r\n0\r\n\r\n", bytes: 8},
		"zeros":        {answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("0", 40) + "5\r\nhello\r\n0\r\n\r\n", bytes: 5},
		"too large":    {answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8000000000000000\r\nhello", failed: FailRead, closes: true},
		"trailers": {answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" +
			"5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n", bytes: 5},
		"HEAD, no length": {method: "HEAD", answer: "HTTP/1.1 200 OK\r\n\r\n"},
		"options":         {answer: "HTTP/1.1 200 OK\r\nconnection: foo, Close\r\nContent-Length: 2\r\n\r\nok", bytes: 2, closes: true},
		"HTTP/1.0 kept":   {answer: "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok", bytes: 2},
		"HEAD":            {method: "HEAD", answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"},
		"no content":      {answer: "HTTP/1.1 204 No Content\r\n\r\n"},
		"not modified":    {answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", failed: "status 304"},
		"interim":         {answer: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + okAnswer, bytes: 2},
		"close":           {answer: "HTTP/1.1 200 OK\r\n\r\nto the end", bytes: 10, closes: true},
		"told to close":   {answer: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", bytes: 2, closes: true},
		"cut":             {answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", bytes: 2, failed: FailRead, closes: true},
		"cut in a chunk":  {answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", bytes: 2, failed: FailRead, closes: true},
		"no HTTP":         {answer: "220 smtp.example.org ready\r\n\r\n", failed: FailRead, closes: true},
		"more than one":   {answer: okAnswer + okAnswer, bytes: 2, closes: true},
	} {
		t.Run(name, func(t *testing.T) {
			var connections atomic.Int64
			url := serveRaw(t, used(&connections, test.answer, test.closes))
			got, _ := runClass(t, url, 100*time.Millisecond, Class{
				Name: "a", Arrivals: arrival.Plan{Bursts: arrival.Bursts{Size: 3}}, Connections: Connections{Max: 1},
				Request: content.Spec{Method: test.method, Path: "/"},
			}, Options{})
			wantOK, wantConnections := got.Sent, int64(1)
			if test.failed != "" {
				wantOK = 0
			}
			if test.closes {
				wantConnections = got.Sent
			}
			if got.Sent != 3 || got.OK != wantOK || got.Failed[test.failed] != got.Sent-wantOK || got.Bytes != 3*test.bytes {
				t.Errorf("sent %d, ok %d, failed %v, %d bytes", got.Sent, got.OK, got.Failed, got.Bytes)
			}
			if n := connections.Load(); n != wantConnections {
				t.Errorf("%d connections, want %d", n, wantConnections)
			}
		})
	}
}

// A request that is larger than the buffers of its connection holds up nobody,
// and its body comes whole.
func TestLargeRequests(t *testing.T) {
	const size = 3 << 20
	url := serveRaw(t, func(nc net.Conn, in *bufio.Reader) {
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			n, _ := io.Copy(io.Discard, req.Body)
			if answer := okAnswer; n == size {
				_, _ = io.WriteString(nc, answer)
			}
		}
	})
	for name, spec := range map[string]content.Spec{
		"filler": {Method: "POST", Path: "/", BodyBytes: size},
		"body":   {Method: "POST", Path: "/", Body: make([]byte, size)},
	} {
		got, _ := runClass(t, url, 100*time.Millisecond, Class{
			Name: "a", Arrivals: arrival.Plan{Bursts: arrival.Bursts{Size: 4}}, Connections: Connections{Max: 2}, Request: spec,
		}, Options{})
		if got.OK != 4 {
			t.Errorf("%s: ok %d, failed %v", name, got.OK, got.Failed)
		}
	}
}

// A request comes once and whole, whether it is written at once or in parts.
func TestRequestsOfAllSizes(t *testing.T) {
	for _, size := range []int{1, 3000, 5000, 7000, inline - 300, inline, inline + 1, 3 * inline, 100_000} {
		for _, secure := range []bool{false, true} {
			var wrong atomic.Int64
			handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if body, err := io.ReadAll(r.Body); err != nil || len(body) != size || r.ContentLength != int64(size) {
					wrong.Add(1)
				}
			})
			s := httptest.NewUnstartedServer(handler)
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			if secure {
				s.StartTLS()
			} else {
				s.Start()
			}
			for name, spec := range map[string]content.Spec{"body": {Method: "POST", Path: "/", Body: make([]byte, size)}, "filler": {Method: "POST", Path: "/", BodyBytes: int64(size)}} {
				got, _ := runClass(t, s.URL, 50*time.Millisecond, Class{
					Name: "a", Arrivals: arrival.Plan{Bursts: arrival.Bursts{Size: 6}}, Connections: Connections{Max: 2}, Request: spec,
				}, Options{TLS: &tls.Config{InsecureSkipVerify: true}})
				if got.OK != 6 || wrong.Load() != 0 {
					t.Errorf("%s of %d, TLS %v: ok %d, failed %v, %d wrong", name, size, secure, got.OK, got.Failed, wrong.Load())
				}
			}
			s.Close()
		}
	}
}

// A server may answer before it has taken the body, and never take the rest (RFC
// 9112, section 9.3). The answer counts; the connection is of no use any more.
func TestEarlyAnswerToALargeRequest(t *testing.T) {
	var connections atomic.Int64
	ended := make(chan struct{})
	url := serveRaw(t, func(nc net.Conn, in *bufio.Reader) {
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		connections.Add(1)
		_, _ = io.WriteString(nc, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
		<-ended // a close with unread bytes may take the answer away again
	})
	t.Cleanup(func() { close(ended) })
	got, _ := runClass(t, url, 100*time.Millisecond, Class{
		Name: "a", Arrivals: arrival.Plan{Bursts: arrival.Bursts{Size: 2}}, Connections: Connections{Max: 1},
		Request: content.Spec{Method: "POST", Path: "/", BodyBytes: 64 << 20},
	}, Options{})
	if got.Failed["status 413"] != 2 || connections.Load() != 2 {
		t.Errorf("ok %d, failed %v, %d connections", got.OK, got.Failed, connections.Load())
	}
}

// hang takes requests and answers none.
func hang(_ net.Conn, in *bufio.Reader) { _, _ = io.Copy(io.Discard, in) }

// What went wrong with an answer is told beside the kind of failure, and never more than
// a line of what the server has sent.
func TestFirstFailures(t *testing.T) {
	for answer, want := range map[string]string{
		"\x15\x03\x01\x00\x02\x02\x46":                                             "the connection ended before the answer was whole",
		"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n":                               "an answer without a status line of HTTP/1",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel":                          "the connection ended before the answer was whole",
		"HTTP/1.1 200 OK\r\nContent-Length: x\r\nSet-Cookie: secret\r\n\r\n":       "an answer with a broken header: ",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n":               "an answer with broken chunks",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", largestHeader) + "\r\n\r\n": "an answer with a header of over 64 KiB",
	} {
		var connections atomic.Int64
		got, _ := runClass(t, serveRaw(t, used(&connections, answer, true)), 50*time.Millisecond, Class{
			Name: "a", Arrivals: arrival.Plan{Bursts: arrival.Bursts{Size: 2}}, Request: content.Spec{Path: "/"},
		}, Options{})
		text := got.FirstFailures[FailRead]
		if got.Failed[FailRead] != 2 || len(got.FirstFailures) != 1 || !strings.HasPrefix(text, want) || strings.Contains(text, "secret") || len(text) > maxErrorText {
			t.Errorf("%.20q: failed %v, first %q", answer, got.Failed, got.FirstFailures)
		}
	}
}
