package config

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"overtake/classifier/strictyaml"
)

// TLS is what an HTTPS listener shows to its clients, and what it wants of them.
// Its files are read again when they change.
type TLS struct {
	// Cert is the path of a PEM file: the certificate and its chain. It is shown
	// to clients that name no host that one of Certificates is for. Required.
	Cert string `yaml:"cert,omitempty"`
	// Key is the path of the PEM file with the certificate's key. Required.
	Key string `yaml:"key,omitempty"`
	// Certificates are further ones; a client gets the first that is for the host
	// it names (SNI). Default: none.
	Certificates []Certificate `yaml:"certificates,omitempty"`
	// ClientCA is the path of a PEM file: who may have issued the certificates of
	// clients. Default: none, and no client is asked for one.
	ClientCA string `yaml:"client_ca,omitempty"`
	// ClientAuth is require (no connection without a valid certificate), request
	// (a certificate must be valid, and may be missing) or off. Default: require
	// with a ClientCA, else off.
	ClientAuth string `yaml:"client_auth,omitempty"`
	// Trust lists patterns for the names in clients' certificates: the DNS names
	// and URIs, or the common name where there are neither; * stands for anything
	// but a slash. A client with such a name is believed as those of the
	// listener's trust are. Default: none.
	Trust []string `yaml:"trust,omitempty"`
}

// Certificate names a certificate and its key.
type Certificate struct {
	// Cert is the path of a PEM file: the certificate and its chain. Required.
	Cert string `yaml:"cert,omitempty"`
	// Key is the path of the PEM file with the certificate's key. Required.
	Key string `yaml:"key,omitempty"`
}

// Pairs returns all certificates with their keys, the default one first.
func (t *TLS) Pairs() []Certificate {
	return append([]Certificate{{Cert: t.Cert, Key: t.Key}}, t.Certificates...)
}

// Files returns the paths of all files that the configuration names.
func (t *TLS) Files() []string {
	var files []string
	for _, pair := range t.Pairs() {
		files = append(files, pair.Cert, pair.Key)
	}
	if t.ClientCA != "" {
		files = append(files, t.ClientCA)
	}
	return files
}

// Names reports whether a pattern of Trust matches a name of a certificate. A DNS
// name has no case.
func Names(pattern, name string) bool {
	if !strings.Contains(name, "/") {
		pattern, name = strings.ToLower(pattern), strings.ToLower(name)
	}
	matched, err := path.Match(pattern, name)
	return err == nil && matched
}

// ListenerLimits bound what one client may take of a listener.
type ListenerLimits struct {
	// HeaderBytes bounds the request line and the header fields together, 4KiB to
	// 1MiB. A connection takes so much memory while it carries a request; what is
	// larger is answered with 431. Default: 16KiB.
	HeaderBytes strictyaml.Size `yaml:"header_bytes,omitempty"`
	// HeaderFields bounds their number, 1 to 10000; more are answered with 431.
	// Default: 100.
	HeaderFields int `yaml:"header_fields,omitempty"`
	// HeaderTimeout is how long a header may take from its first byte to its last,
	// and a new connection to that first byte, with its TLS and its PROXY protocol,
	// 100ms or more; a header that takes
	// longer is answered with 408. Default: 10s.
	HeaderTimeout time.Duration `yaml:"header_timeout,omitempty"`
	// BodyRate is the least a request's body must come with, in bytes per second,
	// on the average and after 10 seconds; what is slower is answered with 408.
	// The time that the app takes to read it does not count. 0 is no bound; then
	// only a pause of a minute ends a body. Default: 240B, 0 for outbound.
	BodyRate strictyaml.Size `yaml:"body_rate"`
	// BodyBytes bounds a request's body; what is larger is answered with 413. 0 is
	// no bound. Default: 0.
	BodyBytes strictyaml.Size `yaml:"body_bytes,omitempty"`
	// IdleTimeout is how long a connection may be idle between two requests, 1s or
	// more. Default: 2m.
	IdleTimeout time.Duration `yaml:"idle_timeout,omitempty"`
	// RequestTimeout bounds a request from its header to the end of its answer,
	// like a class's deadline; 0s is no bound. Default: 0s.
	RequestTimeout time.Duration `yaml:"request_timeout,omitempty"`
	// ConnectionsPerClient bounds the connections of one client address, of IPv6 one
	// /64 network; further ones are answered with 429, or closed where that can't be
	// said. 0 is no bound. Default: 0.
	ConnectionsPerClient int `yaml:"connections_per_client,omitempty"`
}

// defaultListener completes listener i; first says whether it is the first of its
// role.
func defaultListener(l *Listener, src *strictyaml.Source, i int, first bool) {
	path, name := strictyaml.Item("listeners", i), fmt.Sprintf("listener-%d", i+1)
	strictyaml.SetDefault(src, path+".role", &l.Role, Ingress)
	switch {
	case l.Role == Ingress && i == 0:
		name = "public"
	case first && (l.Role == Inbound || l.Role == Outbound):
		name = l.Role
	}
	strictyaml.SetDefault(src, path+".name", &l.Name, name)
	if l.Role == Inbound {
		strictyaml.SetDefault(src, path+".trust", &l.Trust, slices.Clone(peers))
	}
	strictyaml.SetDefault(src, path+".abort_on_close", &l.AbortOnClose, new(true))
	if l.ProxyProtocol {
		strictyaml.SetDefault(src, path+".proxy_protocol_from", &l.ProxyProtocolFrom, slices.Clone(l.Trust))
	}
	if l.TLS != nil {
		auth := "off"
		if l.TLS.ClientCA != "" {
			auth = "require"
		}
		strictyaml.SetDefault(src, path+".tls.client_auth", &l.TLS.ClientAuth, auth)
	}
	defaultLimits(&l.Limits, src, path+".limits", l.Role)
}

func defaultLimits(l *ListenerLimits, src *strictyaml.Source, path, role string) {
	strictyaml.SetDefault(src, path+".header_bytes", &l.HeaderBytes, 16<<10)
	strictyaml.SetDefault(src, path+".header_fields", &l.HeaderFields, 100)
	strictyaml.SetDefault(src, path+".header_timeout", &l.HeaderTimeout, 10*time.Second)
	if role != Outbound { // an app may take its time; it is nobody's attacker
		strictyaml.SetDefault(src, path+".body_rate", &l.BodyRate, 240)
	}
	strictyaml.SetDefault(src, path+".idle_timeout", &l.IdleTimeout, 2*time.Minute)
}
