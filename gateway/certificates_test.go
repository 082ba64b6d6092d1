package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// issuer issues certificates.
type issuer struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string    // PEM
	end  time.Time // of what it issues
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	a := &issuer{t: t, end: time.Now().Add(time.Hour)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the issuer"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, key := a.sign(template)
	a.key = key
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.file = filepath.Join(t.TempDir(), "ca.pem")
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

// sign signs a certificate, or the issuer's own.
func (a *issuer) sign(template *x509.Certificate) (der []byte, key *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	if der, err = x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer); err != nil {
		a.t.Fatal(err)
	}
	return der, key
}

// issue writes a certificate for the names, and its key, into dir: a name with a
// slash is a URI, one that begins with CN= the common name.
func (a *issuer) issue(dir string, names ...string) (cert, key string) {
	a.t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: a.end}
	for _, name := range names {
		switch cn, isCN := strings.CutPrefix(name, "CN="); {
		case isCN:
			template.Subject.CommonName = cn
		case strings.Contains(name, "/"):
			u, err := url.Parse(name)
			if err != nil {
				a.t.Fatal(err)
			}
			template.URIs = append(template.URIs, u)
		default:
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, private := a.sign(template)
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePEM(a.t, cert, "CERTIFICATE", der)
	writePEM(a.t, key, "PRIVATE KEY", keyDER)
	return cert, key
}

// pair issues a certificate for the names to a client.
func (a *issuer) pair(names ...string) tls.Certificate {
	a.t.Helper()
	pair, err := tls.LoadX509KeyPair(a.issue(a.t.TempDir(), names...))
	if err != nil {
		a.t.Fatal(err)
	}
	return pair
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// shown returns the DNS name of the certificate that a client which names host is
// shown.
func (g *testGateway) shown(host string) string {
	g.t.Helper()
	c, err := tls.Dial("tcp", g.addr, &tls.Config{ServerName: host, InsecureSkipVerify: true})
	if err != nil {
		g.t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].DNSNames[0]
}

func TestCertificateByName(t *testing.T) {
	ca := newIssuer(t)
	pair := func(names ...string) string {
		cert, key := ca.issue(t.TempDir(), names...)
		return "cert: " + cert + ", key: " + key
	}
	g := start(t, `listeners: [{address: "127.0.0.1:0", tls: {`+pair("default.example")+`, certificates: [{`+
		pair("a.example", "aa.example")+`}, {`+pair("*.b.example")+`}]}}]`, deadAddress(t))
	for host, want := range map[string]string{
		"a.example": "a.example", "aa.example": "a.example", "A.Example": "a.example", "x.b.example": "*.b.example",
		"b.example": "default.example", "": "default.example", "default.example": "default.example",
	} {
		if got := g.shown(host); got != want {
			t.Errorf("who names %q is shown the certificate of %s, want %s", host, got, want)
		}
	}
}

func TestCertificatesAreReadAgain(t *testing.T) {
	ca := newIssuer(t)
	dir := t.TempDir()
	cert, key := ca.issue(dir, "one.example")
	g := start(t, `listeners: [{address: "127.0.0.1:0", tls: {cert: `+cert+`, key: `+key+`}}]`, deadAddress(t))
	want := func(name string, logged int) {
		t.Helper()
		g.reloadCertificates()
		g.reloadCertificates()
		if got := g.shown(""); got != name {
			t.Errorf("shown is %s, want %s", got, name)
		}
		if got := strings.Count(g.log.String(), "new certificates are no good"); got != logged {
			t.Errorf("%d bad ones were logged, want %d", got, logged)
		}
	}
	want("one.example", 0)
	oldKey, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	ca.issue(dir, "two.example")
	newKey, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text []byte) {
		if err := os.WriteFile(key, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(oldKey) // not yet replaced
	want("one.example", 1)
	write(newKey)
	want("two.example", 1)
	write([]byte("no key at all"))
	want("two.example", 2)
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	want("two.example", 3)
	write(newKey)
	want("two.example", 3)
}

// When a certificate ends is a metric, also where a listener names it twice, and one
// that is new and has ended, or is about to, is warned of.
func TestCertificatesExpire(t *testing.T) {
	ca := newIssuer(t)
	dir, other := t.TempDir(), t.TempDir()
	issue := func(end time.Time) (cert, key string) {
		ca.end = end.Truncate(time.Second)
		return ca.issue(dir, "one.example")
	}
	day := 24 * time.Hour
	cert, key := issue(time.Now().Add(90 * day))
	second, secondKey := ca.issue(other, "two.example")
	pair := "cert: " + cert + ", key: " + key
	g := start(t, `listeners: [{address: "127.0.0.1:0", tls: {`+pair+`, certificates: [{`+pair+`}, {cert: `+second+`, key: `+secondKey+`}]}}]`, deadAddress(t))
	metric := func(file string) {
		t.Helper()
		g.wantMetric(fmt.Sprintf(`overtake_certificate_expiry_timestamp_seconds{certificate=%q,listener="public"} %s`,
			file, strconv.FormatFloat(float64(ca.end.Unix()), 'g', -1, 64)))
	}
	metric(second)
	warned := 0
	want := func(warnings int, text string) {
		t.Helper()
		g.reloadCertificates()
		metric(cert)
		if got := strings.Count(g.log.String(), "a certificate has expired, or will soon"); got != warnings {
			t.Errorf("%d warnings were logged, want %d:\n%s", got, warnings, g.log)
		}
		if at := ca.end.UTC().Format("2006-01-02 15:04 UTC"); warnings > warned && !strings.Contains(g.log.String(), text+" on "+at) {
			t.Errorf("the log does not say that it %s on %s:\n%s", text, at, g.log)
		}
		warned = warnings
	}
	want(0, "")
	issue(time.Now().Add(13 * day))
	want(1, "expires")
	want(1, "") // once
	issue(time.Now().Add(-day))
	want(2, "expired")
	issue(time.Now().Add(15 * day))
	want(2, "")
}

// TestCertificatesBehindALink: as Kubernetes does it, the files are links through a
// link that is exchanged.
func TestCertificatesBehindALink(t *testing.T) {
	ca := newIssuer(t)
	dir := t.TempDir()
	link := func(version string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		ca.issue(filepath.Join(dir, version), version+".example")
		next := filepath.Join(dir, "next")
		if err := os.Symlink(version, next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(dir, "data")); err != nil {
			t.Fatal(err)
		}
	}
	link("one")
	for _, name := range []string{"cert.pem", "key.pem"} {
		if err := os.Symlink(filepath.Join("data", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	g := start(t, fmt.Sprintf(`listeners: [{address: "127.0.0.1:0", tls: {cert: %s/cert.pem, key: %[1]s/key.pem}}]`, dir), deadAddress(t))
	link("two")
	if got := g.shown(""); got != "one.example" {
		t.Errorf("before anybody looked, shown is %s", got)
	}
	g.reloadCertificates()
	if got := g.shown(""); got != "two.example" {
		t.Errorf("shown is %s", got)
	}
}

func TestCertificatesOfClients(t *testing.T) {
	ca, other := newIssuer(t), newIssuer(t)
	cert, key := ca.issue(t.TempDir(), "gateway.example")
	for _, tc := range []struct {
		name, auth string
		client     []tls.Certificate
		want       string // the class that the app is told; "" for no connection
	}{
		{"none, required", "require", nil, ""},
		{"a stranger's, required", "require", []tls.Certificate{other.pair("hop.internal")}, ""},
		{"a stranger's, requested", "request", []tls.Certificate{other.pair("hop.internal")}, ""},
		{"none, requested", "request", nil, "batch"},
		{"of a name that is trusted", "require", []tls.Certificate{ca.pair("x.example", "Hop.Internal")}, "interactive"},
		{"the same, requested", "request", []tls.Certificate{ca.pair("hop.internal")}, "interactive"},
		{"of a URI that is trusted", "require", []tls.Certificate{ca.pair("spiffe://hops/one")}, "interactive"},
		{"of a URI below it", "require", []tls.Certificate{ca.pair("spiffe://hops/one/two")}, "batch"},
		{"of another name", "require", []tls.Certificate{ca.pair("hop.internal.example")}, "batch"},
		{"of a common name", "require", []tls.Certificate{ca.pair("CN=old.internal")}, "interactive"},
		{"of a common name beside others", "require", []tls.Certificate{ca.pair("CN=old.internal", "x.example")}, "batch"},
		{"of no name", "require", []tls.Certificate{ca.pair()}, "batch"},
		{"not asked for", "off", []tls.Certificate{ca.pair("hop.internal")}, "batch"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			app := serveRaw(t)
			seen := app.answering(okNoBody)
			trust := `, client_auth: ` + tc.auth + `, trust: ["*.internal", "spiffe://hops/*"]`
			if tc.auth == "off" {
				trust = ""
			}
			ask := ", client_ca: " + ca.file + trust
			if tc.auth == "off" {
				ask = ""
			}
			g := start(t, `
listeners: [{address: "127.0.0.1:0", tls: {cert: `+cert+`, key: `+key+ask+`}}]
rules: [{class: batch}]
`, app.url())
			cfg := &tls.Config{InsecureSkipVerify: true, Certificates: tc.client, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
			for range 2 { // the second time, the session is resumed
				got := ""
				if c, err := tls.Dial("tcp", g.addr, cfg); err == nil {
					p := newPeer(t, c)
					fmt.Fprintf(p, "GET / HTTP/1.1\r\nHost: a\r\nLatency-Class: interactive\r\n\r\n")
					if _, err := readHead(p.br); err == nil {
						got = values(seen.last(t), "Latency-Class")[0]
					}
				}
				if got != tc.want {
					t.Errorf("the app was told %q, want %q", got, tc.want)
				}
			}
			if tc.want == "" {
				g.wantMetric(`overtake_connections_refused_total{cause="tls",listener="public"} 2`)
			}
		})
	}
}

func TestNewFailsWithoutCertificates(t *testing.T) {
	ca := newIssuer(t)
	dir := t.TempDir()
	cert, key := ca.issue(dir, "a.example")
	cfg, err := parseConfig(`listeners: [{address: "127.0.0.1:0"}, {name: tls, address: "127.0.0.1:0", tls: {cert: `+cert+`, key: `+key+`}}]`, deadAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(key); err != nil { // since the configuration was checked
		t.Fatal(err)
	}
	if _, err := New(Options{Config: cfg}); err == nil || !strings.Contains(err.Error(), key) {
		t.Errorf("new: %v, want an error that names %s", err, key)
	}
}
