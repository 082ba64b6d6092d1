package loadgen

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxRate is far above what one process can send; it catches typing errors.
const maxRate = 1e6

// Scenario is what one run sends: several streams at the same time.
type Scenario struct {
	// Target is the base URL, such as http://127.0.0.1:8080. Only its scheme,
	// host and port are used; paths come from the streams.
	Target string
	// Duration is how long requests are measured, without the warm-up.
	Duration time.Duration
	// Seed decides the intended start of every request. The same seed gives the
	// same schedules; 0 is a seed like any other.
	Seed    uint64
	Streams []Stream
}

// Stream is one open-loop flow of equal requests.
type Stream struct {
	// Name is unique in the scenario: 1 to 64 characters, no space, no '/'.
	Name string
	// Class labels the results. Empty means Name. The generator does not send
	// it: the gateway's rules give requests their class, or put it into Header.
	Class string
	// Rate is the mean number of requests per second.
	Rate float64
	// Method is GET if empty.
	Method string
	// Path is the request target: path and query, starting with '/'.
	Path   string
	Header http.Header
	// Body is sent with each request. BodyBytes, if Body is empty, sends that
	// many bytes of filler without holding them in memory.
	Body      []byte
	BodyBytes int64
	// Job says that 202 is the expected answer, and that latency counts to the
	// completion of the work, as listed at [Options.Completions].
	Job bool
}

// ParseClassFlag reads the value of a --class flag:
//
//	NAME=RATE:PATH           interactive=200:/work?ms=5
//	NAME=RATE:METHOD PATH    batch=140:POST /jobs/report?ms=50
//
// RATE is in requests per second and may have a fraction.
func ParseClassFlag(value string) (Stream, error) {
	fail := func(problem string) (Stream, error) {
		return Stream{}, fmt.Errorf("loadgen: class %q: %s; want NAME=RATE:PATH or NAME=RATE:METHOD PATH,"+
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
	rate, err := strconv.ParseFloat(rateText, 64)
	if err != nil {
		return fail(fmt.Sprintf("rate %q is not a number", rateText))
	}
	s := Stream{Name: name, Class: name, Rate: rate}
	s.Method, s.Path = splitRequest(request)
	if err := s.check(); err != nil {
		return fail(err.Error())
	}
	return s, nil
}

// splitRequest separates "METHOD PATH"; a lone path is a GET.
func splitRequest(request string) (method, path string) {
	if method, path, ok := strings.Cut(request, " "); ok {
		return method, path
	}
	return http.MethodGet, request
}

// withDefaults fills in what may be left empty.
func (s Stream) withDefaults() Stream {
	if s.Class == "" {
		s.Class = s.Name
	}
	if s.Method == "" {
		s.Method = http.MethodGet
	}
	return s
}

// check returns the first thing wrong with s, without the package prefix.
func (s Stream) check() error {
	switch {
	case s.Name == "" || len(s.Name) > 64 || strings.ContainsFunc(s.Name, notInName):
		return fmt.Errorf("name %q is not 1 to 64 visible ASCII characters without '/'", s.Name)
	case len(s.Class) > 64 || strings.ContainsFunc(s.Class, notInName):
		return fmt.Errorf("class %q is not up to 64 visible ASCII characters without '/'", s.Class)
	case math.IsNaN(s.Rate) || s.Rate <= 0 || s.Rate > maxRate:
		return fmt.Errorf("rate %v is not above 0 and up to %.0f per second", s.Rate, float64(maxRate))
	case strings.ContainsFunc(s.Method, func(r rune) bool { return r < 'A' || r > 'Z' }):
		return fmt.Errorf("method %q is not in capital letters", s.Method)
	case !strings.HasPrefix(s.Path, "/"):
		return fmt.Errorf("path %q does not start with '/'", s.Path)
	case strings.ContainsFunc(s.Path, notInTarget):
		return fmt.Errorf("path %q has spaces or characters that must be %%-encoded", s.Path)
	case s.BodyBytes < 0:
		return fmt.Errorf("body of %d bytes", s.BodyBytes)
	}
	return nil
}

func notInTarget(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }
func notInName(r rune) bool   { return r <= ' ' || r >= 0x7f || r == '/' }

// Validate reports all that is wrong with the scenario. Run does so too.
func (sc Scenario) Validate() error {
	var problems []error
	add := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("loadgen: "+format, args...))
	}
	if _, err := parseTarget(sc.Target); err != nil {
		problems = append(problems, err)
	}
	if sc.Duration <= 0 {
		add("duration %v is not above 0", sc.Duration)
	}
	if len(sc.Streams) == 0 {
		add("no streams: nothing to send")
	}
	seen := make(map[string]bool)
	for _, s := range sc.Streams {
		if err := s.check(); err != nil {
			add("stream %q: %w", s.Name, err)
		}
		if seen[s.Name] {
			add("stream %q is defined twice", s.Name)
		}
		seen[s.Name] = true
	}
	return errors.Join(problems...)
}

// target is where requests go.
type target struct {
	url  string // scheme://host[:port], no path
	host string // as sent in the Host field
	addr string // host:port to dial
	tls  bool
}

func parseTarget(raw string) (target, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return target{}, fmt.Errorf("loadgen: target %q: %w", raw, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return target{}, fmt.Errorf("loadgen: target %q: want http://HOST:PORT or https://HOST:PORT", raw)
	}
	t := target{url: u.Scheme + "://" + u.Host, host: u.Host, addr: u.Host, tls: u.Scheme == "https"}
	if u.Port() == "" {
		port := map[bool]string{false: "80", true: "443"}[t.tls]
		t.addr = strings.TrimSuffix(u.Host, ":") + ":" + port
	}
	return t, nil
}
