package config

import (
	"time"

	"overtake/classifier/strictyaml"
)

// Upstream is one app: servers that share a scheduler.
type Upstream struct {
	// Servers are http://host:port, https://host:port or unix:///path, 1 to 1024.
	// Required.
	Servers []string `yaml:"servers,omitempty"`
	// TLS is for servers that are https://. Default: the authorities of the system,
	// no certificate of our own, and the host of the server's URL as its name.
	TLS *UpstreamTLS `yaml:"tls,omitempty"`
	// Limit is how many requests each server works on at once. Default: found by
	// measuring.
	Limit Limit `yaml:"limit,omitempty"`
	// Timeout is from the dispatch to the start of the response, whatever is tried,
	// and between two parts of a body, more than 0. Default: 30s.
	Timeout time.Duration `yaml:"timeout,omitempty"`
	// TryTimeout is the same for one try: from when it has its slot to the start of
	// the response, at least 1ms. Default: 0s, as long as Timeout.
	TryTimeout time.Duration `yaml:"try_timeout,omitempty"`
	// Health is the active check of the servers. Default: none, but a server that
	// takes no connection is tried until it does.
	Health *Health `yaml:"health,omitempty"`
	// Eject takes a server out of use for a while when its answers fail. Default:
	// after five failures in a row.
	Eject Eject `yaml:"eject"`
	// Retry says what is tried again on another server. Default: a request
	// of which nothing was sent, and nothing else.
	Retry *Retry `yaml:"retry,omitempty"`
}

// UpstreamTLS is how a gateway and the https:// servers of an upstream know each
// other.
type UpstreamTLS struct {
	// CA is the path of a PEM file: the authorities that the servers' certificates
	// must be from. Default: those of the system.
	CA string `yaml:"ca,omitempty"`
	// Cert is the path of a PEM file: the certificate that servers are shown, and
	// its chain. It is read again for each new connection. Default: none.
	Cert string `yaml:"cert,omitempty"`
	// Key is the path of the PEM file with the certificate's key. Required with
	// Cert.
	Key string `yaml:"key,omitempty"`
	// ServerName is the name that the servers' certificates must have, and that is
	// asked for (SNI). Default: the host of each server's URL.
	ServerName string `yaml:"server_name,omitempty"`
}

// Limit is how many requests each server of an upstream works on at the same
// time.
type Limit struct {
	// Mode is adaptive (found by measuring, starts at Initial, moves between Min
	// and Max), fixed (always Max) or off. Default: adaptive, but fixed where Max
	// is all that is written.
	Mode string `yaml:"mode,omitempty"`
	// Initial is where an adaptive limit starts, Min to Max; a default Min or Max
	// makes room for it. Default: 16, but Min or Max where those are beyond it.
	Initial int `yaml:"initial,omitempty"`
	// Min is the least an adaptive limit goes down to, 1 to 100000. Default: 2.
	Min int `yaml:"min,omitempty"`
	// Max is the fixed limit, or the most an adaptive one goes up to, 1 to
	// 100000. Default: fixed 64, adaptive 512.
	Max int `yaml:"max,omitempty"`
}

// Health is the active check of an upstream's servers: a GET that must be answered
// with 200 to 399.
type Health struct {
	// Path is what the check asks for; it begins with a slash. Default: /.
	Path string `yaml:"path,omitempty"`
	// Interval is the time between two checks of a server, 100ms to 1h. Default: 2s.
	Interval time.Duration `yaml:"interval,omitempty"`
	// Timeout is how long a check may take, 10ms to 1h. Default: 2s.
	Timeout time.Duration `yaml:"timeout,omitempty"`
	// Failures is how many checks in a row must fail until the server gets no more
	// requests, 1 to 100. Default: 3.
	Failures int `yaml:"failures,omitempty"`
	// Successes is how many in a row must succeed until it gets them again, 1 to
	// 100. Default: 2.
	Successes int `yaml:"successes,omitempty"`
}

// Eject takes a server out of use whose answers fail: a status of 502, 503 or 504,
// no answer in time, or a connection that broke. It never takes out the last one.
type Eject struct {
	// Failures is how many answers in a row must fail, 0 to 1000; 0 ejects
	// nothing. Default: 5.
	Failures int `yaml:"failures"`
	// For is how long the server is out of use the first time, 100ms to 1h. It is
	// twice as long each time that the server comes back and fails again, up to 8
	// times as long. Default: 10s.
	For time.Duration `yaml:"for"`
	// Ramp is how long a server that comes back, also after it was down, takes to
	// have its whole limit again, 0s to 1h; it starts with a tenth. Default: 10s.
	Ramp time.Duration `yaml:"ramp"`
}

// Retry says what is tried again on another server although it was sent: a request
// whose method is idempotent and of whose response not a byte came. Of a streamed
// body, that is one that is chunked or longer than 8KiB, nothing is kept to be sent
// again.
type Retry struct {
	// Attempts is how often a request is sent at most, 1 to 10. Default: 2.
	Attempts int `yaml:"attempts,omitempty"`
	// Budget is the share of requests that may be sent again; 3 a second may be in
	// any case. Default: 10%.
	Budget strictyaml.Percent `yaml:"budget"`
}
