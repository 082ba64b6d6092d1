package rabbitmq

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overtake/broker/rabbitmq/rabbitmqtest"
)

// certificate writes an authority, a certificate for 127.0.0.1 and its key, for
// everybody to read.
func certificate(t *testing.T) TLSFiles {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), Subject: pkix.Name{CommonName: "authority"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	peer := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), Subject: pkix.Name{CommonName: "peer"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	ca, err := x509.CreateCertificate(rand.Reader, authority, authority, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.CreateCertificate(rand.Reader, peer, authority, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "rabbitmq-tls-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	files := TLSFiles{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for name, block := range map[string]*pem.Block{
		files.CA:   {Type: "CERTIFICATE", Bytes: ca},
		files.Cert: {Type: "CERTIFICATE", Bytes: cert},
		files.Key:  {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func TestTLS(t *testing.T) {
	files := certificate(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	s, err := rabbitmqtest.Start(rabbitmqtest.Config{Lines: []string{
		"listeners.ssl.default = " + address,
		"ssl_options.cacertfile = " + files.CA, "ssl_options.certfile = " + files.Cert, "ssl_options.keyfile = " + files.Key,
		"ssl_options.verify = verify_peer", "ssl_options.fail_if_no_peer_cert = true",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for name, test := range map[string]struct {
		files TLSFiles
		want  string // part of the error; "" for none
	}{
		"with a certificate":    {files, ""},
		"without a certificate": {TLSFiles{CA: files.CA}, "certificate"},
		"without the authority": {TLSFiles{Cert: files.Cert, Key: files.Key}, "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Connect(ConnConfig{
				URL: fmt.Sprintf("amqps://guest:guest@%s/", address), TLS: test.files, Logger: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			session, err := c.consuming.dial(testContext(t))
			if err == nil {
				defer func() { _ = session.conn.Close() }()
			}
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("connect: error %v, want one with %q", err, test.want)
			}
			if err := c.Close(testContext(t)); err != nil {
				t.Error(err)
			}
		})
	}
	for name, files := range map[string]TLSFiles{
		"no such file": {CA: "/none/ca.pem"}, "no certificate in it": {CA: files.Key}, "half of a pair": {Cert: files.Cert},
	} {
		if _, err := Connect(ConnConfig{URL: server.URL(), TLS: files}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
