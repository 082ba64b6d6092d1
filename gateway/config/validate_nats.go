package config

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"

	"overtake/classifier/strictyaml"
)

// validateNATS checks what only NATS brokers have, and which of it belongs
// together.
func (v validator) validateNATS(path string, b Broker) {
	if b.Type != "nats" {
		v.refuseKeys(path, "is for a broker of type nats",
			"urls", "credentials", "nkey", "token", "replicas", "sync", "listen", "memory")
		return
	}
	if b.Embedded {
		v.validateEmbedded(path, b)
	} else {
		v.validateServers(path, b)
	}
	if b.TLS != nil {
		v.validateBrokerTLS(path+".tls", *b.TLS)
	}
}

func (v validator) refuseKeys(path, why string, keys ...string) {
	for _, key := range keys {
		if v.Given(path + "." + key) {
			v.Problem(path+"."+key, "remove it", "%s", why)
		}
	}
}

func (v validator) validateEmbedded(path string, b Broker) {
	v.refuseKeys(path, "is for a broker by url, and this one is embedded", "urls", "credentials", "nkey", "replicas")
	v.oneOf(path+".sync", b.Sync, "a way to flush", "always", "interval")
	if b.Memory <= 0 {
		v.Problem(path+".memory", "write 64MiB", "must be more than 0")
	}
	if b.Listen == "" {
		v.refuseKeys(path, "is for those who connect from elsewhere, and the broker does not listen", "tls", "token")
		return
	}
	if !v.address(path+".listen", b.Listen) {
		return
	}
	host, _, _ := net.SplitHostPort(b.Listen)
	if ip := net.ParseIP(host); b.Token == "" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		v.Problem(path+".listen", `add token: "${NAME}", or listen on 127.0.0.1`,
			"without a token, everybody who reaches %s could take and add messages", b.Listen)
	}
	if b.TLS != nil && b.TLS.Cert == "" {
		v.Problem(path+".tls.cert", "name a PEM file", "is missing")
	}
}

func (v validator) validateServers(path string, b Broker) {
	v.refuseKeys(path, "is for an embedded broker, and this one has a URL", "dir", "sync", "listen", "memory")
	if b.URL != "" && len(b.URLs) > 0 {
		v.Problem(path+".urls", "write all servers there, and no url", "is given beside url")
	}
	for i, text := range b.URLs {
		v.brokerURL(strictyaml.Item(path+".urls", i), b.Type, text)
	}
	v.within(path+".replicas", b.Replicas, 1, 5)
	v.oneIdentity(path, b)
	for _, file := range []struct{ key, name string }{{"credentials", b.Credentials}, {"nkey", b.NKey}} {
		if file.name != "" {
			v.readable(strictyaml.Join(path, file.key), file.name)
		}
	}
}

// oneIdentity checks that there is one answer to who we are.
func (v validator) oneIdentity(path string, b Broker) {
	first := ""
	for _, text := range append([]string{b.URL}, b.URLs...) {
		if u, err := url.Parse(text); err == nil && u.User != nil {
			first = "the user in the URL"
		}
	}
	for _, way := range []struct{ key, value string }{{"credentials", b.Credentials}, {"nkey", b.NKey}, {"token", string(b.Token)}} {
		switch {
		case way.value == "":
		case first != "":
			v.Problem(strictyaml.Join(path, way.key), "keep one of them", "is given beside %s", first)
		default:
			first = way.key
		}
	}
}

func (v validator) validateBrokerTLS(path string, t BrokerTLS) {
	if t == (BrokerTLS{}) {
		v.Problem(path, "name the authority of the server as ca, or write a tls:// URL alone", "names no file")
	}
	v.validateTLSFiles(path, t.CA, t.Cert, t.Key)
}

// validateTLSFiles checks the files of one end of TLS connections. None is needed.
func (v validator) validateTLSFiles(path, ca, cert, key string) {
	if ca != "" {
		if pem := v.readable(path+".ca", ca); pem != nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
			v.Wrong(path+".ca", ca, "has no certificate", "name a PEM file")
		}
	}
	switch {
	case cert == "" && key == "":
	case cert == "" || key == "":
		v.Problem(path, "give both, or none", "has one of cert and key")
	case v.readable(path+".cert", cert) != nil && v.readable(path+".key", key) != nil:
		if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
			v.Problem(path, "", "not a certificate and its key: %v", err)
		}
	}
}

// readable reports a file that can't be read, and returns what is in it
// otherwise.
func (v validator) readable(path, name string) []byte {
	content, err := ReadFile(name)
	if err != nil {
		v.Wrong(path, name, "can't be read: "+cause(err), "")
	}
	return content
}
