package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"overtake/gateway/config"
	"overtake/gateway/console"
	"overtake/gateway/socket"
	"overtake/scheduler"
)

// upstream is one app: servers that share a scheduler.
type upstream struct {
	name       string
	servers    []*server // by the scheduler's index
	scheduler  *scheduler.Scheduler
	timeout    time.Duration // to the start of an answer, whatever is tried
	tryTimeout time.Duration // to that of one try; 0 for no other
	dryRun     bool
	unrouted   bool // see destinations: neither minded nor counted by name
	log        *slog.Logger
	console    *console.Console // nil for nobody who looks
	health     *config.Health   // nil without active checks
	budget     *budget          // nil when nothing that was sent is sent again
	attempts   int              // then: how often it is at most
	retries    retries
	// authorities are those of the servers' certificates, see goesOn.
	authorities []byte

	stop    context.Context // ends the minders
	end     context.CancelFunc
	started sync.Once
	minders sync.WaitGroup // one per server, see mind

	mu     sync.Mutex
	minded []minded // by server; guarded by mu

	reached shared[error] // see reachable
}

// newUpstream returns an upstream that does nothing by itself before start, and nothing
// any more when it is closed or stop ends.
func newUpstream(stop context.Context, log *slog.Logger, name string, cfg *config.Config, sockets *socket.Setter) (*upstream, error) {
	c := cfg.Upstreams[name]
	u := &upstream{
		name: name, timeout: c.Timeout, tryTimeout: c.TryTimeout, dryRun: cfg.DryRun, log: log.With("upstream", name), health: c.Health,
		minded: newMinded(rulesOf(c), len(c.Servers)), authorities: authoritiesIn(c.TLS),
	}
	if r := c.Retry; r != nil {
		u.budget, u.attempts = newBudget(int(r.Budget)), r.Attempts
	}
	secure, err := tlsTo(c.TLS)
	if err != nil {
		return nil, fmt.Errorf("gateway: upstream %s: %w", name, err)
	}
	for _, rawURL := range c.Servers {
		s, err := newServer(rawURL, secure, sockets)
		if err != nil {
			return nil, fmt.Errorf("gateway: upstream %s: %w", name, err)
		}
		u.servers = append(u.servers, s)
	}
	if u.scheduler, err = scheduler.New(schedulerConfig(cfg, c)); err != nil {
		return nil, fmt.Errorf("gateway: upstream %s: %w", name, err)
	}
	u.stop, u.end = context.WithCancel(stop)
	return u, nil
}

// configured is the upstream's name in the configuration; "" for a destination, whose
// name is what a client asked for.
func (u *upstream) configured() string {
	if u.unrouted {
		return ""
	}
	return u.name
}

// start begins to mind the servers, the first time that it is called.
func (u *upstream) start() {
	u.started.Do(func() {
		for i := range u.servers {
			u.minders.Go(func() { u.mind(i) })
		}
	})
}

// close ends what start has begun and closes the connections. Nobody may use it any
// more.
func (u *upstream) close() {
	u.end()
	u.minders.Wait()
	for _, s := range u.servers {
		s.retire()
	}
}

func schedulerConfig(cfg *config.Config, c config.Upstream) scheduler.Config {
	sc := scheduler.Config{Limit: scheduler.Unlimited, Servers: len(c.Servers), DryRun: cfg.DryRun}
	switch l := c.Limit; l.Mode {
	case "fixed":
		sc.Limit = l.Max
	case "adaptive":
		sc.Limit, sc.Adaptive = l.Initial, &scheduler.AdaptiveConfig{Min: l.Min, Max: l.Max}
	}
	for _, c := range cfg.Classes {
		sc.Classes = append(sc.Classes, scheduler.ClassConfig{
			Objective: c.Objective, KeepOrder: c.Overload == "fifo",
			Reserve: c.Reserve.Slots, ReserveShare: scheduler.BasisPoints(c.Reserve.Share), AutoReserve: c.Reserve.Auto,
			Floor: scheduler.BasisPoints(c.Floor), MaxWaiting: c.MaxWaiting,
			MaxWaitingBytes: int64(c.MaxWaitingBytes), MaxWait: c.MaxWait,
		})
	}
	return sc
}

// enforced returns the deadline at which an exchange is broken off: in a dry run,
// never.
func (u *upstream) enforced(deadline time.Time) time.Time {
	if u.dryRun {
		return time.Time{}
	}
	return deadline
}

// closeIdle closes the idle connections that have not been used for age.
func (u *upstream) closeIdle(age time.Duration) {
	for _, s := range u.servers {
		s.closeIdle(age)
	}
}
