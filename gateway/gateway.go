package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/time/rate"

	"overtake/classifier"
	"overtake/gateway/config"
	"overtake/gateway/socket"
	"overtake/gateway/socket/qdisc"
	"overtake/tracing"
)

// Options are what a gateway is made of.
type Options struct {
	Config *config.Config
	// Queues are the queues of the configuration, opened, by name.
	Queues map[string]Queue
	// Sockets tells the kernel of which class connections are. Default: nobody does.
	Sockets *socket.Setter
	// Kernel tells for /debug/queues what network devices do with the packets of each
	// class; the error is about those that are not known. Default: nobody does.
	Kernel func(context.Context) ([]qdisc.Report, error)
	// Tracer takes the spans. Default: none are made.
	Tracer *tracing.Tracer
	// Logger gets what happens. Default: slog.Default.
	Logger *slog.Logger
}

// Gateway is the ingress in front of an app.
type Gateway struct {
	config *config.Config
	log    *slog.Logger
	tracer *tracing.Tracer // nil when nothing is recorded
	// keeping bounds, by class, what is recorded without being sampled.
	keeping []*rate.Limiter
	*decider
	targets    []target        // of the routes, by position
	deadlines  []time.Duration // by class; 0 is none
	flowHeader string
	exposure   string
	propagate  tracing.Formats // what is stamped beside W3C Trace Context
	sockets    *socket.Setter
	kernel     func(context.Context) ([]qdisc.Report, error) // may be nil
	upstreams  map[string]*upstream
	queues     map[string]*queue
	books      []*jobBook // the stores for jobs, each once
	metrics    *metrics
	leavers    *leavers
	admin      *admin
	listeners  []*listener

	// What outbound listeners need; provenance is nil without any.
	provenance   *tracing.Provenance
	destinations *destinations
	tunnels      *tunnels
	loops        rate.Sometimes // how often they are logged

	draining atomic.Bool

	serving       context.Context // ends when the gateway begins to drain
	stopCouriers  context.CancelFunc
	lanes         []*courier      // one per lane that is delivered; immutable after Start
	cutOff        context.Context // ends what outlasts the drain
	cut           context.CancelFunc
	couriers      sync.WaitGroup
	streams       sync.WaitGroup // answers that outlive their handler, see untilClose
	stopHousework chan struct{}
	housework     sync.WaitGroup
}

// New returns a gateway that does nothing yet.
func New(o Options) (*Gateway, error) {
	cfg := o.Config
	g := &Gateway{
		config: cfg, log: o.Logger, tracer: o.Tracer, sockets: o.Sockets, kernel: o.Kernel, flowHeader: cfg.Flow.Header, exposure: cfg.Expose,
		propagate: formats(cfg.Tracing.Propagate),
		upstreams: make(map[string]*upstream), queues: make(map[string]*queue),
		leavers: newLeavers(), tunnels: newTunnels(), loops: rate.Sometimes{First: 1, Interval: time.Minute}, stopHousework: make(chan struct{}),
	}
	if g.log == nil {
		g.log = slog.Default()
	}
	g.cutOff, g.cut = context.WithCancel(context.Background())
	g.serving, g.stopCouriers = context.WithCancel(context.Background())
	var err error
	g.metrics = newMetrics(g)
	if g.decider, err = newDecider(cfg, g.metrics); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(cfg.Listeners, func(l config.Listener) bool { return l.Role == config.Outbound }) {
		g.provenance = tracing.NewProvenance(cfg.Provenance.Max, cfg.Provenance.Keep)
	}
	if g.destinations, err = newDestinations(cfg, g.sockets, g.refuseOwn); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	for _, c := range cfg.Classes {
		g.deadlines = append(g.deadlines, c.Deadline)
		g.keeping = append(g.keeping, rate.NewLimiter(keptPerSecond, keptPerSecond))
	}
	for name := range cfg.Upstreams {
		if g.upstreams[name], err = newUpstream(g.cutOff, g.log, name, cfg, g.sockets); err != nil {
			return nil, err
		}
	}
	for name, c := range cfg.Queues {
		q, ok := o.Queues[name]
		if !ok {
			return nil, fmt.Errorf("gateway: queue %s has not been opened", name)
		}
		g.queues[name] = newQueue(name, cfg.Brokers[c.Broker].Type, c, q, g.upstreams)
		g.queues[name].book = g.bookOf(q)
	}
	for i, r := range cfg.Routes {
		to := target{g.upstreams[r.Upstream], g.queues[r.Queue]}
		if (to.upstream == nil) == (to.queue == nil) {
			return nil, fmt.Errorf("gateway: routes[%d]: leads to neither a known upstream nor a known queue", i)
		}
		g.targets = append(g.targets, to)
	}
	return g, nil
}

// bookOf returns the queue's store for jobs, which may be another queue's as well;
// nil if it has none.
func (g *Gateway) bookOf(q Queue) *jobBook {
	if q.Records == nil {
		return nil
	}
	for _, b := range g.books {
		if b.records == q.Records {
			return b
		}
	}
	g.books = append(g.books, &jobBook{records: q.Records, answers: q.Answers})
	return g.books[len(g.books)-1]
}

// target is where a route leads to: one of the two.
type target struct {
	upstream *upstream
	queue    *queue
}

// Start opens all listeners and begins to serve. When it fails, nothing is left
// running.
func (g *Gateway) Start() (err error) {
	defer func() {
		if err != nil {
			for _, l := range g.listeners {
				l.inner.Close()
			}
		}
	}()
	for _, c := range g.config.Listeners {
		l, err := g.listen(c)
		if err != nil {
			return err
		}
		g.listeners = append(g.listeners, l)
	}
	if g.admin, err = g.listenAdmin(g.config.Admin); err != nil {
		return err
	}
	for i, l := range g.listeners {
		tlsConfig, err := tlsConfigOf(g.config.Listeners[i].TLS)
		if err != nil {
			g.admin.close()
			return err
		}
		go l.serve(g, tlsConfig, g.log)
		g.log.Info("listening", "listener", l.name, "address", l.inner.Addr().String())
	}
	if g.config.DryRun {
		g.log.Warn("dry run: everything is sent on at once; what would wait or be refused is only counted")
	}
	g.startCouriers()
	g.admin.serve(g.log)
	g.housework.Go(func() { g.leavers.run(g.stopHousework) })
	g.housework.Go(g.keepHouse)
	return nil
}

// Addr returns the address that the named listener is bound to.
func (g *Gateway) Addr(listener string) net.Addr {
	for _, l := range g.listeners {
		if l.name == listener {
			return l.inner.Addr()
		}
	}
	return nil
}

// AdminAddr returns the address of the admin listener; nil when it is off.
func (g *Gateway) AdminAddr() net.Addr { return g.admin.addr() }

// Shutdown drains: it stops accepting, lets what waits and runs finish, and
// returns when nothing is left, or ctx has ended and the rest was cut off. The
// admin listener goes last.
func (g *Gateway) Shutdown(ctx context.Context) error {
	g.draining.Store(true)
	g.stopCouriers()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		var all sync.WaitGroup
		for _, l := range g.listeners {
			all.Go(l.shutdown)
		}
		all.Wait()
		g.streams.Wait()
		g.couriers.Wait()
	}()
	var errs []error
	select {
	case <-drained:
	case <-ctx.Done():
		errs = append(errs, fmt.Errorf("gateway: what had not ended was cut off: %w", context.Cause(ctx)))
		g.cutOffAll(drained)
	}
	g.cut()
	close(g.stopHousework)
	g.housework.Wait()
	for _, u := range g.upstreams {
		u.probes.Wait() // nobody is left who could start one
		u.closeIdle(0)
	}
	g.destinations.closeIdle(0)
	errs = append(errs, g.admin.shutdown(ctx))
	return errors.Join(errs...)
}

// cutOffAll sheds what waits and ends what runs. Clients get a moment to read
// why, then their connections are closed.
func (g *Gateway) cutOffAll(drained <-chan struct{}) {
	const moment = 2 * time.Second
	for _, u := range g.upstreams {
		u.scheduler.Drain()
	}
	g.cut()
	g.leavers.endAll(errCutOff)
	timer := time.NewTimer(moment)
	defer timer.Stop()
	select {
	case <-drained:
	case <-timer.C:
		g.leavers.closeAll()
		<-drained
	}
}

// errCutOff ends the requests that outlast the drain.
var errCutOff = errors.New("gateway: shutting down")

// startCouriers starts a courier per lane of every queue that is delivered.
func (g *Gateway) startCouriers() {
	for _, name := range slices.Sorted(maps.Keys(g.queues)) {
		q := g.queues[name]
		if q.upstream == nil || q.Consumer == nil {
			continue
		}
		for i, class := range g.classes.Names() {
			c := &courier{
				g: g, q: q, class: classifier.Class(i), name: class,
				log: g.log.With("queue", q.name, "class", class), freed: make(chan struct{}, 1),
			}
			g.lanes = append(g.lanes, c)
			g.couriers.Go(func() { c.run(g.serving) })
		}
	}
}

// keepHouse closes idle upstream connections in time.
func (g *Gateway) keepHouse() {
	ticker := time.NewTicker(maxIdleTime / 2)
	defer ticker.Stop()
	for {
		select {
		case <-g.stopHousework:
			return
		case <-ticker.C:
			for _, u := range g.upstreams {
				u.closeIdle(maxIdleTime)
			}
			g.destinations.closeIdle(maxIdleTime)
			if g.provenance != nil {
				g.provenance.Stats(time.Now()) // forgets
			}
		}
	}
}

// badRequest answers what fasthttp could not parse.
func (g *Gateway) badRequest(ctx *fasthttp.RequestCtx, err error) {
	f := &failure{reason: reasonBadRequest, err: errors.New("the request can't be parsed as HTTP/1.1")}
	var small *fasthttp.ErrSmallBuffer
	var timeout net.Error
	switch {
	case errors.As(err, &small):
		f.status, f.err = fasthttp.StatusRequestHeaderFieldsTooLarge, fmt.Errorf("the header is larger than %d bytes", headerBytes)
	case errors.As(err, &timeout) && timeout.Timeout():
		f.status, f.err = fasthttp.StatusRequestTimeout, errors.New("the header did not come in time")
	}
	refuse(ctx, f, "", g.defaultClass)
	client := clientOf(ctx.Conn())
	client.mark(g.sockets, g.defaultClass)
	client.linger.Store(true) // the rest of the header may still be on its way
	g.metrics.finished(client.listener.name, "", f.code(), 0)
	g.log.Debug("refused", "reason", f.reason, "client", ctx.RemoteAddr().String(), "error", err)
}
