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

	"overtake/broker/brokertest/freeport"
)

// Where the server of the tests listens for TLS, and the files of both ends.
var (
	tlsAddr  string
	tlsFiles TLSFiles
)

// listenTLS returns the lines of configuration for TLS, with files in dir.
func listenTLS(dir string) (lines []string, err error) {
	if tlsFiles, err = certificate(dir); err != nil {
		return nil, err
	}
	ports, err := freeport.Choose(1)
	if err != nil {
		return nil, err
	}
	tlsAddr = fmt.Sprintf("127.0.0.1:%d", ports[0])
	return []string{
		"listeners.ssl.default = " + tlsAddr,
		"ssl_options.cacertfile = " + tlsFiles.CA, "ssl_options.certfile = " + tlsFiles.Cert, "ssl_options.keyfile = " + tlsFiles.Key,
		"ssl_options.verify = verify_peer", "ssl_options.fail_if_no_peer_cert = true",
	}, nil
}

// certificate writes an authority, a certificate for 127.0.0.1 and its key into dir,
// for everybody to read.
func certificate(dir string) (TLSFiles, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return TLSFiles{}, err
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
		return TLSFiles{}, err
	}
	cert, err := x509.CreateCertificate(rand.Reader, peer, authority, key.Public(), key)
	if err != nil {
		return TLSFiles{}, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return TLSFiles{}, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return TLSFiles{}, err
	}
	files := TLSFiles{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for name, block := range map[string]*pem.Block{
		files.CA:   {Type: "CERTIFICATE", Bytes: ca},
		files.Cert: {Type: "CERTIFICATE", Bytes: cert},
		files.Key:  {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o644); err != nil {
			return TLSFiles{}, err
		}
	}
	return files, nil
}

func TestTLS(t *testing.T) {
	files := tlsFiles
	for name, test := range map[string]struct {
		files TLSFiles
		want  string // part of the error; "" for none
	}{
		"with a certificate":    {files, ""},
		"without a certificate": {TLSFiles{CA: files.CA}, "tls.cert and tls.key"},
		"without the authority": {TLSFiles{Cert: files.Cert, Key: files.Key}, "as tls.ca"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Connect(ConnConfig{
				URL: fmt.Sprintf("amqps://guest:guest@%s/", tlsAddr), TLS: test.files, Logger: slog.New(slog.DiscardHandler),
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
