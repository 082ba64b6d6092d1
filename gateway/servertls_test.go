package gateway

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// testCA signs certificates for a test, and keeps them in files.
type testCA struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newTestCA writes its own certificate as ca.pem.
func newTestCA(t *testing.T) *testCA {
	a := &testCA{t: t, dir: t.TempDir()}
	template := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, Subject: pkix.Name{CommonName: "a test"}, KeyUsage: x509.KeyUsageCertSign}
	a.cert, a.key = a.sign("ca", template)
	return a
}

// issue writes NAME.pem and NAME.key for a host name or an address.
func (a *testCA) issue(name, host string) tls.Certificate {
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{host}}
	if ip := net.ParseIP(host); ip != nil {
		template.DNSNames, template.IPAddresses = nil, []net.IP{ip}
	}
	a.sign(name, template)
	pair, err := tls.LoadX509KeyPair(a.file(name+".pem"), a.file(name+".key"))
	if err != nil {
		a.t.Fatal(err)
	}
	return pair
}

func (a *testCA) file(name string) string { return filepath.Join(a.dir, name) }

func (a *testCA) sign(name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(a.file(file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// pool is what a server needs to check the certificates of its clients.
func (a *testCA) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// serveTLS runs an https:// app and returns its URL.
func serveTLS(t *testing.T, c *tls.Config, handler http.HandlerFunc) string {
	t.Helper()
	ln := listenLoopback(t)
	server := &http.Server{Handler: handler, TLSConfig: c, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() { defer close(done); server.ServeTLS(ln, "", "") }()
	t.Cleanup(func() { server.Close(); <-done })
	return "https://" + ln.Addr().String()
}

func TestServerOverTLS(t *testing.T) {
	a := newTestCA(t)
	var protocol, name atomic.Value
	var handshakes atomic.Int32
	app := serveTLS(t, &tls.Config{
		Certificates: []tls.Certificate{a.issue("app", "app.internal")}, NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			name.Store(hello.ServerName)
			handshakes.Add(1)
			return nil, nil
		},
	}, func(w http.ResponseWriter, r *http.Request) {
		protocol.Store(r.TLS.NegotiatedProtocol + " " + r.Proto)
		io.Copy(w, r.Body)
	})
	g := start(t, fmt.Sprintf("upstreams: {app: {servers: [$APP], tls: {ca: %s, server_name: app.internal}}}", a.file("ca.pem")), app)
	for _, size := range []int{0, 100, 1 << 20} {
		body := bytes.Repeat([]byte("x"), size)
		if f := g.fetch("POST", "/", bytes.NewReader(body)); f.err != nil || f.StatusCode != 200 || f.body != string(body) {
			t.Fatalf("%d bytes: %v, %v, %d bytes", size, f.Response, f.err, len(f.body))
		}
	}
	if got := protocol.Load(); got != "http/1.1 HTTP/1.1" {
		t.Errorf("the server was spoken to by %s", got)
	}
	if got := name.Load(); got != "app.internal" {
		t.Errorf("it was asked for as %q", got)
	}
	if n := handshakes.Load(); n != 1 {
		t.Errorf("3 requests in a row took %d handshakes", n)
	}
	if code, _ := g.adminGet("/readyz"); code != 200 {
		t.Errorf("/readyz answers %d", code)
	}
}

// TestClassesHaveTLSConnectionsOfTheirOwn: where the kernel is told to treat them
// differently.
func TestClassesHaveTLSConnectionsOfTheirOwn(t *testing.T) {
	a := newTestCA(t)
	var mu sync.Mutex
	from := make(map[string]map[string]bool) // class -> addresses of the connections
	app := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{a.issue("app", "127.0.0.1")}}, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		class := r.Header.Get("Latency-Class")
		if from[class] == nil {
			from[class] = make(map[string]bool)
		}
		from[class][r.RemoteAddr] = true
	})
	g := start(t, fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0", trust: ["127.0.0.0/8"]}]
classes: [{name: interactive, socket: {priority: 6}}, {name: standard}, {name: batch, socket: {priority: 1}}]
upstreams: {app: {servers: [$APP], tls: {ca: %s}}}
`, a.file("ca.pem")), app)
	for range 3 {
		for _, class := range []string{"interactive", "standard", "batch"} {
			g.get("/", "Latency-Class: "+class)
		}
	}
	all := make(map[string]bool)
	for class, addresses := range from {
		maps.Copy(all, addresses)
		if len(addresses) != 1 {
			t.Errorf("class %s came by %d connections", class, len(addresses))
		}
	}
	if len(from) != 3 || len(all) != 3 {
		t.Errorf("the classes came by %v", from)
	}
}

// TestServerWhoseTLSFails: nothing is sent to it, others answer, and the log says what
// to do.
func TestServerWhoseTLSFails(t *testing.T) {
	a, other := newTestCA(t), newTestCA(t)
	greet := func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hi") }
	plain := serveApp(t, greet)
	good := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{a.issue("good", "127.0.0.1")}}, greet)
	for _, tc := range []struct {
		name, server, remedy string
	}{
		{"certificate of another authority", serveTLS(t, &tls.Config{Certificates: []tls.Certificate{other.issue("app", "127.0.0.1")}}, greet), "as the upstream's tls.ca"},
		{"certificate for another name", serveTLS(t, &tls.Config{Certificates: []tls.Certificate{a.issue("name", "elsewhere")}}, greet), "as the upstream's tls.server_name"},
		{"no TLS", strings.Replace(plain, "http://", "https://", 1), "write http:// for it"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := start(t, fmt.Sprintf("upstreams: {app: {servers: [$APP, %q], tls: {ca: %s}}}", good, a.file("ca.pem")), tc.server)
			for range 4 {
				if f := g.fetch("POST", "/", strings.NewReader("x")); f.body != "hi" {
					t.Errorf("got %q, %v", f.body, f.err)
				}
			}
			if s := g.upstreams["app"].standings(); s[0].standing != serverDown || s[1].standing != serverUp {
				t.Errorf("the servers are %v and %v", s[0].standing, s[1].standing)
			}
			if text := g.log.String(); !strings.Contains(text, tc.remedy) || strings.Count(text, "level=WARN") != 1 {
				t.Errorf("the log does not say %q, once", tc.remedy)
			}
		})
	}
	t.Run("alone", func(t *testing.T) {
		g := start(t, "", good) // the system's authorities do not know it
		wantRefusal(t, g.get("/"), 502, "connect_failed")
		if code, body := g.adminGet("/readyz"); code != 503 || !strings.Contains(body, "tls.ca") {
			t.Errorf("/readyz: %d %s", code, body)
		}
	})
}

// TestServerThatNeverShakesHands: it takes the connection and says nothing.
func TestServerThatNeverShakesHands(t *testing.T) {
	silent := serveRaw(t)
	g := start(t, "upstreams: {app: {servers: [$APP], timeout: 100ms}}", strings.Replace(silent.url(), "http", "https", 1))
	wantRefusal(t, g.get("/"), 502, "connect_failed")
}

// TestCertificateForServers: they get it when they ask for one, and a new one as soon
// as it is in the file.
func TestCertificateForServers(t *testing.T) {
	a := newTestCA(t)
	app := serveTLS(t, &tls.Config{
		Certificates: []tls.Certificate{a.issue("app", "127.0.0.1")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.pool(),
	}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		io.WriteString(w, r.TLS.PeerCertificates[0].DNSNames[0])
	})
	without := start(t, fmt.Sprintf("upstreams: {app: {servers: [$APP], tls: {ca: %s}}}", a.file("ca.pem")), app)
	if f := without.get("/"); f.StatusCode != 502 {
		t.Errorf("without a certificate: %s", f.Status)
	}
	a.issue("us", "first")
	g := start(t, fmt.Sprintf("upstreams: {app: {servers: [$APP], tls: {ca: %s, cert: %s, key: %s}}}",
		a.file("ca.pem"), a.file("us.pem"), a.file("us.key")), app)
	if f := g.get("/"); f.body != "first" {
		t.Errorf("it came as %q", f.body)
	}
	a.issue("us", "second")
	g.upstreams["app"].servers[0].tls.ClientSessionCache = nil // a session that is resumed shows no certificate again
	if f := g.get("/"); f.body != "second" {
		t.Errorf("after the file has changed it came as %q", f.body)
	}
	if err := os.WriteFile(a.file("us.pem"), []byte("half wri"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f := g.get("/"); f.body != "first" {
		t.Errorf("while the file is broken it came as %q", f.body)
	}
}

// corked holds back what is written while it is on, and then sends it at once.
type corked struct {
	net.Conn
	on   bool
	held []byte
}

func (c *corked) Write(p []byte) (int, error) {
	if !c.on {
		return c.Conn.Write(p)
	}
	c.held = append(c.held, p...)
	return len(p), nil
}

func (c *corked) uncork() {
	c.on = false
	c.Conn.Write(c.held)
}

// TestTLSServerThatTalksUnaskedIsNotBelieved: what TLS has read ahead is not taken for
// the next answer.
func TestTLSServerThatTalksUnaskedIsNotBelieved(t *testing.T) {
	a := newTestCA(t)
	secure := &tls.Config{Certificates: []tls.Certificate{a.issue("app", "127.0.0.1")}}
	app := serveRaw(t)
	var requests atomic.Int32
	app.each(func(c net.Conn) {
		cork := &corked{Conn: c}
		server := tls.Server(cork, secure)
		br := bufio.NewReader(server)
		for {
			if _, err := readHead(br); err != nil {
				return
			}
			requests.Add(1)
			cork.on, cork.held = true, nil
			for _, text := range []string{"true", "forged"} { // in a record each
				fmt.Fprintf(server, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
			}
			cork.uncork()
		}
	})
	g := start(t, fmt.Sprintf("upstreams: {app: {servers: [$APP], tls: {ca: %s}}}", a.file("ca.pem")), strings.Replace(app.url(), "http", "https", 1))
	for range 3 {
		if f := g.get("/"); f.body != "true" {
			t.Errorf("the client got %q", f.body)
		}
	}
	if n := requests.Load(); n != 3 {
		t.Errorf("the server got %d requests, want 3", n)
	}
}
