package topology

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// Services of one graph may run in several processes, which find each other by
// their addresses.
func TestSomeServicesElsewhere(t *testing.T) {
	base := freePorts(t, 3)
	text := `
services:
  a: {endpoints: [{path: /, calls: [{service: b, path: /}]}]}
  b: {endpoints: [{path: /, calls: [{service: c, path: /}]}]}
  c: {endpoints: [{path: /}]}
`
	one := run(t, parse(t, text), Options{Only: []string{"a", "c"}, ListenBase: base})
	if status, body := one.get("a", "/"); status != 502 || !strings.Contains(body, "call 1 to b /") {
		t.Errorf("without b: %d %s", status, body)
	}
	other := run(t, parse(t, text), Options{Only: []string{"b"}, ListenBase: base})
	one.mustGet("a", "/")
	if got := one.requests() + ", " + other.requests(); got != "a 2, c 1, b 1" {
		t.Error(got)
	}
	for i, r := range one.Running() {
		if want := fmt.Sprintf("service=%s address=127.0.0.1:%d", r.Service, base+2*i); r.String() != want {
			t.Errorf("%s, want %s", r, want)
		}
	}
}

// An address that is given is dialled, though the service runs here.
func TestAddressInFrontOfAService(t *testing.T) {
	ports := freePorts(t, 1)
	text := fmt.Sprintf(`
services:
  a: {endpoints: [{path: /, calls: [{service: b, path: /}]}]}
  b: {listen: "127.0.0.1:%d", address: %s, endpoints: [{path: /}]}
`, ports, "%s")
	seen := recorder(t, func(w http.ResponseWriter, r *http.Request) {
		target := &url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", ports)}
		r.Header.Set("X-Through", "1")
		httputil.NewSingleHostReverseProxy(target).ServeHTTP(w, r)
	})
	r := run(t, parse(t, fmt.Sprintf(text, strings.TrimPrefix(seen, "http://"))), Options{})
	r.mustGet("a", "/")
	if got := r.requests(); got != "a 1, b 1" {
		t.Error(got)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections() // those of the reverse proxy
}

func TestStartMistakes(t *testing.T) {
	g := parse(t, `
services:
  a: {sidecar: true, endpoints: [{path: /, calls: [{service: b, path: /}]}]}
  b: {endpoints: [{path: /}]}
`)
	for _, test := range []struct {
		opts Options
		want string
	}{
		{Options{Only: []string{"c"}}, `"c" is not a service`},
		{Options{}, "a wants a sidecar"},
		{Options{StartSidecar: func(context.Context, SidecarSpec) (*RunningSidecar, error) { return nil, errors.New("broken") }}, "sidecar of a: broken"},
		{Options{Only: []string{"a"}, StartSidecar: (&proxies{t: t}).start}, "services.b.address"},
	} {
		if _, err := Start(t.Context(), g, test.opts); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	text := fmt.Sprintf("services: {x: {endpoints: [{path: /}]}, a: {listen: %q, endpoints: [{path: /}]}}", taken.Addr())
	if _, err := Start(t.Context(), parse(t, text), Options{}); err == nil || !strings.Contains(err.Error(), "free the address") {
		t.Errorf("%v", err)
	}
}

// proxies are plain HTTP proxies in the place of sidecars.
type proxies struct {
	t *testing.T

	mu   sync.Mutex
	seen []string
}

func (p *proxies) start(_ context.Context, spec SidecarSpec) (*RunningSidecar, error) {
	app, err := url.Parse(spec.App)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{}
	serve := func(name, address string, target func(*http.Request) *url.URL) (*http.Server, string) {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			p.t.Fatal(err)
		}
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p.mu.Lock()
			p.seen = append(p.seen, fmt.Sprintf("%s %s %s", spec.Service, name, r.URL.Path))
			p.mu.Unlock()
			if name == "out" && r.URL.Host == "" {
				p.t.Errorf("%s is no request to a proxy", r.RequestURI)
			}
			proxy := httputil.NewSingleHostReverseProxy(target(r))
			proxy.Transport = transport
			proxy.ServeHTTP(w, r)
		})}
		go func() { _ = s.Serve(ln) }()
		return s, ln.Addr().String()
	}
	in, inbound := serve("in", spec.Inbound, func(*http.Request) *url.URL { return app })
	out, outbound := serve("out", spec.Outbound, func(r *http.Request) *url.URL { return &url.URL{Scheme: "http", Host: r.URL.Host} })
	return &RunningSidecar{Inbound: inbound, Outbound: outbound, Stop: func() error {
		transport.CloseIdleConnections()
		return errors.Join(in.Close(), out.Close())
	}}, nil
}

// With sidecars, calls go out through that of the caller and in through that of
// the service that is called.
func TestSidecars(t *testing.T) {
	p := &proxies{t: t}
	r := run(t, parse(t, `
services:
  a: {sidecar: true, endpoints: [{path: /a, calls: [{service: b, path: /b/1}, {service: c, path: /c}]}]}
  b: {sidecar: true, endpoints: [{path: "/b/**", response: 1MiB}]}
  c: {endpoints: [{path: /c}]}
`), Options{StartSidecar: p.start})
	r.mustGet("a", "/a")
	if got, want := strings.Join(p.seen, ", "), "a out /b/1, b in /b/1, a out /c"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if s := r.Running()[0]; s.Inbound == "" || !strings.Contains(s.String(), " inbound=127.0.0.1:") {
		t.Errorf("%s", s)
	}
}

// With --listen-base, a service is called at the same port whether it has a sidecar or
// not: the sidecar has it then, also for those who call the service from outside and
// from other processes. What the file says about addresses holds.
func TestSidecarsAtListenBase(t *testing.T) {
	base := freePorts(t, 5)
	g := parse(t, `
services:
  a: {endpoints: [{path: /a, calls: [{service: b, path: /b}, {service: d, path: /d}]}]}
  b: {sidecar: {inbound: "127.0.0.1:0"}, endpoints: [{path: /b, calls: [{service: c, path: /c}]}]}
  c: {sidecar: true, endpoints: [{path: /c}]}
  d: {listen: "127.0.0.1:0", endpoints: [{path: /d}]}
  e: {endpoints: [{path: /e}]}
`)
	one, other := &proxies{t: t}, &proxies{t: t}
	with := g.WithSidecars("")
	here := run(t, with, Options{Only: []string{"a", "b", "e"}, ListenBase: base, StartSidecar: one.start})
	run(t, with, Options{Only: []string{"c", "d"}, ListenBase: base, StartSidecar: other.start})
	port := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", base+i) }
	resp, err := here.http.Get("http://" + port(0) + "/a")
	if err != nil {
		t.Fatal(err)
	}
	if _ = resp.Body.Close(); resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
	if got, want := strings.Join(one.seen, ", "), "a in /a, a out /b, b in /b, b out /c, a out /d"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got, want := strings.Join(other.seen, ", "), "c in /c, d in /d"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	var doors []string
	for i, r := range here.Running() {
		if at := port([]int{0, 1, 4}[i]); (r.Inbound == at) == (r.Service == "b") || r.Address == at {
			t.Errorf("%s; the port of its place is %s", r, at)
		}
		doors = append(doors, r.Door)
	}
	if got, want := strings.Join(doors, " "), port(0)+"  "+port(4); got != want {
		t.Errorf("the front doors are %q, want %q", got, want)
	}
	if g.Services["a"].Sidecar != nil {
		t.Error("the graph itself was changed")
	}
}

// freePorts returns the first of n ports in a row that were free a moment ago, and that
// Linux hands out to nobody who asks for any port.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for range 100 {
		base := 10_000 + rand.IntN(20_000)
		var open []net.Listener
		var ln net.Listener
		var err error
		for i := 0; i < n && err == nil; i++ {
			if ln, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", base+i)); err == nil {
				open = append(open, ln)
			}
		}
		for _, ln := range open {
			ln.Close()
		}
		if err == nil {
			return base
		}
	}
	t.Fatal("no free ports in a row")
	return 0
}
