package topology

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"overtake/classifier/strictyaml"
)

// Options say how a graph is run.
type Options struct {
	// Only names the services to run here; none is all of them.
	Only []string
	// ListenBase is the port on 127.0.0.1 at which the first service of the graph is
	// called, the others following in the order of the file, whether they run here or
	// not. Where a service has a sidecar, that is the one that listens there, and the
	// service on a free port behind it. Services with a listen of their own, and
	// sidecars with an inbound, keep it. 0 is any port that is free.
	ListenBase int
	// StartSidecar starts the sidecars that the graph asks for.
	StartSidecar StartSidecar
	// Log is told when a broker goes away or comes back. nil is nobody.
	Log func(line string)
}

// App is a graph that runs, or the part of it that runs here.
type App struct {
	graph     *Graph
	servers   map[string]*server
	order     []string          // of those that run here
	addresses map[string]string // what dials each service
	brokers   map[string]broker
	failed    chan error // has the first error that ends it, see Failed
	consuming context.CancelFunc
	consumers sync.WaitGroup
	watching  sync.WaitGroup // those who wait for the end of sidecars
	log       func(string)
}

// Running is one service that runs.
type Running struct {
	Service string
	Address string // where it listens
	// Inbound and Outbound are the listeners of its sidecar, if it has one.
	Inbound, Outbound string
	// Door is where it is called from outside, HOST:PORT, if it has endpoints and no
	// service of the graph calls it; else empty.
	Door string
}

// Start runs services of g until Shutdown. ctx bounds the start alone. A broker
// that is away is no error: it is tried until it is there.
func Start(ctx context.Context, g *Graph, opts Options) (_ *App, err error) {
	a := &App{graph: g, servers: make(map[string]*server), brokers: make(map[string]broker), failed: make(chan error, 1), log: opts.Log}
	if a.log == nil {
		a.log = func(string) {}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.discard())
		}
	}()
	if err := a.choose(opts.Only); err != nil {
		return nil, err
	}
	if err := a.listen(ctx, opts); err != nil {
		return nil, err
	}
	if err := a.startSidecars(ctx, opts); err != nil {
		return nil, err
	}
	if err := a.locate(opts.ListenBase); err != nil {
		return nil, err
	}
	if err := a.openBrokers(); err != nil {
		return nil, err
	}
	for _, name := range a.order {
		v := a.servers[name]
		proxy := ""
		if v.sidecar != nil {
			proxy = v.sidecar.Outbound
		}
		v.out, v.brokers = newOutgoing(a.addresses, proxy), a.brokers
	}
	for _, name := range a.order {
		v := a.servers[name]
		go v.serve(a.fail)
		if v.sidecar != nil && v.sidecar.Ended != nil {
			a.watching.Go(func() { a.watch(v) })
		}
	}
	a.consume()
	return a, nil
}

// Failed has an error once a service or its sidecar has ended without being asked to:
// the application is not whole any more, and its owner is to call Shutdown.
func (a *App) Failed() <-chan error { return a.failed }

// fail keeps the first error.
func (a *App) fail(err error) {
	select {
	case a.failed <- err:
	default:
	}
}

// watch waits for the end of the sidecar of v, or until v is stopped.
func (a *App) watch(v *server) {
	select {
	case err := <-v.sidecar.Ended:
		a.fail(fmt.Errorf("topology: the sidecar of %s has ended: %w", v.service.name, err))
	case <-v.stop:
	}
}

// choose picks the services that run here.
func (a *App) choose(only []string) error {
	for _, name := range only {
		if a.graph.Services[name] == nil {
			return fmt.Errorf("topology: %q is not a service of %s; %s", name, a.graph.Name, strictyaml.Suggest(name, a.graph.order))
		}
	}
	for _, name := range a.graph.order {
		if len(only) == 0 || slices.Contains(only, name) {
			a.order = append(a.order, name)
		}
	}
	return nil
}

// listenAddress is where a service is to listen.
func (g *Graph) listenAddress(s *Service, base int) string {
	switch {
	case s.Listen != "":
		return s.Listen
	case base > 0 && s.Sidecar == nil:
		return g.numbered(s, base)
	}
	return "127.0.0.1:0"
}

// inboundAddress is where the sidecar of a service is to listen for calls of others;
// "" is any free port of the service's host.
func (g *Graph) inboundAddress(s *Service, base int) string {
	if s.Sidecar.Inbound == "" && base > 0 {
		return g.numbered(s, base)
	}
	return s.Sidecar.Inbound
}

// numbered is the address that a service has by its place in the file.
func (g *Graph) numbered(s *Service, base int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(base+slices.Index(g.order, s.name)))
}

func (a *App) listen(ctx context.Context, opts Options) error {
	for _, name := range a.order {
		s := a.graph.Services[name]
		address := a.graph.listenAddress(s, opts.ListenBase)
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("topology: %s: %w; free the address, or give the service another with listen", name, err)
		}
		a.servers[name] = newServer(s, a.graph.Seed, ln)
	}
	return nil
}

func (a *App) startSidecars(ctx context.Context, opts Options) error {
	for _, name := range a.order {
		v := a.servers[name]
		side := v.service.Sidecar
		if side == nil {
			continue
		}
		if opts.StartSidecar == nil {
			return fmt.Errorf("topology: %s wants a sidecar, and there is nothing to start one with", name)
		}
		host, _, _ := net.SplitHostPort(v.listener.Addr().String())
		spec := SidecarSpec{
			Service: name, App: "http://" + dialable(v.listener.Addr().String()), Config: side.Config,
			Inbound: a.graph.inboundAddress(v.service, opts.ListenBase), Outbound: side.Outbound,
		}
		if spec.Inbound == "" {
			spec.Inbound = net.JoinHostPort(host, "0")
		}
		if spec.Outbound == "" {
			spec.Outbound = "127.0.0.1:0"
		}
		running, err := opts.StartSidecar(ctx, spec)
		if err != nil {
			return fmt.Errorf("topology: sidecar of %s: %w", name, err)
		}
		v.sidecar = running
	}
	return nil
}

// locate finds what dials each service that those here call.
func (a *App) locate(base int) error {
	a.addresses = make(map[string]string)
	for _, name := range a.graph.order {
		s := a.graph.Services[name]
		v := a.servers[name]
		switch {
		case s.Address != "":
			a.addresses[name] = s.Address
		case v != nil && v.sidecar != nil:
			a.addresses[name] = dialable(v.sidecar.Inbound)
		case v != nil:
			a.addresses[name] = dialable(v.listener.Addr().String())
		case s.Sidecar != nil:
			a.addresses[name] = a.graph.inboundAddress(s, base)
		default:
			a.addresses[name] = a.graph.listenAddress(s, base)
		}
	}
	for _, name := range a.order {
		for _, callee := range a.graph.Services[name].callees() {
			host, port, _ := net.SplitHostPort(a.addresses[callee])
			if a.servers[callee] == nil && (port == "0" || port == "" || host == "") {
				return fmt.Errorf("topology: %s calls %s, which does not run here; say where it is: services.%s.address", name, callee, callee)
			}
		}
	}
	return nil
}

// dialable is address with a host: what listens everywhere is dialled on loopback.
func dialable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// callees returns the services that s calls, each once, in the order of the file.
func (s *Service) callees() []string {
	var names []string
	var add func(calls []Call)
	add = func(calls []Call) {
		for i := range calls {
			if name := calls[i].Service; name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
			add(calls[i].Parallel)
		}
	}
	for i := range s.Endpoints {
		add(s.Endpoints[i].Calls)
	}
	for i := range s.Consumes {
		add(s.Consumes[i].Calls)
	}
	return names
}

// Running returns the services that run here, in the order of the file.
func (a *App) Running() []Running {
	inner := make(map[string]bool) // those that are called by others
	for _, name := range a.graph.order {
		for _, callee := range a.graph.Services[name].callees() {
			inner[callee] = true
		}
	}
	var all []Running
	for _, name := range a.order {
		v := a.servers[name]
		r := Running{Service: name, Address: v.listener.Addr().String()}
		if v.sidecar != nil {
			r.Inbound, r.Outbound = v.sidecar.Inbound, v.sidecar.Outbound
		}
		if len(v.service.Endpoints) > 0 && !inner[name] {
			r.Door = a.addresses[name]
		}
		all = append(all, r)
	}
	return all
}

// String is the line that is printed of a service.
func (r Running) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "service=%s address=%s", r.Service, r.Address)
	if r.Inbound != "" {
		fmt.Fprintf(&b, " inbound=%s outbound=%s", r.Inbound, r.Outbound)
	}
	return b.String()
}

// Stats returns the figures of a service that runs here.
func (a *App) Stats(service string) (Stats, bool) {
	v := a.servers[service]
	if v == nil {
		return Stats{}, false
	}
	return v.stats(), true
}

// Shutdown stops consuming, then the services, callers before those whom they
// call, so that every request at hand is answered. When ctx ends first, it abandons
// what is unfinished and returns an error.
func (a *App) Shutdown(ctx context.Context) error {
	a.consuming()
	abandon := context.AfterFunc(ctx, func() {
		for _, v := range a.servers {
			v.abandon()
		}
	})
	a.consumers.Wait()
	var errs []error
	for _, name := range a.drainOrder() {
		errs = append(errs, a.servers[name].shutdown(ctx))
	}
	if !abandon() {
		errs = append(errs, fmt.Errorf("topology: unfinished work was abandoned: %w", context.Cause(ctx)))
	}
	a.watching.Wait()
	return errors.Join(errors.Join(errs...), a.closeBrokers())
}

// drainOrder has callers before those whom they call.
func (a *App) drainOrder() []string {
	var order []string
	seen := make(map[string]bool)
	var visit func(name string)
	visit = func(name string) {
		if seen[name] || a.servers[name] == nil {
			return
		}
		seen[name] = true
		for _, callee := range a.graph.Services[name].callees() {
			visit(callee)
		}
		order = append(order, name)
	}
	for _, name := range a.order {
		visit(name)
	}
	slices.Reverse(order)
	return order
}

// discard ends what a start that failed has begun.
func (a *App) discard() error {
	var errs []error
	for _, v := range a.servers {
		_ = v.listener.Close()
		if v.sidecar != nil {
			errs = append(errs, v.sidecar.Stop())
		}
	}
	return errors.Join(errors.Join(errs...), a.closeBrokers())
}
