package config

import (
	"net/netip"
	"time"

	"overtake/classifier/strictyaml"
)

// Config is the whole configuration of one process, complete: defaults are
// filled in and references between parts are checked. It must not be changed.
type Config struct {
	// Listeners accept requests. Default: one named public on ":8080".
	Listeners []Listener `yaml:"listeners,omitempty"`
	// Admin is the address of the admin listener, or off for none. Default:
	// 127.0.0.1:9901, as it shows internals to whoever can reach it.
	Admin string `yaml:"admin,omitempty"`
	// AdminToken is what requests to the admin listener that change something must
	// carry, as "Authorization: Bearer TOKEN": at least 16 characters. Default: the
	// environment variable OVERTAKE_ADMIN_TOKEN, or none, and nothing can be changed
	// there.
	AdminToken Secret `yaml:"admin_token,omitempty"`
	// AdminHosts are the names by which the admin listener may be asked for, such as
	// overtake.example.com or *.example.com, beside those that are not of the public
	// DNS: addresses, localhost, names of one label, *.svc, *.cluster.local,
	// *.internal and the name of this host. Default: none.
	AdminHosts []string `yaml:"admin_hosts,omitempty"`
	// Classes are the latency classes, most urgent first, at most 8. Default:
	// interactive, standard and batch.
	Classes []Class `yaml:"classes,omitempty"`
	// DefaultClass is the class of requests that no rule matches. Default:
	// standard if there is such a class, else the one in the middle, and of two
	// in the middle the less urgent.
	DefaultClass string `yaml:"default_class,omitempty"`
	// Flow says whose request it is. Default: the client address.
	Flow Flow `yaml:"flow,omitempty"`
	// Rules give requests their class; the first match wins. Default: the
	// built-in rules, see [Config.Builtin].
	Rules []Rule `yaml:"rules,omitempty"`
	// Routes say where requests go; the first match wins, and what matches none
	// is refused. Default: everything to the upstream, if there is just one.
	Routes []Route `yaml:"routes,omitempty"`
	// Upstreams are the apps, by name, 1 to 32 of a-z, 0-9 and '-'. Default: none.
	Upstreams map[string]Upstream `yaml:"upstreams,omitempty"`
	// Brokers are the message brokers, by name. Default, if there are queues:
	// one named local, a NATS server inside this process.
	Brokers map[string]Broker `yaml:"brokers,omitempty"`
	// Queues are the message queues, by name. Default: none.
	Queues map[string]Queue `yaml:"queues,omitempty"`
	// Relays are the existing queues and subjects that overtake relay moves into
	// lanes; a relay reads them at its start. The gateway does nothing about them.
	// Default: none.
	Relays []Relay `yaml:"relays,omitempty"`
	// Provenance bounds what an outbound listener knows of the requests that were
	// let in. Default: the defaults of its parts.
	Provenance Provenance `yaml:"provenance,omitempty"`
	// Tracing says where spans go. Default: nowhere; trace context is passed on
	// all the same.
	Tracing Tracing `yaml:"tracing,omitempty"`
	// AccessLog says where a line about each request goes. Default: nowhere.
	AccessLog AccessLog `yaml:"access_log,omitempty"`
	// Expose says who sees Latency-Class and Server-Timing on responses: all,
	// trusted (the networks that a listener trusts) or none. Default: trusted.
	Expose string `yaml:"expose,omitempty"`
	// DryRun decides and counts, but sends everything on at once and refuses
	// nothing. Default: false.
	DryRun bool `yaml:"dry_run,omitempty"`
	// DrainTimeout bounds how long SIGTERM waits for work under way; 0s does
	// not wait. Default: 30s.
	DrainTimeout time.Duration `yaml:"drain_timeout"`

	// Warnings are what the file asks for and this version accepts without
	// doing it, parts that can never take effect, and certificates of listeners that
	// have expired or will soon.
	Warnings []strictyaml.Problem `yaml:"-"`

	// source knows where values came from.
	source *strictyaml.Source
}

// The roles of listeners.
const (
	Ingress  = "ingress"
	Inbound  = "inbound"
	Outbound = "outbound"
)

// Listener is one address that accepts requests.
type Listener struct {
	// Name is the listener in logs and metrics, 1 to 32 of a-z, 0-9 and '-'.
	// Default: public for the first, inbound and outbound for the first of their
	// role, listener-2 and so on for the others.
	Name string `yaml:"name,omitempty"`
	// Address is HOST:PORT; without a host, all addresses. Required.
	Address string `yaml:"address,omitempty"`
	// Role is ingress (believes no class but from Trust), inbound (from other
	// hops, to the app) or outbound (the app's own calls: they keep the class of
	// the request that they are made for). Default: ingress.
	Role string `yaml:"role,omitempty"`
	// Trust lists the networks whose Latency-Class is believed, such as
	// 10.0.0.0/8. An outbound listener lets nobody raise a class. Default: none;
	// inbound: loopback, private and link-local networks.
	Trust []netip.Prefix `yaml:"trust,omitempty"`
	// TLS makes it an HTTPS listener. Default: plain HTTP.
	TLS *TLS `yaml:"tls,omitempty"`
	// ProxyProtocol takes the client's address from the PROXY protocol header,
	// version 1 or 2, that each connection must begin with. Connections of others
	// than ProxyProtocolFrom are refused. Default: false.
	ProxyProtocol bool `yaml:"proxy_protocol,omitempty"`
	// ProxyProtocolFrom lists the networks of the load balancers that send such
	// headers. Default: Trust, which then is about the clients they name.
	ProxyProtocolFrom []netip.Prefix `yaml:"proxy_protocol_from,omitempty"`
	// Limits bound what a client may take. Default: the defaults of its parts.
	Limits ListenerLimits `yaml:"limits,omitempty"`
	// AbortOnClose treats a client that closed its sending side as gone. Turn
	// it off for clients that half-close and still wait for the answer.
	// Default: true.
	AbortOnClose *bool `yaml:"abort_on_close,omitempty"` // never nil
}

// Class is one latency class. The default classes have defaults of their own;
// a class of another name has those marked "other".
type Class struct {
	// Name is 1 to 32 of a-z, 0-9 and '-', but not dead: that is where queues
	// keep their dead letters. Required.
	Name string `yaml:"name,omitempty"`
	// Objective is the wanted p99 of the time spent waiting here; 0s is none. A
	// class that misses it for 100ms on end is overloaded, see Overload.
	// Default: interactive 25ms, other 0s.
	Objective time.Duration `yaml:"objective"`
	// Overload says who goes first while the class is overloaded: newest_first,
	// as those who have waited longest are the likeliest to have given up, or
	// fifo, the oldest as ever. Without an objective it has no effect. Default:
	// newest_first.
	Overload string `yaml:"overload,omitempty"`
	// Reserve is slots that less urgent classes may not take: a number, a share
	// of each upstream's limit (that of all its servers together), or auto, which
	// sizes it to meet the objective. All reserves together leave at least one
	// slot. Default: auto for interactive with an objective, else 0.
	Reserve Reserve `yaml:"reserve"`
	// Floor is the least share of dispatches the class gets while it waits. All
	// floors together are at most 90%. Default: standard 10%, batch 5%, other 0%.
	Floor strictyaml.Percent `yaml:"floor"`
	// MaxWaiting is the most requests that wait in front of one upstream, 0 to
	// 1000000; with 0, what can't run at once is refused. Default: 1000.
	MaxWaiting int `yaml:"max_waiting"`
	// MaxWaitingBytes bounds the memory that waiting requests take, all together,
	// in front of one upstream: about 16 KiB and its header each, as bodies are read
	// when they are sent on. 0 is no bound. Default: 64MiB.
	MaxWaitingBytes strictyaml.Size `yaml:"max_waiting_bytes"`
	// MaxWait is the longest a request waits for a slot; 0s is no bound.
	// Default: interactive 1s, standard 10s, batch 30s, other 10s.
	MaxWait time.Duration `yaml:"max_wait"`
	// Deadline is for the whole request; it only shortens an incoming one.
	// Default: none.
	Deadline time.Duration `yaml:"deadline,omitempty"`
	// Socket is what the kernel is told about the class's packets. Default:
	// nothing.
	Socket Socket `yaml:"socket,omitempty"`
}

// Provenance bounds what an outbound listener knows of the requests that were let
// in: by it, the app's own calls are told whose they are.
type Provenance struct {
	// Max is how many requests are remembered at most, 1 to 10000000; beyond it
	// the oldest are forgotten. Default: 1000000.
	Max int `yaml:"max"`
	// Keep is how long a request is remembered after its end, at least 1s: for
	// calls that the app makes after it has answered. Default: 60s.
	Keep time.Duration `yaml:"keep"`
}

// Tracing says where spans go and how many.
type Tracing struct {
	// Exporter is otlp, jaeger (Thrift over HTTP, for old collectors) or none.
	// Default: none.
	Exporter string `yaml:"exporter,omitempty"`
	// Endpoint is where the exporter sends to: http://host:port, or https.
	// Without a path it gets the usual one, /v1/traces or /api/traces. Required unless the exporter is none.
	Endpoint string `yaml:"endpoint,omitempty"`
	// Protocol is how otlp is spoken: http or grpc. Default: http, but grpc where
	// the endpoint's port is 4317.
	Protocol string `yaml:"protocol,omitempty"`
	// Sample is the share of traces that are recorded, 0 to 1, of those that begin
	// here; others are recorded as their beginning was. What was shed, failed or
	// waited for longer than its class's objective is recorded in any case, up to
	// 1,000 a second of each class. Default: 0.01.
	Sample float64 `yaml:"sample"`
	// Service is what this process is called in traces. Default: the environment
	// variable OTEL_SERVICE_NAME, or overtake.
	Service string `yaml:"service,omitempty"`
	// Propagate lists in which formats, beside W3C's, the next hop is told the
	// trace context: b3 (one header), b3multi and jaeger (uber-trace-id). An app
	// that forwards only one of them keeps the class. Default: all three.
	Propagate []string `yaml:"propagate"`
	// Query is where Jaeger can be asked for traces, http://host:port or https, for
	// the console to show the hops of a request. Default: none, and it shows those of
	// this process alone.
	Query string `yaml:"query,omitempty"`
}

// Secret is text that is never shown.
type Secret string

// Status is a status of HTTP that is no success, or a class of them: 501, 4xx.
type Status string

// Reserve is slots kept from less urgent classes: Auto, or a number of Slots,
// or a Share of the limit; the others are zero then.
type Reserve struct {
	Auto  bool
	Slots int
	Share strictyaml.Percent
}

// Of returns how many slots the reserve keeps of a limit. A share is rounded
// up. Auto asks for none: it takes what is left.
func (r Reserve) Of(limit int) int {
	if r.Share > 0 {
		return (limit*int(r.Share) + 9999) / 10000
	}
	return r.Slots
}
