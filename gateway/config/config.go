// Package config is Overtake's configuration: the YAML file, strictly decoded,
// with every problem found at once and named by line and column.
package config

import (
	"net/netip"
	"time"
)

// Config is the whole configuration of one process, complete: defaults are
// filled in and references between parts are checked.
type Config struct {
	// Listeners accept requests.
	Listeners []Listener `yaml:"listeners"`
	// Admin is the address of the admin listener; "off" for none.
	Admin string `yaml:"admin"`
	// Classes are the latency classes, most urgent first.
	Classes []Class `yaml:"classes"`
	// DefaultClass is for requests that no rule matches.
	DefaultClass string `yaml:"default_class"`
	// Flow says whose request it is; the client address by default.
	Flow Flow `yaml:"flow"`
	// Rules give requests their class; the first match wins.
	Rules []Rule `yaml:"rules"`
	// Routes say where requests go; the first match wins.
	Routes []Route `yaml:"routes"`
	// Upstreams are the apps, by name.
	Upstreams map[string]Upstream `yaml:"upstreams"`
	// Brokers are the message brokers, by name.
	Brokers map[string]Broker `yaml:"brokers"`
	// Queues are the message queues, by name.
	Queues map[string]Queue `yaml:"queues"`
	// Tracing says where spans go.
	Tracing Tracing `yaml:"tracing"`
	// Expose says who sees Latency-Class and Server-Timing on responses.
	Expose string `yaml:"expose"`
	// DryRun decides and counts, but changes nothing.
	DryRun bool `yaml:"dry_run"`
	// DrainTimeout bounds how long SIGTERM waits for work under way.
	DrainTimeout time.Duration `yaml:"drain_timeout"`
}

// Listener is one address that accepts requests.
type Listener struct {
	Name    string `yaml:"name"`
	Address string `yaml:"address"`
	// Role is ingress, inbound or outbound.
	Role string `yaml:"role"`
	// Trust lists the networks whose Latency-Class is believed.
	Trust         []netip.Prefix `yaml:"trust"`
	TLS           *TLS           `yaml:"tls"`
	ProxyProtocol bool           `yaml:"proxy_protocol"`
	// AbortOnClose treats a client that closed its sending side as gone. Turn
	// it off for clients that half-close and still wait for the answer.
	AbortOnClose *bool `yaml:"abort_on_close"`
}

// TLS names a certificate and its key, both PEM files.
type TLS struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// Class is one latency class.
type Class struct {
	Name string `yaml:"name"`
	// Objective is the wanted p99 of the time spent waiting here.
	Objective time.Duration `yaml:"objective"`
	// Reserve is auto, a number of slots, or a share of the limit.
	Reserve Reserve `yaml:"reserve"`
	// Floor is the least share of dispatches the class gets while it waits.
	Floor Percent `yaml:"floor"`
	// MaxWaiting and MaxWaitingBytes bound the class's waiting room.
	MaxWaiting      int  `yaml:"max_waiting"`
	MaxWaitingBytes Size `yaml:"max_waiting_bytes"`
	// MaxWait is the longest a request waits for a slot.
	MaxWait time.Duration `yaml:"max_wait"`
	// Deadline is for the whole request; it only shortens an incoming one.
	Deadline time.Duration `yaml:"deadline"`
	Socket   Socket        `yaml:"socket"`
}

// Socket is what the kernel is told about a class's packets.
type Socket struct {
	Priority   *int   `yaml:"priority"`
	DSCP       string `yaml:"dscp"`
	Congestion string `yaml:"congestion"`
}

// Flow names where the flow of a request is read from.
type Flow struct {
	// Header holds the flow's key, such as an API key.
	Header string `yaml:"header"`
}

// Rule gives a class to the requests it matches.
type Rule struct {
	Name  string `yaml:"name"`
	Class string `yaml:"class"`
	Match Match  `yaml:"match"`
}

// Route sends the requests it matches to an upstream or into a queue.
type Route struct {
	Match    Match  `yaml:"match"`
	Upstream string `yaml:"upstream"`
	Queue    string `yaml:"queue"`
}

// Match says which requests are meant; all fields that are set must hold.
type Match struct {
	Hosts       []string          `yaml:"hosts"`
	Path        string            `yaml:"path"`
	Methods     []string          `yaml:"methods"`
	Headers     map[string]string `yaml:"headers"`
	Query       map[string]string `yaml:"query"`
	Sources     []netip.Prefix    `yaml:"sources"`
	Size        *SizeRange        `yaml:"size"`
	ContentType string            `yaml:"content_type"`
	Expr        string            `yaml:"expr"`
}

// SizeRange is a range of body sizes, both ends included; zero is open.
type SizeRange struct {
	Min Size `yaml:"min"`
	Max Size `yaml:"max"`
}

// Upstream is one app: servers that share a scheduler.
type Upstream struct {
	// Servers are http://host:port or unix:///path.
	Servers []string `yaml:"servers"`
	Limit   Limit    `yaml:"limit"`
	// Timeout is from the dispatch to the start of the response.
	Timeout time.Duration `yaml:"timeout"`
	Health  *Health       `yaml:"health"`
	Retry   *Retry        `yaml:"retry"`
}

// Limit is how many requests an upstream works on at the same time.
type Limit struct {
	// Mode is adaptive, fixed (uses Max) or off.
	Mode    string `yaml:"mode"`
	Initial int    `yaml:"initial"`
	Min     int    `yaml:"min"`
	Max     int    `yaml:"max"`
}

// Health is the active check of an upstream's servers.
type Health struct {
	Path     string        `yaml:"path"`
	Interval time.Duration `yaml:"interval"`
}

// Retry says how often a request is tried again, within a budget.
type Retry struct {
	Attempts int     `yaml:"attempts"`
	Budget   Percent `yaml:"budget"`
}

// Broker is one message broker.
type Broker struct {
	// Type is nats or rabbitmq.
	Type string `yaml:"type"`
	// Embedded runs the NATS server inside this process, with its data in Dir.
	Embedded bool   `yaml:"embedded"`
	Dir      string `yaml:"dir"`
	URL      string `yaml:"url"`
	// MaxBytes bounds the disk that the embedded server's messages take.
	MaxBytes Size `yaml:"max_bytes"`
}

// Queue is one message queue with a lane per class.
type Queue struct {
	Broker  string   `yaml:"broker"`
	Deliver *Deliver `yaml:"deliver"`
	// Attempts is how often a message is delivered before it is dead.
	Attempts int `yaml:"attempts"`
	// Strategy is lanes or native.
	Strategy string `yaml:"strategy"`
	// MaxBody is the largest request body the queue takes.
	MaxBody Size `yaml:"max_body"`
}

// Deliver says where the messages of a queue go.
type Deliver struct {
	Upstream string `yaml:"upstream"`
	// Path replaces the path of the original request; empty keeps it.
	Path string `yaml:"path"`
}

// Tracing says where spans go and how many.
type Tracing struct {
	// Exporter is otlp, jaeger or none.
	Exporter string  `yaml:"exporter"`
	Endpoint string  `yaml:"endpoint"`
	Sample   float64 `yaml:"sample"`
}

// Size is a number of bytes with a unit: 512B, 64KiB, 10MB.
type Size int64

// Percent is a share in hundredths of a percent: 10% is 1000.
type Percent int

// Reserve is slots kept from less urgent classes.
type Reserve struct {
	Auto  bool
	Slots int
	Share Percent
}
