package gateway

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"overtake/gateway/config"
)

// certificates are what an HTTPS listener shows to its clients, and which ones of
// theirs are valid. They are read again from their files by reload.
type certificates struct {
	files  *config.TLS
	server *tls.Config // for tls.Server: takes what is current at each handshake

	current atomic.Pointer[tls.Config]

	mu   sync.Mutex
	seen [sha256.Size]byte // the content of the files when they were last read
}

// newCertificates reads the files of cfg.
func newCertificates(cfg *config.TLS) (*certificates, error) {
	c := &certificates{files: cfg}
	if _, err := c.reload(); err != nil {
		return nil, err
	}
	// Keys for session tickets are this one's, whatever it returns.
	c.server = &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current.Load(), nil },
	}
	return c, nil
}

// reload reads the files and uses them from the next handshake on, if they have
// changed. If they are no good, it says why, once, and everything stays as it is:
// a certificate and its key are seldom replaced in one step.
func (c *certificates) reload() (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	content := make(map[string][]byte)
	sum := sha256.New()
	for _, name := range c.files.Files() {
		if content[name], err = config.ReadFile(name); err != nil {
			fmt.Fprintf(sum, "%s: %v", name, err)
		}
		fmt.Fprintf(sum, "%d:%s", len(content[name]), content[name])
	}
	seen := [sha256.Size]byte(sum.Sum(nil))
	if seen == c.seen {
		return false, nil
	}
	c.seen = seen
	loaded, err := load(c.files, content)
	if err != nil {
		return false, err
	}
	c.current.Store(loaded)
	return true, nil
}

// load makes a server's configuration of the content of its files. Of the
// certificates, crypto/tls chooses the first that is for the host that the client
// names and that the client supports, else the first.
func load(files *config.TLS, content map[string][]byte) (*tls.Config, error) {
	loaded := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	for _, pair := range files.Pairs() {
		certificate, err := tls.X509KeyPair(content[pair.Cert], content[pair.Key])
		if err != nil {
			return nil, fmt.Errorf("certificate %s, key %s: %w", pair.Cert, pair.Key, err)
		}
		loaded.Certificates = append(loaded.Certificates, certificate)
	}
	if files.ClientAuth == "off" {
		return loaded, nil
	}
	loaded.ClientCAs = x509.NewCertPool()
	if !loaded.ClientCAs.AppendCertsFromPEM(content[files.ClientCA]) {
		return nil, fmt.Errorf("client_ca %s: no certificate in it", files.ClientCA)
	}
	loaded.ClientAuth = tls.VerifyClientCertIfGiven
	if files.ClientAuth == "require" {
		loaded.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return loaded, nil
}

// leaves yields the certificates in use by the paths of their files, each file once. Of a
// chain that is the first: what comes after it may have expired and be of no use but to
// old clients, which ignore that.
func (c *certificates) leaves() iter.Seq2[string, *x509.Certificate] {
	inUse := c.current.Load().Certificates
	return func(yield func(string, *x509.Certificate) bool) {
		seen := make(map[string]bool)
		for i, pair := range c.files.Pairs() {
			if seen[pair.Cert] {
				continue
			}
			seen[pair.Cert] = true
			if !yield(pair.Cert, inUse[i].Leaf) {
				return
			}
		}
	}
}

// trusts reports whether one of the names that a client has shown is trusted.
func (c *certificates) trusts(names []string) bool {
	for _, name := range names {
		for _, pattern := range c.files.Trust {
			if config.Names(pattern, name) {
				return true
			}
		}
	}
	return false
}

// namesOf returns whom a certificate is for. The common name counts only where
// there is no other (RFC 9525 section 1.4.2 has it out of use): not all who issue
// certificates check it.
func namesOf(leaf *x509.Certificate) []string {
	names := leaf.DNSNames
	for _, uri := range leaf.URIs {
		names = append(names, uri.String())
	}
	if len(names) == 0 && len(leaf.IPAddresses) == 0 && len(leaf.EmailAddresses) == 0 && leaf.Subject.CommonName != "" {
		names = append(names, leaf.Subject.CommonName)
	}
	return names
}

// reloadCertificates reads the listeners' certificates again where their files
// have changed. What is no good is logged, and the one before stays in use.
func (g *Gateway) reloadCertificates() {
	for _, l := range g.listeners {
		c := l.settings.Load().certificates
		if c == nil {
			continue
		}
		switch changed, err := c.reload(); {
		case err != nil:
			g.log.Error("new certificates are no good; those before stay in use", "listener", l.name, "error", err)
		case changed:
			g.log.Info("new certificates are in use", "listener", l.name)
			for file, leaf := range c.leaves() {
				if end := config.Expiry(leaf, time.Now()); end != "" {
					g.log.Warn("a certificate has expired, or will soon", "listener", l.name, "certificate", file, "problem", end)
				}
			}
		}
	}
}
