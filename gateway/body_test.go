package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// bodySizes are at, and beside, the sizes where a buffer ends: fasthttp's
// prefetched part, its write buffer, the gateway's, and what needs many.
var bodySizes = []int{0, 1, 4 << 10, 8<<10 - 1, 8 << 10, 8<<10 + 1, 16 << 10, 32<<10 + 1, 64 << 10, 5 << 20}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	r.Read(b)
	return b
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// onlyReader hides a body's length, so that it is sent in chunks.
type onlyReader struct{ io.Reader }

func TestBodiesArriveWhole(t *testing.T) {
	// The app says what it got, and sends ?size bytes back, framed as asked.
	g := start(t, "", serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("the app read %d bytes, then %v", len(got), err)
		}
		size, _ := strconv.Atoi(r.URL.Query().Get("size"))
		w.Header().Set("X-Got", hash(got))
		w.Header().Set("X-Got-Length", fmt.Sprint(r.ContentLength))
		if r.URL.Query().Get("framing") == "length" {
			w.Header().Set("Content-Length", strconv.Itoa(size))
		} else {
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
		}
		w.Write(randomBytes(size))
	}))
	c := client(t)
	for _, size := range bodySizes {
		for _, framing := range []string{"length", "chunked"} {
			t.Run(fmt.Sprintf("%d %s", size, framing), func(t *testing.T) {
				sent := randomBytes(size)
				var body io.Reader = bytes.NewReader(sent)
				wantLength := fmt.Sprint(size)
				if framing == "chunked" && size > 0 {
					body, wantLength = onlyReader{body}, "-1"
				}
				f := g.fetchBy(c, http.MethodPost, fmt.Sprintf("/?size=%d&framing=%s", size, framing), body)
				if f.err != nil {
					t.Fatal(f.err)
				}
				if f.Header.Get("X-Got") != hash(sent) || f.Header.Get("X-Got-Length") != wantLength {
					t.Errorf("the app got another body, with length %s, want %s", f.Header.Get("X-Got-Length"), wantLength)
				}
				if hash([]byte(f.body)) != hash(randomBytes(size)) {
					t.Errorf("the client got another body of %d bytes", len(f.body))
				}
				if framing == "length" && f.ContentLength != int64(size) || framing == "chunked" && f.ContentLength > 0 {
					t.Errorf("the response has length %d", f.ContentLength)
				}
			})
		}
	}
}

func TestUploadDoesNotCostTheConnection(t *testing.T) {
	var dialled atomic.Int32
	last := ""
	var mu sync.Mutex
	g := start(t, "", serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if last != r.RemoteAddr {
			last = r.RemoteAddr
			dialled.Add(1)
		}
		mu.Unlock()
		io.Copy(io.Discard, r.Body)
	}))
	p := g.dial()
	for i := range 200 {
		size := 9000 + i
		p.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ", strconv.Itoa(size), "\r\n\r\n", strings.Repeat("x", size))
		if resp, _ := p.response("POST"); resp.Close {
			t.Fatalf("the connection was closed after upload %d", i+1)
		}
		p.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
		if resp, _ := p.response("POST"); resp.Close {
			t.Fatalf("the connection was closed after chunked upload %d", i+1)
		}
	}
	if n := dialled.Load(); n > 5 { // one, unless a sender is held up for long by a busy machine
		t.Errorf("%d connections to the app for requests one after the other", n)
	}
}

func TestGetWithABodyKeepsItsFraming(t *testing.T) {
	app := serveRaw(t)
	g := start(t, "", app.url())
	p := g.dial()
	p.send("GET /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbodyGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	up := app.next()
	if head := up.head(); !strings.HasPrefix(head, "GET /1 ") || up.body(4) != "body" {
		t.Errorf("head %q", head)
	}
	up.send(okNoBody)
	if head := up.head(); !strings.HasPrefix(head, "GET /2 ") {
		t.Errorf("head %q", head)
	}
	up.send(okNoBody)
	p.response("GET")
	p.response("GET")
}

func TestEarlyAnswerBeatsTheUpload(t *testing.T) {
	g := start(t, "", serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "too much", http.StatusRequestEntityTooLarge) // nothing was read
	}))
	for _, framing := range []string{"length", "chunked"} {
		t.Run(framing, func(t *testing.T) {
			var body io.Reader = bytes.NewReader(make([]byte, 50<<20))
			if framing == "chunked" {
				body = onlyReader{body}
			}
			f := g.fetch(http.MethodPost, "/", body)
			if f.err != nil || f.StatusCode != http.StatusRequestEntityTooLarge || f.body != "too much\n" {
				t.Fatalf("got %v %q, %v", f.Response, f.body, f.err)
			}
			if !f.Close {
				t.Error("the connection stays open, with the rest of the upload on it")
			}
			g.wholeAgain()
		})
	}
}

func TestBothDirectionsAtOnce(t *testing.T) {
	g := start(t, "", serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		part := make([]byte, 1)
		for {
			if _, err := io.ReadFull(r.Body, part); err != nil {
				return
			}
			w.Write(part)
			w.(http.Flusher).Flush()
		}
	}))
	p := g.dial()
	p.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	if head := p.head(); !strings.HasPrefix(head, "HTTP/1.1 200 OK") {
		t.Fatalf("head %q", head)
	}
	for _, c := range "ping-pong" { // each answered before the next is sent
		p.send("1\r\n", string(c), "\r\n")
		if got := p.body(6); got != "1\r\n"+string(c)+"\r\n" {
			t.Fatalf("sent %q, got %q", c, got)
		}
	}
	p.send("0\r\n\r\n")
	if got := p.body(5); got != "0\r\n\r\n" {
		t.Errorf("the end is %q", got)
	}
}

func TestPartsOfABodyArriveBeforeTheRest(t *testing.T) {
	for _, framing := range []string{"Content-Length: 8", "Transfer-Encoding: chunked", "Connection: close"} {
		t.Run(framing, func(t *testing.T) {
			app := serveRaw(t)
			g := start(t, "", app.url())
			p := g.dial()
			p.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			up := app.next()
			up.head()
			part := func(s string) string {
				if framing == "Content-Length: 8" {
					return s
				}
				return fmt.Sprintf("%x\r\n%s\r\n", len(s), s)
			}
			toApp := part
			if framing == "Connection: close" {
				toApp = func(s string) string { return s }
			}
			up.send("HTTP/1.1 200 OK\r\n", framing, "\r\n\r\n", toApp("half"))
			p.head()
			if got := p.body(len(part("half"))); got != part("half") {
				t.Errorf("got %q", got)
			}
			up.send(toApp("rest"))
			if got := p.body(len(part("rest"))); got != part("rest") {
				t.Errorf("got %q", got)
			}
			if framing == "Transfer-Encoding: chunked" {
				up.send("0\r\n\r\n")
			}
			up.Close()
		})
	}
}

func TestAppThatDiesLeavesABrokenBody(t *testing.T) {
	for _, tc := range []struct{ name, header, part string }{
		{"length", "Content-Length: 1000", strings.Repeat("x", 100)},
		{"chunked", "Transfer-Encoding: chunked", "64\r\n" + strings.Repeat("x", 100) + "\r\n"},
		{"inside a chunk", "Transfer-Encoding: chunked", "65\r\n" + strings.Repeat("x", 100)},
		{"garbage for a chunk", "Transfer-Encoding: chunked", "64\r\n" + strings.Repeat("x", 100) + "\r\nzz\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			app := serveRaw(t)
			g := start(t, "", app.url())
			p := g.dial()
			p.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			up := app.next()
			up.head()
			up.send("HTTP/1.1 200 OK\r\n", tc.header, "\r\n\r\n", tc.part)
			up.Close()
			resp, err := http.ReadResponse(p.br, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			if err == nil || isTimeout(err) {
				t.Errorf("the body ended as if it were whole, or not at all: %v", err)
			}
			if strings.Trim(string(got), "x") != "" || len(got) != 100 {
				t.Errorf("the client got %q", got)
			}
			p.closed()
			g.wholeAgain()

			p = g.dial()
			p.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			next := app.next() // not the broken connection
			next.head()
			next.send(okNoBody)
			p.response("GET")
		})
	}
}

func TestClientThatDiesInAnUpload(t *testing.T) {
	for name, sent := range map[string]string{
		"length":         "Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 0x3000),
		"inside a chunk": "Transfer-Encoding: chunked\r\n\r\n4000\r\n" + strings.Repeat("x", 0x3000),
		"after a chunk":  "Transfer-Encoding: chunked\r\n\r\n3000\r\n" + strings.Repeat("x", 0x3000) + "\r\n",
		"at no chunk":    "Transfer-Encoding: chunked\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			g := start(t, "", serveApp(t, func(w http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				ended <- err
			}))
			p := g.dial()
			p.send("POST / HTTP/1.1\r\nHost: a\r\n", sent)
			eventually(t, "the request runs", func() bool { return g.running() == 1 })
			p.Close()
			if err := receive(t, "the app to see the end", ended); err == nil {
				t.Error("the app took the half of a body for the whole")
			}
		})
	}
}

func TestSlowReaderGetsEverything(t *testing.T) {
	body := randomBytes(32 << 20) // more than the kernel keeps for us
	g := start(t, "", serveApp(t, func(w http.ResponseWriter, r *http.Request) { w.Write(body) }))
	p := g.dial()
	p.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	eventually(t, "the answer is on its way", func() bool { return g.running() == 1 && p.br.Buffered() == 0 })
	if n := g.running(); n != 1 {
		t.Errorf("%d slots in use while the client reads, want 1", n)
	}
	if _, got := p.response("GET"); hash([]byte(got)) != hash(body) {
		t.Errorf("got another body of %d bytes", len(got))
	}
}

func TestResponsesWithoutABody(t *testing.T) {
	for _, tc := range []struct {
		name, method, answer string
		want                 string // Content-Length
	}{
		{"HEAD with length", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", "1234"},
		{"HEAD without length", "HEAD", "HTTP/1.1 200 OK\r\n\r\n", ""},
		{"HEAD chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ""},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", ""},
		{"204 with length", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", ""},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nEtag: x\r\n\r\n", ""},
		{"304 with length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n", "77"},
		{"empty", "GET", okNoBody, "0"},
		{"empty, for a POST", "POST", okNoBody, "0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			app := serveRaw(t)
			app.answering(tc.answer)
			g := start(t, "", app.url())
			p := g.dial()
			for range 3 { // the framing of each is right if the next one's is
				p.send(tc.method, " / HTTP/1.1\r\nHost: a\r\n\r\n")
				head := p.head()
				if first, _, _ := strings.Cut(tc.answer, "\r\n"); !strings.HasPrefix(head, first+"\r\n") {
					t.Fatalf("head %q", head)
				}
				if got := strings.Join(values(head, "Content-Length"), "|"); got != tc.want {
					t.Errorf("Content-Length %q, want %q", got, tc.want)
				}
				if strings.Contains(head, "Transfer-Encoding") || strings.Contains(head, "Connection: close") {
					t.Errorf("head %q", head)
				}
			}
		})
	}
}

func TestBodyUntilCloseBecomesChunked(t *testing.T) {
	app := serveRaw(t)
	g := start(t, "", app.url())
	p := g.dial()
	for range 2 {
		p.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		up := app.next()
		up.head()
		up.send("HTTP/1.0 200 OK\r\n\r\nold but gold")
		up.Close()
		if resp, body := p.response("GET"); body != "old but gold" || len(resp.TransferEncoding) == 0 {
			t.Errorf("body %q, coding %v", body, resp.TransferEncoding)
		}
	}
}

// The class's deadline is for the whole request: an answer that goes on for
// longer is broken off, visibly, and its slot is given back.
func TestDeadlineEndsTheBody(t *testing.T) {
	app := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("begun"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done() // until the gateway gives up
	})
	g := start(t, "classes: [{name: standard, deadline: 200ms}]\n", app)
	resp, err := client(t).Get(g.url("/"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 || string(body) != "begun" || err == nil {
		t.Errorf("status %d, body %q, error %v; want a broken body", resp.StatusCode, body, err)
	}
	g.wholeAgain()
}
