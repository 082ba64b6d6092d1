package loadgen

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"overtake/loadgen/arrival"
	"overtake/loadgen/content"
)

// kindHTTP is the kind of [Endpoint] that the engine itself sends to.
const kindHTTP = "http"

// Scenario is what one run sends: several classes of requests at the same time.
type Scenario struct {
	// Name is what reports call the scenario. It may be empty.
	Name string
	// Target is the base URL of the classes that name no [Endpoint], such as
	// http://127.0.0.1:8080. Only its scheme, host and port are used.
	Target string
	// Duration is how long requests are measured, without the warm-up.
	Duration time.Duration
	// Warmup is sent before the measured part and left out of the figures.
	Warmup time.Duration
	// Phases divide the measured part; their durations sum up to Duration. They
	// are for the report: what differs in them is in the classes' arrivals. None
	// is one phase.
	Phases []Phase
	// Seed decides the intended start and the content of every request. The same
	// seed gives the same ones; 0 is a seed like any other.
	Seed uint64
	// Endpoints are what classes send to, by name, beside Target.
	Endpoints map[string]Endpoint
	Classes   []Class
}

// Phase is a part of a run that gets figures of its own.
type Phase struct {
	Name     string
	Duration time.Duration
}

// Class is one open-loop flow of requests with a schedule of its own.
type Class struct {
	// Name is unique in the scenario: 1 to 64 characters, no space, no '/'.
	Name string
	// Class is the latency class that the requests are meant to get, for the
	// report. Empty means Name. The generator does not send it: the gateway's
	// rules give requests their class, or Request has it in a field.
	Class string
	// Arrivals say when requests start, counted from the start of the warm-up.
	Arrivals arrival.Plan
	// Request says what is in them.
	Request content.Spec
	// ShownPath is what reports show as the path of all requests, because what is
	// sent has values that they must not show. Empty shows what is sent.
	ShownPath string
	// Endpoint names one of the scenario's endpoints. Empty is [Scenario.Target].
	Endpoint string
	// Objective is the latency within which an answer is of use: goodput counts
	// those. 0 counts every success.
	Objective time.Duration
	// Timeout bounds one request from its real start. 0 is that of the run.
	Timeout time.Duration
	// Connections say how HTTP connections are used.
	Connections Connections
	// Job says that 202 is the expected answer, and that latency counts to the
	// completion of the work: as listed at [Options.Completions], or, where that
	// is empty, as the resource in Location tells.
	Job bool
	// Success are the statuses of answers that are successes, over HTTP. Empty is 2xx.
	// A job has none: its answer is 202.
	Success []Statuses
}

// Connections are how a class uses HTTP connections. The zero value keeps them
// open, until they were idle for 2 s, and opens as many as it takes to never wait for one.
type Connections struct {
	// Max is how many there are at most. When all are in use, a request is sent
	// when one is free; its latency counts from its intended start all the same.
	// 0 is no bound but that of outstanding requests.
	Max int
	// Requests is how many requests one connection serves before it is closed.
	// 0 is no bound, 1 opens a connection for each request.
	Requests int
}

// Endpoint is something that classes send to.
type Endpoint struct {
	// Kind is "http", "amqp" or "nats".
	Kind string
	// URL is the base URL of a server, or that of a broker with its credentials.
	URL string
	// Messages are published to Exchange with the routing key Key (AMQP), or to
	// Subject (NATS), and are done when they were consumed from Queue (AMQP), or
	// from Stream or else Subject itself (NATS).
	Exchange, Key, Queue string
	Subject, Stream      string
	// Consumers is how many messages are worked on at the same time, Hold for
	// how long each. 0 consumers is 1.
	Consumers int
	Hold      time.Duration
	// Drain throws away what is in Queue, or in Stream if that is a work queue,
	// before the run. Without it, a run does not start while something is in there:
	// it would be in its way, and may be of use to somebody.
	Drain bool
}

// destination is where messages go: exchange/key or subject. It is empty for requests,
// each of which has a target of its own.
func (e Endpoint) destination() string {
	switch {
	case e.Subject != "":
		return e.Subject
	case e.Exchange != "":
		return e.Exchange + "/" + e.Key
	case e.Key != "":
		return e.Key
	}
	return e.Queue
}

// ParseClassFlag reads the value of a --class flag:
//
//	NAME=RATE:PATH           interactive=200:/work?ms=5
//	NAME=RATE:METHOD PATH    batch=140:POST /jobs/report?ms=50
//
// RATE is in requests per second and may have a fraction. As in a scenario, it may also
// be written with its unit: 200/s, or 30/min.
func ParseClassFlag(value string) (Class, error) {
	fail := func(problem string) (Class, error) {
		return Class{}, fmt.Errorf("loadgen: class %q: %s; want NAME=RATE:PATH or NAME=RATE:METHOD PATH,"+
			" such as interactive=200:/work?ms=5", value, problem)
	}
	name, rest, ok := strings.Cut(value, "=")
	if !ok {
		return fail("no '=' after the name")
	}
	rateText, request, ok := strings.Cut(rest, ":")
	if !ok {
		return fail("no ':' after the rate")
	}
	rate, problem := parseRate(rateText)
	if problem != "" {
		return fail(problem)
	}
	s := Class{Name: name, Class: name, Arrivals: arrival.Steady(rate)}
	s.Request.Method, s.Request.Path = splitRequest(request)
	if err := s.check(true); err != nil {
		return fail(err.Error())
	}
	return s, nil
}

// parseRate returns requests per second, or what is wrong with the text.
func parseRate(text string) (rate float64, problem string) {
	digits, unit, hasUnit := strings.Cut(text, "/")
	rate, err := strconv.ParseFloat(digits, 64)
	switch {
	case err != nil:
		return 0, fmt.Sprintf("rate %q is not a number", text)
	case unit == "min":
		return rate / 60, ""
	case hasUnit && unit != "s":
		return 0, fmt.Sprintf("rate %q is neither per second (%s/s) nor per minute (%s/min)", text, digits, digits)
	}
	return rate, ""
}

// splitRequest separates "METHOD PATH"; a lone path, which may have spaces in its
// templates, is a GET.
func splitRequest(request string) (method, path string) {
	if method, path, ok := strings.Cut(request, " "); ok && !strings.HasPrefix(method, "/") {
		return method, path
	}
	return "GET", request
}
