package loadgen

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/classifier/strictyaml"
	"overtake/loadgen/arrival"
	"overtake/loadgen/completion"
)

// MaxTimeout is how long a request may take at most.
const MaxTimeout = 30 * 24 * time.Hour

// withDefaults fills in what may be left empty.
func (s Class) withDefaults() Class {
	if s.Class == "" {
		s.Class = s.Name
	}
	return s
}

// check returns the first thing wrong with s, without the package prefix. http
// says that it is sent to an HTTP server.
func (s Class) check(http bool) error {
	if err := s.Arrivals.Check(); err != nil {
		return err
	}
	if err := s.Request.Check(); err != nil {
		return err
	}
	switch {
	case s.Name == "" || len(s.Name) > 64 || strings.ContainsFunc(s.Name, notInName):
		return fmt.Errorf("name %q is not 1 to 64 visible ASCII characters without '/'", s.Name)
	case len(s.Class) > 64 || strings.ContainsFunc(s.Class, notInName):
		return fmt.Errorf("class %q is not up to 64 visible ASCII characters without '/'", s.Class)
	case s.Objective < 0:
		return fmt.Errorf("objective %v is below 0", s.Objective)
	case s.Timeout < 0 || s.Timeout > MaxTimeout:
		return fmt.Errorf("timeout %v, want 0s to %.0fh", s.Timeout, MaxTimeout.Hours())
	case s.Connections.Max < 0:
		return fmt.Errorf("at most %d connections; want 1 or more, or 0 for no bound", s.Connections.Max)
	case s.Connections.Requests < 0:
		return fmt.Errorf("%d requests per connection; want 1 or more, or 0 for no bound", s.Connections.Requests)
	case s.Job && !http:
		return errors.New("a job is posted over HTTP; name an endpoint of kind http, or none")
	case http:
		return s.checkHTTP()
	}
	return nil
}

// checkHTTP returns the first thing that is wrong with the requests of s as those of HTTP.
func (s Class) checkHTTP() error {
	connects := func(a arrival.Arrival) bool { return a.Method == fasthttp.MethodConnect }
	switch {
	case s.Request.Path == "":
		return errors.New(`path "" does not begin with '/'`)
	case s.Request.Method == fasthttp.MethodConnect || slices.ContainsFunc(s.Arrivals.Replay.Arrivals, connects):
		return errors.New("method CONNECT asks for a tunnel, which has no answer to wait for (RFC 9110, section 9.3.6); want another method")
	}
	once := make(map[string]bool)
	for _, f := range s.Request.Fields {
		name := strings.ToLower(f.Name)
		switch {
		case strings.EqualFold(name, completion.HeaderID):
			return fmt.Errorf("header %s is sent by the generator, which tells requests apart by it; leave it out", completion.HeaderID)
		case name == "host" && strings.TrimSpace(f.Value) == "":
			return errors.New("header Host is empty; give it a value, or leave it out for the target's")
		case name == "authorization" && once[name]:
			return errors.New("header Authorization is there twice; keep one, or else the user and password in the URL")
		case name == "host" && once[name]:
			return errors.New("header Host is there twice; keep one")
		}
		once[name] = true
	}
	return nil
}

func notInName(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' }

// endpoint returns what a class names, the target for an empty name.
func (sc Scenario) endpoint(name string) Endpoint {
	if name == "" {
		return Endpoint{Kind: kindHTTP, URL: sc.Target}
	}
	return sc.Endpoints[name]
}

// targetURL is the target without a path, empty if there is none.
func (sc Scenario) targetURL() string {
	t, _ := parseTarget(sc.Target)
	return t.url
}

// Validate reports all that is wrong with the scenario. [Run] does so too.
func (sc Scenario) Validate() error {
	var problems []error
	add := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("loadgen: "+format, args...))
	}
	targeted := len(sc.Classes) == 0 || sc.Target != "" ||
		slices.ContainsFunc(sc.Classes, func(c Class) bool { return c.Endpoint == "" })
	if _, err := parseTarget(sc.Target); err != nil && targeted {
		problems = append(problems, err)
	}
	for _, name := range slices.Sorted(maps.Keys(sc.Endpoints)) {
		if err := sc.Endpoints[name].check(); err != nil {
			add("endpoint %q: %w", name, err)
		}
	}
	sc.checkTimes(add)
	if len(sc.Classes) == 0 {
		add("no classes: nothing to send")
	}
	seen := make(map[string]bool)
	for _, s := range sc.Classes {
		e, known := sc.Endpoints[s.Endpoint]
		if s.Endpoint != "" && !known {
			add("class %q: there is no endpoint %q; defined are %q", s.Name, s.Endpoint, slices.Sorted(maps.Keys(sc.Endpoints)))
		}
		if err := s.check(!known || e.Kind == kindHTTP); err != nil {
			add("class %q: %w", s.Name, err)
		}
		if seen[s.Name] {
			add("class %q is defined twice", s.Name)
		}
		seen[s.Name] = true
	}
	if len(problems) == 0 && !slices.ContainsFunc(sc.Classes, sc.due) {
		add("nothing is due within the run of %v; let it last longer, or raise the rates", sc.Duration)
	}
	return errors.Join(problems...)
}

// due reports whether anything of the class is due in the measured part. It looks
// only so far into a schedule: a class with much in the warm-up has something after it.
func (sc Scenario) due(s Class) bool {
	schedule := s.Arrivals.Open(sc.Seed, s.Name)
	for range 100_000 {
		a, more := schedule.Next()
		if !more || a.At >= sc.Warmup+sc.Duration {
			return false
		}
		if a.At >= sc.Warmup {
			return true
		}
	}
	return true
}

func (sc Scenario) checkTimes(add func(format string, args ...any)) {
	if sc.Duration <= 0 {
		add("duration %v is not above 0", sc.Duration)
	}
	if sc.Warmup < 0 {
		add("warm-up %v is below 0", sc.Warmup)
	}
	var phases time.Duration
	for _, p := range sc.Phases {
		if p.Duration <= 0 {
			add("phase %q: duration %v is not above 0", p.Name, p.Duration)
		}
		phases += p.Duration
	}
	if len(sc.Phases) > 0 && phases != sc.Duration {
		add("the phases last %v together, and the run %v; make them equal", phases, sc.Duration)
	}
}

// check returns the first thing wrong with e, without the package prefix.
func (e Endpoint) check() error {
	switch {
	case e.Kind == "":
		return fmt.Errorf("no kind; want %q, or one that is sent messages", kindHTTP)
	case e.URL == "":
		return errors.New("no URL: nowhere to send to")
	case e.Consumers < 0:
		return fmt.Errorf("%d consumers", e.Consumers)
	case e.Hold < 0:
		return fmt.Errorf("hold %v is below 0", e.Hold)
	case e.Kind == kindHTTP:
		_, err := parseTarget(e.URL)
		return err
	}
	return nil
}

// target is where requests go.
type target struct {
	url  string // scheme://host[:port], no path
	host string // as sent in the Host field
	name string // of the host, without a port
	addr string // host:port to dial
	tls  bool
}

func parseTarget(raw string) (target, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return target{}, fmt.Errorf("loadgen: target %q is not a URL; want http://HOST:PORT or https://HOST:PORT", strictyaml.WithoutPassword(raw))
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return target{}, fmt.Errorf("loadgen: target %q: want http://HOST:PORT or https://HOST:PORT", strictyaml.WithoutPassword(raw))
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return target{}, fmt.Errorf("loadgen: target %q has more than a host and a port; give %s, and the rest in the paths of the classes",
			strictyaml.WithoutPassword(raw), u.Scheme+"://"+u.Host)
	}
	t := target{url: u.Scheme + "://" + u.Host, host: u.Host, name: u.Hostname(), addr: u.Host, tls: u.Scheme == "https"}
	if u.Port() == "" {
		port := map[bool]string{false: "80", true: "443"}[t.tls]
		t.addr = strings.TrimSuffix(u.Host, ":") + ":" + port
	}
	return t, nil
}
