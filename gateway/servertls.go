package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"overtake/gateway/config"
)

// tlsTo returns how the https:// servers of an upstream are spoken to. Each server
// needs a clone with a name.
func tlsTo(c *config.UpstreamTLS) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if c == nil {
		return t, nil
	}
	t.ServerName = c.ServerName
	if c.CA != "" {
		pem, err := config.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("gateway: authorities of servers: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("gateway: authorities of servers: %s has no certificate; name a PEM file", c.CA)
		}
	}
	if c.Cert == "" {
		return t, nil
	}
	last, err := keyPair(c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("gateway: certificate for servers: %s: %w", c.Cert, err)
	}
	// Certificates are replaced in place, often by short-lived ones; while one is half
	// written, that of the start is good enough.
	t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if now, err := keyPair(c.Cert, c.Key); err == nil {
			return &now, nil
		}
		return &last, nil
	}
	return t, nil
}

func keyPair(cert, key string) (pair tls.Certificate, err error) {
	certPEM, err := config.ReadFile(cert)
	if err != nil {
		return pair, err
	}
	keyPEM, err := config.ReadFile(key)
	if err != nil {
		return pair, err
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}

// remedyTLS says what to do about a handshake that failed.
func remedyTLS(err error) string {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &authority):
		return "; name the authority that signed it as the upstream's tls.ca"
	case errors.As(err, &name):
		return "; write the name in it as the upstream's tls.server_name"
	case errors.As(err, &plain):
		return "; the server speaks no TLS: write http:// for it"
	}
	return ""
}
