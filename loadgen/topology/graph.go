package topology

import (
	"time"

	"overtake/classifier/strictyaml"
	"overtake/loadgen/distribution"
)

// Graph is an application: services, and the brokers that they publish to. [Parse]
// checks it and fills in defaults; after that it is read-only.
type Graph struct {
	Name  string `yaml:"name"`
	About string `yaml:"about"`
	// Seed is that of everything that is drawn.
	Seed     uint64              `yaml:"seed"`
	Services map[string]*Service `yaml:"services"`
	Brokers  map[string]*Broker  `yaml:"brokers"`

	order []string // names of services, in the order of the file
}

// Service is one HTTP server, a consumer of queues, or both.
type Service struct {
	// Listen is where it listens; a port of 0, the default, is any that is free.
	Listen string `yaml:"listen"`
	// Address is what the others dial, for a service that runs elsewhere or has
	// something in front of it. Default: where it, or its sidecar, listens.
	Address string `yaml:"address"`
	// Workers is how many requests and messages are worked on at once; the rest
	// waits, first in, first out. 0 is no limit.
	Workers int `yaml:"workers"`
	// Forward lists the headers that go with its calls and messages.
	Forward   []string   `yaml:"forward"`
	Sidecar   *Sidecar   `yaml:"sidecar"`
	Endpoints []Endpoint `yaml:"endpoints"`
	Consumes  []Consume  `yaml:"consumes"`

	name string
}

// Endpoint is what a service does for requests to a path.
type Endpoint struct {
	// Path is the exact path, or all that is below it if it ends with /**.
	Path string `yaml:"path"`
	// Time is how long the work takes; CPU spends it on the processor rather than
	// asleep.
	Time distribution.Duration `yaml:"time"`
	CPU  bool                  `yaml:"cpu"`
	// Response is the size of the answer's body.
	Response distribution.Size `yaml:"response"`
	// Failures is the share of requests that are answered with 500.
	Failures strictyaml.Percent `yaml:"failures"`
	Calls    []Call             `yaml:"calls"`
	Publish  []Publish          `yaml:"publish"`
}

// Consume is what a service does for messages of a queue.
type Consume struct {
	Queue  string `yaml:"queue"`
	Broker string `yaml:"broker"`
	// Concurrency is how many messages are worked on at once.
	Concurrency int                   `yaml:"concurrency"`
	Time        distribution.Duration `yaml:"time"`
	CPU         bool                  `yaml:"cpu"`
	// Failures is the share of messages that are rejected.
	Failures strictyaml.Percent `yaml:"failures"`
	Calls    []Call             `yaml:"calls"`
	Publish  []Publish          `yaml:"publish"`
}

// Call is one request to another service, or several at the same time.
type Call struct {
	// Service and Path, or URL, say where it goes.
	Service string            `yaml:"service"`
	URL     string            `yaml:"url"`
	Path    string            `yaml:"path"`
	Method  string            `yaml:"method"`
	Body    distribution.Size `yaml:"body"`
	Timeout time.Duration     `yaml:"timeout"`
	// Probability is the share of requests that make the call.
	Probability strictyaml.Percent `yaml:"probability"`
	// Optional calls may fail without failing the request.
	Optional bool `yaml:"optional"`
	// Parallel calls start together, and all are waited for.
	Parallel []Call `yaml:"parallel"`
}

// Publish is one message, to a queue of a broker or as a POST to a job route.
type Publish struct {
	Queue       string             `yaml:"queue"`
	Broker      string             `yaml:"broker"`
	URL         string             `yaml:"url"`
	Body        distribution.Size  `yaml:"body"`
	Timeout     time.Duration      `yaml:"timeout"`
	Probability strictyaml.Percent `yaml:"probability"`
	Optional    bool               `yaml:"optional"`
}

// Broker is where queues are: exactly one of its fields is given.
type Broker struct {
	AMQP string `yaml:"amqp"`
	NATS string `yaml:"nats"`
}

// Sidecar is a sidecar beside a service. In a file it may be given as true.
type Sidecar struct {
	// Config is the sidecar's configuration file: its classes, rules, tracing.
	Config string `yaml:"config"`
	// Inbound and Outbound are where it listens for the others' and for the
	// service's own calls; a port of 0, the default, is any that is free. Where the
	// graph is run with a [Options.ListenBase], that gives Inbound its default.
	Inbound  string `yaml:"inbound"`
	Outbound string `yaml:"outbound"`

	off bool // given as false
}

// UnmarshalShort reads true or false. It implements [strictyaml.ShortFormer].
func (s *Sidecar) UnmarshalShort(text []byte) error {
	switch string(text) {
	case "true":
	case "false":
		s.off = true
	default:
		return strictyaml.Mistake{What: "is neither true nor false", Hint: "write true, or {config: FILE}"}
	}
	return nil
}

// WithSidecars returns a graph in which every service has a sidecar: the one that its
// file gives it, or else one with the configuration file config, which may be empty. g
// stays as it is.
func (g *Graph) WithSidecars(config string) *Graph {
	with := *g
	with.Services = make(map[string]*Service, len(g.Services))
	for name, s := range g.Services {
		copied := *s
		if copied.Sidecar == nil {
			copied.Sidecar = &Sidecar{Config: config}
		}
		with.Services[name] = &copied
	}
	return &with
}

// Names returns the names of the services, in the order of the file.
func (g *Graph) Names() []string { return g.order }

// work is what endpoints and consumers do alike.
type work struct {
	time     distribution.Duration
	cpu      bool
	failures strictyaml.Percent
	calls    []Call
	publish  []Publish
}

func (e *Endpoint) work() work {
	return work{e.Time, e.CPU, e.Failures, e.Calls, e.Publish}
}

func (c *Consume) work() work {
	return work{c.Time, c.CPU, c.Failures, c.Calls, c.Publish}
}
