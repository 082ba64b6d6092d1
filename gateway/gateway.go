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

	"golang.org/x/time/rate"

	"overtake/classifier"
	"overtake/gateway/config"
	"overtake/gateway/console"
	"overtake/gateway/socket"
	"overtake/gateway/socket/qdisc"
	"overtake/tracing"
)

// Options are what a gateway is made of.
type Options struct {
	Config *config.Config
	// Read reads the configuration again, for a reload.
	Read func() (*config.Config, error)
	// Files are what Read reads: when one changes, the gateway reloads. Default: it
	// does so by [Gateway.Reload] alone.
	Files []string
	// Queues are the queues of the configuration, opened, by name.
	Queues map[string]Queue
	// Sockets tells the kernel of which class connections are. Default: nobody does.
	Sockets *socket.Setter
	// Kernel tells for /debug/queues what network devices do with the packets of each
	// class on the way to what is configured; the error is about those that are not
	// known. Default: nobody does.
	Kernel func(context.Context, *config.Config) ([]qdisc.Report, error)
	// Tracer takes the spans. Default: none are made.
	Tracer *tracing.Tracer
	// Version is what the program calls itself, for overtake_build_info and the console.
	Version string
	// Logger gets what happens. Default: slog.Default.
	Logger *slog.Logger
	// Level is the level of Logger, for the admin listener to change. Default: it
	// can't be changed.
	Level *slog.LevelVar
}

// Gateway is the ingress in front of an app. What is in here stays until the end;
// what a reload exchanges is in the generation.
type Gateway struct {
	log    *slog.Logger
	level  *slog.LevelVar  // of log; may be nil
	tracer *tracing.Tracer // nil when nothing is recorded
	// keeping bounds, by class, what is recorded without being sampled.
	keeping   []*rate.Limiter
	sockets   *socket.Setter
	kernel    func(context.Context, *config.Config) ([]qdisc.Report, error) // may be nil
	queues    map[string]*queue
	books     []*jobBook // the stores for jobs, each once
	metrics   *metrics
	console   *console.Console // nil without an admin listener
	asked     asked            // for the console
	started   time.Time
	version   string
	leavers   *leavers
	admin     *admin
	access    *accessLog // nil without one
	listeners []*listener

	// What outbound listeners need; provenance is nil without any.
	provenance *tracing.Provenance
	tunnels    *tunnels
	loops      rate.Sometimes // how often they are logged

	draining atomic.Bool

	serving       context.Context // ends when the gateway begins to drain
	stopCouriers  context.CancelFunc
	lanes         []*courier      // one per lane that is delivered; immutable after Start
	cutOff        context.Context // ends what outlasts the drain
	cut           context.CancelFunc
	patient       context.Context // ends with it, or when a drain has waited long enough for stores of jobs
	losePatience  context.CancelFunc
	couriers      sync.WaitGroup
	streams       sync.WaitGroup // answers that outlive their handler, see untilClose
	stopHousework chan struct{}
	housework     sync.WaitGroup

	read  func() (*config.Config, error)
	files []string // what it reads
	// watcher is nil where files are not watched.
	watcher atomic.Pointer[watcher]

	reloading sync.Mutex                 // held during a reload, and before mu
	present   atomic.Pointer[generation] // see enter; changed with mu held

	mu sync.Mutex
	// generations are those that have not ended; guarded by mu.
	generations map[*generation]struct{}
	failed      *failedReload // the last reload, if it was one; guarded by mu
}

// New returns a gateway that does nothing yet.
func New(o Options) (*Gateway, error) {
	cfg := o.Config
	g := &Gateway{
		log: o.Logger, level: o.Level, tracer: o.Tracer, sockets: o.Sockets, kernel: o.Kernel, read: o.Read, files: o.Files,
		queues: make(map[string]*queue), generations: make(map[*generation]struct{}),
		started: time.Now(), version: o.Version,
		leavers: newLeavers(), tunnels: newTunnels(), loops: rate.Sometimes{First: 1, Interval: time.Minute}, stopHousework: make(chan struct{}),
	}
	if g.log == nil {
		g.log = slog.Default()
	}
	g.cutOff, g.cut = context.WithCancel(context.Background())
	g.patient, g.losePatience = context.WithCancel(g.cutOff)
	g.serving, g.stopCouriers = context.WithCancel(context.Background())
	if slices.ContainsFunc(cfg.Listeners, func(l config.Listener) bool { return l.Role == config.Outbound }) {
		g.provenance = tracing.NewProvenance(cfg.Provenance.Max, cfg.Provenance.Keep)
	}
	for range cfg.Classes {
		g.keeping = append(g.keeping, rate.NewLimiter(keptPerSecond, keptPerSecond))
	}
	for name, c := range cfg.Queues {
		q, ok := o.Queues[name]
		if !ok {
			return nil, fmt.Errorf("gateway: queue %s has not been opened", name)
		}
		g.queues[name] = newQueue(name, cfg.Brokers[c.Broker].Type, c, q)
		g.queues[name].book = g.bookOf(q)
	}
	g.metrics = newMetrics(g, o.Version)
	g.metrics.begin(cfg)
	g.newConsole(cfg)
	first, err := g.newGeneration(cfg, nil)
	if err != nil {
		return nil, err
	}
	g.install(first)
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

// Start opens all listeners and begins to serve. When it fails, nothing is left
// running.
func (g *Gateway) Start() (err error) {
	defer func() {
		if err != nil {
			for _, l := range g.listeners {
				l.inner.Close()
			}
			g.access.close(g.log)
		}
	}()
	first := g.present.Load()
	cfg := first.config
	if g.access, err = openAccessLog(cfg.AccessLog, g.log); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	for i := range cfg.Listeners {
		l, err := g.listen(first, i)
		if err != nil {
			return err
		}
		g.listeners = append(g.listeners, l)
	}
	if g.admin, err = g.listenAdmin(cfg.Admin); err != nil {
		return err
	}
	for _, l := range g.listeners {
		go l.serve(g)
		g.log.Info("listening", "listener", l.name, "address", l.inner.Addr().String())
	}
	if cfg.DryRun {
		g.log.Warn("dry run: everything is sent on at once; what would wait or be refused is only counted")
	}
	for _, u := range g.present.Load().upstreams {
		u.start()
	}
	g.startCouriers()
	g.admin.serve(g.log)
	g.housework.Go(func() { g.leavers.run(g.stopHousework) })
	g.housework.Go(g.keepHouse)
	g.housework.Go(func() { g.console.Run(g.stopHousework) })
	g.watchFiles()
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

// Config returns the configuration in effect.
func (g *Gateway) Config() *config.Config { return g.present.Load().config }

// Shutdown drains: it stops accepting, lets what waits and runs finish, and
// returns when nothing is left, or ctx has ended and the rest was cut off. The
// admin listener goes last.
func (g *Gateway) Shutdown(ctx context.Context) error {
	g.draining.Store(true)
	awhile(func() { // a reload under way ends first, and none begins any more
		g.reloading.Lock()
		defer g.reloading.Unlock()
	})
	g.stopCouriers()
	defer time.AfterFunc(settleWithin, g.losePatience).Stop()
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
	var err error
	select {
	case <-drained:
	case <-ctx.Done():
		err = fmt.Errorf("gateway: what had not ended was cut off: %w", context.Cause(ctx))
		g.cutOffAll(drained)
	}
	g.cut()
	close(g.stopHousework)
	g.present.Load().leave() // the last one to do so
	awhile(g.housework.Wait)
	g.access.close(g.log)
	awhile(g.console.Close) // its streams would keep the admin listener
	g.admin.shutdown(g.log)
	return err
}

// awhile waits for what may read files, which takes for ever where a network file
// system hangs: after a moment, it is left to itself.
func awhile(wait func()) {
	const moment = 2 * time.Second
	done := make(chan struct{})
	go func() { defer close(done); wait() }()
	timer := time.NewTimer(moment)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// cutOffAll sheds what waits and ends what runs. Clients get a moment to read
// why, then their connections are closed.
func (g *Gateway) cutOffAll(drained <-chan struct{}) {
	const moment = 2 * time.Second
	for u := range g.inUse() {
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
	classes := g.present.Load().classes.Names()
	for _, name := range slices.Sorted(maps.Keys(g.queues)) {
		q := g.queues[name]
		if q.deliverTo == "" || q.Consumer == nil {
			continue
		}
		for i, class := range classes {
			c := &courier{
				g: g, q: q, class: classifier.Class(i), name: class,
				log: g.log.With("queue", q.name, "class", class), freed: make(chan struct{}, 1),
				complaints: rate.Sometimes{Interval: time.Second},
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
			for u := range g.inUse() {
				u.closeIdle(maxIdleTime)
			}
			g.present.Load().destinations.closeIdle(maxIdleTime)
			if g.provenance != nil {
				g.provenance.Stats(time.Now()) // forgets
			}
		}
	}
}
