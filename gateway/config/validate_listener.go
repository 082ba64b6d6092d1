package config

import (
	"crypto/tls"
	"crypto/x509"
	"path"
	"strings"
	"time"

	"overtake/classifier/strictyaml"
)

// The range of a header's size: less than the least refuses ordinary browsers, and
// each connection with a request takes as much memory as the bound.
const (
	minHeaderBytes strictyaml.Size = 4 << 10
	maxHeaderBytes strictyaml.Size = 1 << 20
)

func (v validator) validateListeners() {
	names := map[string]string{}
	var taken []takenAddress
	for i, l := range v.Listeners {
		at := strictyaml.Item("listeners", i)
		v.name(at+".name", l.Name)
		v.unique(names, at+".name", at, l.Name)
		if v.address(at+".address", l.Address) && !strings.HasSuffix(l.Address, ":0") {
			taken = v.free(taken, at+".address", at, l.Address)
		}
		v.oneOf(at+".role", l.Role, "a role", Ingress, Inbound, Outbound)
		if l.TLS != nil {
			v.validateTLS(at+".tls", l.TLS)
		}
		v.validateProxyProtocol(at, l)
		v.validateListenerLimits(at+".limits", l.Limits)
	}
	if v.Admin != "off" && v.address("admin", v.Admin) && !strings.HasSuffix(v.Admin, ":0") {
		v.free(taken, "admin", "admin", v.Admin)
	}
}

// takenAddress is an address that a listener binds.
type takenAddress struct{ host, port, owner string }

// free checks that nobody else takes an address, and returns all that are taken then.
func (v validator) free(taken []takenAddress, path, owner, address string) []takenAddress {
	host, port, _ := splitAddress(address)
	for _, t := range taken {
		if t.port == port && (t.host == host || covers(t.host, host) || covers(host, t.host)) {
			v.Wrong(path, address, "is used by "+t.owner+" already", "choose another")
			return taken
		}
	}
	return append(taken, takenAddress{host, port, owner})
}

// covers reports whether who binds all addresses takes one. Without a host, and as ::,
// it is those of IPv4 and IPv6.
func covers(all, one string) bool {
	switch strings.Trim(all, "[]") {
	case "", "::":
		return true
	case "0.0.0.0":
		return !strings.Contains(one, ":")
	}
	return false
}

func (v validator) validateTLS(at string, t *TLS) {
	v.validatePair(at, Certificate{Cert: t.Cert, Key: t.Key})
	for i, pair := range t.Certificates {
		v.validatePair(strictyaml.Item(at+".certificates", i), pair)
	}
	v.oneOf(at+".client_auth", t.ClientAuth, "a way to ask for certificates", "off", "request", "require")
	switch {
	case t.ClientCA != "":
		if text, ok := v.file(at+".client_ca", t.ClientCA); ok && !x509.NewCertPool().AppendCertsFromPEM(text) {
			v.Wrong(at+".client_ca", t.ClientCA, "has no certificate in it", "name a PEM file with the certificates of those who issue your clients'")
		}
		if t.ClientAuth == "off" {
			v.Warn(at+".client_ca", "has no effect: client_auth is off")
		}
	case t.ClientAuth == "request" || t.ClientAuth == "require":
		v.Problem(at+".client_auth", "add client_ca: FILE", "%s without a client_ca: nobody's certificate would be valid", t.ClientAuth)
	}
	if len(t.Trust) > 0 && (t.ClientCA == "" || t.ClientAuth == "off") {
		v.Problem(at+".trust", "add client_ca: FILE", "is about the certificates of clients, and they are not asked for any")
	}
	for i, pattern := range t.Trust {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			v.Wrong(strictyaml.Item(at+".trust", i), pattern, "is not a pattern for names", `write "*.example.com" or "spiffe://example.com/*"`)
		}
	}
}

// validatePair checks that there is a certificate, with its key, and warns of its end.
func (v validator) validatePair(at string, pair Certificate) {
	cert, haveCert := v.file(at+".cert", pair.Cert)
	key, haveKey := v.file(at+".key", pair.Key)
	if !haveCert || !haveKey {
		return
	}
	loaded, err := tls.X509KeyPair(cert, key)
	if err != nil {
		v.Problem(at, "", "not a certificate and its key: %v", err)
		return
	}
	if end := Expiry(loaded.Leaf, time.Now()); end != "" {
		v.Warn(at+".cert", "the certificate %s %s", v.Shown(at+".cert", pair.Cert), end)
	}
}

// file reads a file that must be there.
func (v validator) file(at, name string) (text []byte, ok bool) {
	if name == "" {
		v.Problem(at, "name a PEM file", "is missing")
		return nil, false
	}
	text, err := ReadFile(name)
	if err != nil {
		v.Wrong(at, name, "can't be read: "+cause(err), "")
		return nil, false
	}
	return text, true
}

func (v validator) validateProxyProtocol(at string, l Listener) {
	switch {
	case !l.ProxyProtocol && v.Given(at+".proxy_protocol_from"):
		v.Warn(at+".proxy_protocol_from", "has no effect without proxy_protocol: true")
	case l.ProxyProtocol && l.Role == Outbound:
		v.Problem(at+".proxy_protocol", "remove it", "an app connects to its sidecar itself")
	case l.ProxyProtocol && len(l.ProxyProtocolFrom) == 0 && !v.AnyBroken(at):
		v.Problem(at+".proxy_protocol", `add proxy_protocol_from: ["10.0.0.0/8"], the load balancer's network`, "nobody may send its header")
	}
}

func (v validator) validateListenerLimits(at string, l ListenerLimits) {
	if l.HeaderBytes < minHeaderBytes || l.HeaderBytes > maxHeaderBytes {
		v.Problem(at+".header_bytes", "", "%s is out of range; want %s to %s", l.HeaderBytes, minHeaderBytes, maxHeaderBytes)
	}
	v.within(at+".header_fields", l.HeaderFields, 1, 10_000)
	if least := 100 * time.Millisecond; l.HeaderTimeout < least {
		v.Problem(at+".header_timeout", "want 100ms or more", "%s is too short", l.HeaderTimeout)
	}
	if l.IdleTimeout < time.Second {
		v.Problem(at+".idle_timeout", "want 1s or more", "%s is too short", l.IdleTimeout)
	}
	v.within(at+".connections_per_client", l.ConnectionsPerClient, 0, 1_000_000)
}
