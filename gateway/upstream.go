package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/gateway/config"
	"overtake/gateway/socket"
	"overtake/scheduler"
)

// upstream is one app: servers that share a scheduler.
type upstream struct {
	name      string
	servers   []*server // by the scheduler's index
	scheduler *scheduler.Scheduler
	timeout   time.Duration
	dryRun    bool
	unrouted  bool // see destinations: neither counted nor probed
	log       *slog.Logger
	stop      context.Context // ends the probes
	end       context.CancelFunc

	probes sync.WaitGroup // one goroutine per server that is down

	mu   sync.Mutex
	down []bool // by server; guarded by mu
}

// newUpstream returns an upstream that probes down servers until it is closed or
// stop ends.
func newUpstream(stop context.Context, log *slog.Logger, name string, cfg *config.Config, sockets *socket.Setter) (*upstream, error) {
	c := cfg.Upstreams[name]
	u := &upstream{
		name: name, timeout: c.Timeout, dryRun: cfg.DryRun, log: log.With("upstream", name),
		down: make([]bool, len(c.Servers)),
	}
	u.stop, u.end = context.WithCancel(stop)
	for _, rawURL := range c.Servers {
		s, err := newServer(rawURL, sockets)
		if err != nil {
			u.end()
			return nil, fmt.Errorf("gateway: upstream %s: %w", name, err)
		}
		u.servers = append(u.servers, s)
	}
	var err error
	if u.scheduler, err = scheduler.New(schedulerConfig(cfg, c)); err != nil {
		u.end()
		return nil, fmt.Errorf("gateway: upstream %s: %w", name, err)
	}
	return u, nil
}

// close ends the probes and closes the connections. Nobody may use it any more.
func (u *upstream) close() {
	u.end()
	u.probes.Wait()
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

// do sends o to the server of the slot, which must be held. Where nothing of the
// request can have been worked on, it tries again: after a failed connect, with a
// slot of another server, each once at the most; and after a kept connection
// proved to be closed, with the same slot, if the method is idempotent (RFC 9110
// section 9.2.2) and the request had no body.
//
// The slot is held afterwards if there is an answer, and only then.
func (u *upstream) do(life *lifetime, s *slot, o *outbound, header *fasthttp.ResponseHeader, idempotent bool) (*answer, error) {
	var tried []bool // by server
	stale := false
	for {
		on := s.lease.Server
		s.tried(u.servers[on])
		a, err := exchange(life, u.servers[on], o, header)
		if err == nil {
			s.journal.answered(header.StatusCode())
			return a, nil
		}
		s.journal.ended(time.Now(), err)
		var f *failure
		switch {
		case !errors.As(err, &f):
			s.release(scheduler.Unmeasured) // the request has ended
			return nil, err
		case f.reason == reasonConnectFailed:
			u.setDown(on, f.err) // first, so that nobody gets the slot who would fail as well
			s.release(scheduler.Unmeasured)
			if tried == nil {
				tried = make([]bool, len(u.servers))
			}
			tried[on] = true
			if err := u.another(life, s, tried, err); err != nil {
				return nil, err
			}
		case errors.Is(f.err, errStale) && idempotent && o.body == nil && !stale:
			stale = true
		default:
			s.release(outcomeOf(err))
			return nil, err
		}
	}
}

// another acquires a slot of a server that has not been tried. If there is none,
// it returns the error with which the last one failed.
func (u *upstream) another(life *lifetime, s *slot, tried []bool, failed error) error {
	left := len(tried)
	for _, t := range tried {
		if t {
			left--
		}
	}
	if left == 0 {
		return failed
	}
	if err := s.acquire(life); err != nil {
		return err
	}
	if tried[s.lease.Server] {
		s.release(scheduler.Unmeasured)
		return failed
	}
	return nil
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
