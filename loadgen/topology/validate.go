package topology

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"overtake/classifier/strictyaml"
	"overtake/loadgen/distribution"
)

// Bounds of what a file may ask for.
const (
	maxTime        = time.Minute
	maxTimeout     = time.Hour
	maxSize        = strictyaml.Size(1 << 30)
	maxWorkers     = 10_000
	maxConcurrency = 1000
)

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

const nameHint = "want letters, digits, - and _"

// checker completes a graph and records what is wrong with it.
type checker struct {
	src   *strictyaml.Source
	graph *Graph
}

func (c *checker) check() {
	g := c.graph
	g.complete(c.src)
	if len(g.Services) == 0 {
		c.src.Problem("services", "write services: {front: {endpoints: [{path: /}]}}", "an application needs services")
	}
	for _, name := range slices.Sorted(maps.Keys(g.Brokers)) {
		c.broker(strictyaml.Join("brokers", name), name)
	}
	listens := make(map[string]string)
	for _, name := range g.order {
		c.service(strictyaml.Join("services", name), g.Services[name], listens)
	}
	c.cycles()
}

func (c *checker) broker(path, name string) {
	if !namePattern.MatchString(name) {
		c.src.Wrong(path, name, "is no name for a broker", nameHint)
	}
	b := c.graph.Brokers[name]
	if b == nil {
		b = &Broker{}
		c.graph.Brokers[name] = b
	}
	switch {
	case b.AMQP != "" && b.NATS != "":
		c.src.Problem(path, "keep one of amqp and nats", "is two brokers at once")
	case b.AMQP != "":
		c.url(strictyaml.Join(path, "amqp"), b.AMQP, "amqp://127.0.0.1:5672", "amqp", "amqps")
	case b.NATS != "":
		c.url(strictyaml.Join(path, "nats"), b.NATS, "nats://127.0.0.1:4222", "nats", "tls")
	default:
		c.src.Problem(path, `write {nats: "nats://127.0.0.1:4222"} or {amqp: "amqp://127.0.0.1:5672"}`, "says not where it is")
	}
}

func (c *checker) url(path, text, example string, schemes ...string) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme) {
		c.src.Wrong(path, text, "is not a URL of a kind that is known here", "write "+strconv.Quote(example))
	}
}

func (c *checker) service(path string, s *Service, listens map[string]string) {
	at := func(key string) string { return strictyaml.Join(path, key) }
	if !namePattern.MatchString(s.name) {
		c.src.Wrong(path, s.name, "is no name for a service", nameHint)
	}
	if s.Listen != "" && c.address(at("listen"), s.Listen, 0) && !strings.HasSuffix(s.Listen, ":0") {
		if other, taken := listens[s.Listen]; taken {
			c.src.Problem(at("listen"), "give one of them another port", "%s is where %s listens", s.Listen, other)
		}
		listens[s.Listen] = s.name
	}
	if s.Address != "" {
		c.address(at("address"), s.Address, 1)
	}
	c.whole(at("workers"), s.Workers, 0, maxWorkers)
	strictyaml.SetDefault(c.src, at("forward"), &s.Forward, DefaultForward)
	for i, name := range s.Forward {
		c.forward(strictyaml.Item(at("forward"), i), name, s.Forward[:i])
	}
	c.sidecar(at("sidecar"), s)
	if len(s.Endpoints)+len(s.Consumes) == 0 {
		c.src.Problem(path, "write endpoints: [{path: /}] or consumes: [{queue: NAME, broker: NAME}]", "a service without endpoints does nothing")
	}
	for i := range s.Endpoints {
		c.endpoint(strictyaml.Item(at("endpoints"), i), &s.Endpoints[i], s.Endpoints[:i])
	}
	for i := range s.Consumes {
		c.consume(strictyaml.Item(at("consumes"), i), &s.Consumes[i])
	}
}

func (c *checker) sidecar(path string, s *Service) {
	if s.Sidecar == nil || s.Sidecar.off {
		s.Sidecar = nil
		return
	}
	if s.Sidecar.Inbound != "" {
		c.address(strictyaml.Join(path, "inbound"), s.Sidecar.Inbound, 0)
	}
	if s.Sidecar.Outbound != "" {
		c.address(strictyaml.Join(path, "outbound"), s.Sidecar.Outbound, 0)
	}
}

// address checks HOST:PORT and reports whether it is one.
func (c *checker) address(path, text string, least int) bool {
	host, port, err := net.SplitHostPort(text)
	n, portErr := strconv.Atoi(port)
	switch {
	case err != nil || portErr != nil || n < least || n > 65535:
		c.src.Wrong(path, text, "is not an address", "write one such as 127.0.0.1:9080")
	case least > 0 && host == "":
		c.src.Wrong(path, text, "has no host", "write one that others can dial, such as 127.0.0.1"+text)
	default:
		return true
	}
	return false
}

// hopByHop are headers that are about one connection or one body.
var hopByHop = []string{
	"connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer",
	"transfer-encoding", "upgrade",
}

var headerPattern = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

func (c *checker) forward(path, name string, before []string) {
	same := func(other string) bool { return strings.EqualFold(other, name) }
	switch {
	case !headerPattern.MatchString(name):
		c.src.Wrong(path, name, "is no name of a header", "write one such as traceparent")
	case slices.ContainsFunc(hopByHop, same):
		c.src.Wrong(path, name, "is about one connection and can't be forwarded", "remove it")
	case slices.ContainsFunc(before, same):
		c.src.Wrong(path, name, "is listed twice", "remove it")
	}
}

func (c *checker) whole(path string, n, least, most int) {
	if n < least || n > most {
		c.src.Problem(path, fmt.Sprintf("want %d to %d", least, most), "%d is out of range", n)
	}
}

func (c *checker) endpoint(path string, e *Endpoint, before []Endpoint) {
	at := func(key string) string { return strictyaml.Join(path, key) }
	switch stem := strings.TrimSuffix(e.Path, "/**"); {
	case e.Path == "":
		c.src.Problem(path, "write path: /", "an endpoint needs a path")
	case e.Path[0] != '/':
		c.src.Wrong(at("path"), e.Path, "does not begin with /", "write /"+e.Path)
	case strings.ContainsAny(stem, "*?#") || !printable(stem):
		c.src.Wrong(at("path"), e.Path, "is not a path", "write it without ? and *, with /** at the end for all below it")
	case e.Path == StatsPath:
		c.src.Wrong(at("path"), e.Path, "is where the statistics are", "choose another")
	case slices.ContainsFunc(before, func(other Endpoint) bool { return other.Path == e.Path }):
		c.src.Wrong(at("path"), e.Path, "is an endpoint already", "keep one of them, or choose another path")
	}
	e.Response.Check(c.src, at("response"), maxSize)
	c.work(path, e.work())
}

func printable(path string) bool {
	return strings.IndexFunc(path, func(r rune) bool { return r <= ' ' || r >= 0x7f }) < 0
}

func (c *checker) consume(path string, q *Consume) {
	at := func(key string) string { return strictyaml.Join(path, key) }
	c.queue(path, q.Queue, q.Broker)
	strictyaml.SetDefault(c.src, at("concurrency"), &q.Concurrency, defaultConcurrency)
	c.whole(at("concurrency"), q.Concurrency, 1, maxConcurrency)
	c.work(path, q.work())
}

// work checks what endpoints and consumers have in common. Its slices are those of
// the graph.
func (c *checker) work(path string, w work) {
	at := func(key string) string { return strictyaml.Join(path, key) }
	w.time.Check(c.src, at("time"), maxTime)
	if w.cpu && !c.src.Given(at("time")) {
		c.src.Problem(at("cpu"), "write time: 5ms", "there is no time to spend on the processor")
	}
	c.calls(at("calls"), w.calls, false)
	for i := range w.publish {
		c.publish(strictyaml.Item(at("publish"), i), &w.publish[i])
	}
}

func (c *checker) calls(path string, calls []Call, parallel bool) {
	for i := range calls {
		call, at := &calls[i], strictyaml.Item(path, i)
		if call.Parallel == nil && !c.src.Given(strictyaml.Join(at, "parallel")) {
			c.call(at, call)
			continue
		}
		switch {
		case parallel:
			c.src.Problem(strictyaml.Join(at, "parallel"), "write its calls into the list around it", "is inside of another parallel")
		case len(call.Parallel) == 0:
			c.src.Problem(strictyaml.Join(at, "parallel"), "write parallel: [{service: NAME, path: /}]", "there is nothing to call")
		}
		for _, key := range []string{"service", "url", "path", "method", "body", "timeout", "probability", "optional"} {
			if c.src.Given(strictyaml.Join(at, key)) {
				c.src.Problem(strictyaml.Join(at, key), "write it into each of the parallel calls", "does not go together with parallel")
			}
		}
		c.calls(strictyaml.Join(at, "parallel"), call.Parallel, true)
	}
}

func (c *checker) call(path string, call *Call) {
	at := func(key string) string { return strictyaml.Join(path, key) }
	c.attempt(path, &call.Timeout, &call.Probability, &call.Body)
	method := "GET"
	if c.src.Given(at("body")) {
		method = "POST"
	}
	strictyaml.SetDefault(c.src, at("method"), &call.Method, method)
	if upper := strings.ToUpper(call.Method); !headerPattern.MatchString(call.Method) || upper != call.Method {
		c.src.Wrong(at("method"), call.Method, "is not a method", "write one such as GET or POST")
	}
	switch {
	case call.Service != "" && call.URL != "":
		c.src.Problem(path, "keep one of service and url", "goes to two places")
	case call.URL != "":
		c.httpURL(at("url"), call.URL)
		if call.Path != "" {
			c.src.Problem(at("path"), "write it into the url", "does not go together with url")
		}
	case call.Service == "":
		c.src.Problem(path, "write {service: NAME, path: /} or {url: ...}", "a call needs somewhere to go")
	default:
		c.target(path, call)
	}
}

// target checks that the service which is called has such an endpoint.
func (c *checker) target(path string, call *Call) {
	at := func(key string) string { return strictyaml.Join(path, key) }
	s, known := c.graph.Services[call.Service]
	switch {
	case !known:
		c.src.Wrong(at("service"), call.Service, "is not a service", strictyaml.Suggest(call.Service, c.graph.order))
	case c.src.AnyBroken(strictyaml.Join(strictyaml.Join("services", call.Service), "endpoints")):
	case call.Path == "":
		c.src.Problem(path, "write path: "+firstPath(s), "a call needs a path")
	case !strings.HasPrefix(call.Path, "/"):
		c.src.Wrong(at("path"), call.Path, "does not begin with /", "write /"+call.Path)
	case !printable(call.Path) || strings.Contains(call.Path, "#"):
		c.src.Wrong(at("path"), call.Path, "is not a path", "write spaces and what is not ASCII as %20")
	case s.endpointFor(call.Path) < 0:
		var paths []string
		for _, e := range s.Endpoints {
			paths = append(paths, e.Path)
		}
		hint := strictyaml.Suggest(call.Path, paths)
		if hint == "" {
			hint = "give it endpoints"
		}
		c.src.Wrong(at("path"), call.Path, "is not an endpoint of "+call.Service, hint)
	}
}

func firstPath(s *Service) string {
	if len(s.Endpoints) > 0 {
		return s.Endpoints[0].Path
	}
	return "/"
}

func (c *checker) httpURL(path, text string) {
	c.url(path, text, "http://127.0.0.1:8080/", "http")
}

// attempt checks what calls and publishes have in common.
func (c *checker) attempt(path string, timeout *time.Duration, probability *strictyaml.Percent, body *distribution.Size) {
	at := func(key string) string { return strictyaml.Join(path, key) }
	strictyaml.SetDefault(c.src, at("timeout"), timeout, DefaultTimeout)
	if *timeout <= 0 || *timeout > maxTimeout {
		c.src.Problem(at("timeout"), fmt.Sprintf("want more than 0s and at most %v", maxTimeout), "%v is out of range", *timeout)
	}
	strictyaml.SetDefault(c.src, at("probability"), probability, 100_00)
	if *probability == 0 {
		c.src.Problem(at("probability"), "remove it", "this never happens")
	}
	body.Check(c.src, at("body"), maxSize)
}

func (c *checker) publish(path string, p *Publish) {
	at := func(key string) string { return strictyaml.Join(path, key) }
	c.attempt(path, &p.Timeout, &p.Probability, &p.Body)
	switch {
	case p.URL != "" && (p.Queue != "" || p.Broker != ""):
		c.src.Problem(path, "keep url, or queue and broker", "goes to two places")
	case p.URL != "":
		c.httpURL(at("url"), p.URL)
	default:
		c.queue(path, p.Queue, p.Broker)
	}
}

var queuePattern = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

func (c *checker) queue(path, queue, broker string) {
	switch {
	case queue == "":
		c.src.Problem(path, "write {queue: NAME, broker: NAME}", "needs a queue")
	case !queuePattern.MatchString(queue):
		c.src.Wrong(strictyaml.Join(path, "queue"), queue, "is no name for a queue", "want letters, digits, - and _, with dots between")
	}
	names := slices.Sorted(maps.Keys(c.graph.Brokers))
	_, known := c.graph.Brokers[broker]
	switch {
	case broker == "":
		c.src.Problem(path, "write broker: NAME, one of brokers", "needs a broker")
	case !known && len(names) == 0:
		c.src.Wrong(strictyaml.Join(path, "broker"), broker, "is not a broker", fmt.Sprintf(`write brokers: {%s: {nats: "nats://127.0.0.1:4222"}}`, broker))
	case !known:
		c.src.Wrong(strictyaml.Join(path, "broker"), broker, "is not a broker", strictyaml.Suggest(broker, names))
	}
}
