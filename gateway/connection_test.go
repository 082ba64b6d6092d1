package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestConnectionIsUsedAgain(t *testing.T) {
	app := serveRaw(t)
	seen := app.answering(okNoBody)
	g := start(t, "", app.url())
	p := g.dial()
	for range 10 {
		p.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		p.response("GET")
	}
	if n := len(seen.all()); n != 10 {
		t.Errorf("%d requests, want 10", n)
	}
	if n := len(app.accepted); n != 0 {
		t.Errorf("%d more connections to the app", n)
	}
}

func TestClientMayAskToClose(t *testing.T) {
	app := serveRaw(t)
	app.answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
	g := start(t, "", app.url())
	for _, line := range []string{"Connection: close", "connection: Close", "Connection: X-A, close", "Connection: close\r\nConnection: X-A"} {
		p := g.dial()
		p.send("GET / HTTP/1.1\r\nHost: a\r\n", line, "\r\n\r\n")
		if resp, _ := p.response("GET"); !resp.Close {
			t.Errorf("%q: the answer does not say close", line)
		}
		p.closed()
	}
}

func TestServerMayAskToClose(t *testing.T) {
	for _, line := range []string{"Connection: close", "connection: Close", "Connection: X-A, close", "Connection: close\r\nConnection: X-A"} {
		app := serveRaw(t)
		g := start(t, "", app.url())
		p := g.dial()
		for range 2 {
			p.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
			up := app.next()
			up.head()
			up.send("HTTP/1.1 200 OK\r\n", line, "\r\nContent-Length: 2\r\n\r\nhi")
			if resp, body := p.response("POST"); resp.Close || body != "hi" {
				t.Errorf("%q: body %q, close %v: what is between gateway and app is no client's matter", line, body, resp.Close)
			}
			up.closed()
		}
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	g := start(t, "", serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.URL.Path, body)
	}))
	big := strings.Repeat("x", 20_000)
	p := g.dial()
	go io.WriteString(p, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"+
		"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"+
		"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n"+
		"POST /4 HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n"+big+
		"HEAD /5 HTTP/1.1\r\nHost: a\r\n\r\n"+
		"GET /6 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	for _, want := range []string{"/1 ", "/2 abc", "/3 def", "/4 " + big, "HEAD", "/6 "} {
		if want == "HEAD" {
			p.response("HEAD")
			continue
		}
		if _, body := p.response("GET"); body != want {
			t.Fatalf("got %.40q, want %.40q", body, want)
		}
	}
	p.closed()
}

func TestShedRequestBetweenPipelinedOnes(t *testing.T) {
	app := serveApp(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) })
	g := start(t, `
upstreams: {app: {servers: [$APP]}, none: {servers: ["`+deadAddress(t)+`"]}}
routes: [{match: {path: /dead}, upstream: none}, {upstream: app}]
`, app)
	p := g.dial()
	p.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /dead HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /dead HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1f\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n",
		"GET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
	for _, want := range []string{"/1", "502", "502", "/3"} {
		resp, body := p.response("GET")
		if want == "502" {
			wantRefusal(t, fetched{Response: resp, body: body}, http.StatusBadGateway, reasonConnectFailed)
		} else if body != want {
			t.Errorf("got %q, want %q", body, want)
		}
	}
}

func TestUnreadBodyNeverBecomesARequest(t *testing.T) {
	evil := strings.Repeat("GET /evil HTTP/1.1\r\nHost: a\r\n\r\n", 10_000)
	for _, framing := range []string{"length", "chunked"} {
		t.Run(framing, func(t *testing.T) {
			app := serveRaw(t)
			seen := app.answering(okNoBody)
			g := start(t, "rules: [{class: batch}]\nroutes: [{match: {path: /evil}, upstream: app}]", app.url())
			p := g.dial()
			go func() {
				if framing == "length" {
					fmt.Fprintf(p, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(evil), evil)
				} else {
					fmt.Fprintf(p, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(evil), evil)
				}
			}()
			resp, body := p.response("POST")
			wantRefusal(t, fetched{Response: resp, body: body}, http.StatusNotFound, reasonNoUpstream)
			if !strings.Contains(body, `"class":"batch"`) || !resp.Close {
				t.Errorf("close %v, body %s", resp.Close, body)
			}
			p.closed()
			if heads := seen.all(); len(heads) > 0 {
				t.Errorf("the app got %q", heads)
			}
		})
	}
}

func TestExpectationIsAnswered(t *testing.T) {
	g := start(t, "routes: [{match: {path: /ok}, upstream: app}]", serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s|%s", body, r.Header.Get("Expect"))
	}))
	for _, line := range []string{"Expect: 100-continue", "expect: 100-Continue", "EXPECT: 100-continue", "eXpect: 100-continue"} {
		p := g.dial()
		p.send("POST /ok HTTP/1.1\r\nHost: a\r\n", line, "\r\nContent-Length: 4\r\n\r\n")
		if head := p.head(); head != "HTTP/1.1 100 Continue\r\n\r\n" {
			t.Fatalf("%s: %q", line, head)
		}
		p.send("body")
		if _, body := p.response("POST"); body != "body|" {
			t.Errorf("%s: %q", line, body)
		}
		p.send("POST /refused HTTP/1.1\r\nHost: a\r\n", line, "\r\nContent-Length: 4\r\n\r\n")
		if head := p.head(); head != "HTTP/1.1 100 Continue\r\n\r\n" {
			t.Fatalf("%s: %q", line, head)
		}
		p.send("body")
		resp, body := p.response("POST")
		wantRefusal(t, fetched{Response: resp, body: body}, http.StatusNotFound, reasonNoUpstream)
	}
}

func TestHTTP10Client(t *testing.T) {
	for _, tc := range []struct {
		name, answer, body string
		keeps              bool
	}{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", "body", true},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n", "body", false},
		{"trailer", "HTTP/1.1 200 OK\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-T: 1\r\n\r\n", "body", false},
		{"empty", "HTTP/1.1 204 No Content\r\n\r\n", "", true},
	} {
		for _, connection := range []string{"", "Connection: keep-alive\r\n"} {
			t.Run(tc.name+" "+connection, func(t *testing.T) {
				app := serveRaw(t)
				app.answering(tc.answer)
				g := start(t, "", app.url())
				p := g.dial()
				for range 2 {
					p.send("GET / HTTP/1.0\r\n", connection, "\r\n")
					head := p.head()
					if strings.Contains(head, "Transfer-Encoding") {
						t.Errorf("an HTTP/1.0 client got %q", head)
					}
					if body := p.body(len(tc.body)); body != tc.body {
						t.Errorf("body %q", body)
					}
					if connection == "" || !tc.keeps {
						p.closed()
						break
					}
					if !strings.Contains(strings.ToLower(head), "connection: keep-alive") {
						t.Errorf("the client is not told that the connection stays: %q", head)
					}
				}
			})
		}
	}
}

// TestHTTP10ClientOfABrokenAnswer: the end of the connection is not that of the answer.
func TestHTTP10ClientOfABrokenAnswer(t *testing.T) {
	cert, key := selfSigned(t)
	app := serveRaw(t)
	g := start(t, `listeners: [{address: "127.0.0.1:0"}, {address: "127.0.0.1:0", tls: {cert: `+cert+`, key: `+key+`}}]`, app.url())
	for _, header := range []string{"Transfer-Encoding: chunked\r\n\r\n4\r\n", "\r\n"} {
		for name, dial := range map[string]func() (net.Conn, error){
			"plain": func() (net.Conn, error) { return net.Dial("tcp", g.addr) },
			"TLS": func() (net.Conn, error) {
				return tls.Dial("tcp", g.listeners[1].inner.Addr().String(), &tls.Config{InsecureSkipVerify: true})
			},
		} {
			c, err := dial()
			if err != nil {
				t.Fatal(err)
			}
			p := newPeer(t, c)
			p.send("GET / HTTP/1.0\r\n\r\n")
			up := app.next()
			up.head()
			up.send("HTTP/1.1 200 OK\r\n", header, "half")
			p.head()
			p.body(4)
			_ = up.Conn.(*net.TCPConn).SetLinger(0)
			up.Close()
			if rest, err := io.ReadAll(p.br); len(rest) > 0 || err == nil || isTimeout(err) {
				t.Errorf("%s, %q: at the end came %q, %v", name, header, rest, err)
			}
		}
	}
}

func TestHTTP10ClientWithoutHost(t *testing.T) {
	head := forwarded(t, "", "GET /x HTTP/1.0\r\n\r\n")
	if !strings.HasPrefix(head, "GET /x HTTP/1.1\r\nHost: \r\n") {
		t.Errorf("the app got %q", head)
	}
}

func TestHTTPS(t *testing.T) {
	cert, key := selfSigned(t)
	app := serveRaw(t)
	seen := app.answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
	g := start(t, `listeners: [{address: "127.0.0.1:0", tls: {cert: `+cert+`, key: `+key+`}}]`, app.url())
	c := client(t)
	c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	resp, err := c.Post("https://"+g.addr+"/x", "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != "hi" {
		t.Errorf("body %q", body)
	}
	wantFields(t, seen.all()[0], map[string][]string{"X-Forwarded-Proto": {"https"}})
}

// TestHalfOfABodyByTLS: with TLS the end of what a client sends is told by TLS.
func TestHalfOfABodyByTLS(t *testing.T) {
	cert, key := selfSigned(t)
	ended := make(chan error, 1)
	g := start(t, `listeners: [{address: "127.0.0.1:0", tls: {cert: `+cert+`, key: `+key+`}}]`,
		serveApp(t, func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			ended <- err
		}))
	c, err := tls.Dial("tcp", g.addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, c)
	p.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
	eventually(t, "the request runs", func() bool { return g.running() == 1 })
	if err := c.CloseWrite(); err != nil { // of TLS alone: the connection stays open
		t.Fatal(err)
	}
	if err := receive(t, "the app to see the end", ended); err == nil {
		t.Error("the app took the half of a body for the whole")
	}
}

// selfSigned writes a certificate for loopback.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
