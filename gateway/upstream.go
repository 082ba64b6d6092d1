package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/gateway/config"
	"overtake/scheduler"
)

// upstream is one app: servers that share a scheduler.
type upstream struct {
	name      string
	servers   []*server
	scheduler *scheduler.Scheduler
	timeout   time.Duration
}

// unlimited is the number of slots where the limit is off: more than there can
// be connections.
const unlimited = 1 << 20

func newUpstream(name string, cfg config.Upstream, classes []config.Class) (*upstream, error) {
	u := &upstream{name: name, timeout: cfg.Timeout}
	for _, rawURL := range cfg.Servers {
		s, err := newServer(rawURL)
		if err != nil {
			return nil, fmt.Errorf("gateway: upstream %s: %w", name, err)
		}
		u.servers = append(u.servers, s)
	}
	sc := scheduler.Config{Limit: cmp.Or(cfg.Limit.Slots(), unlimited)}
	for _, c := range classes {
		sc.Classes = append(sc.Classes, scheduler.ClassConfig{
			Reserve: c.Reserve.Slots, ReserveShare: scheduler.BasisPoints(c.Reserve.Share),
			Floor: scheduler.BasisPoints(c.Floor), MaxWaiting: c.MaxWaiting,
			MaxWaitingBytes: int64(c.MaxWaitingBytes), MaxWait: c.MaxWait,
		})
	}
	var err error
	if u.scheduler, err = scheduler.New(sc); err != nil {
		return nil, fmt.Errorf("gateway: upstream %s: %w", name, err)
	}
	return u, nil
}

// do sends o to the server with the fewest exchanges under way. Where nothing of
// the request can have been worked on, it goes on to another server: after a
// failed connect, and after a kept connection proved to be closed if the method
// is idempotent (RFC 9110 section 9.2.2) and the request had no body.
func (u *upstream) do(life *lifetime, o *outbound, header *fasthttp.ResponseHeader, idempotent bool) (*answer, error) {
	var tried uint64 // bit per server
	stale := false
	for {
		i := u.pick(tried)
		s := u.servers[i]
		s.running.Add(1)
		a, err := exchange(life, s, o, header)
		if err == nil {
			return a, nil
		}
		s.running.Add(-1)
		var f *failure
		switch {
		case !errors.As(err, &f):
			return nil, err
		case f.reason == reasonConnectFailed:
			tried |= 1 << i
			if len(u.servers) > 64 || tried == 1<<len(u.servers)-1 {
				return nil, err
			}
		case errors.Is(f.err, errStale) && idempotent && o.body == nil && !stale:
			stale = true
		default:
			return nil, err
		}
	}
}

// pick returns the least busy of the servers that have not been tried.
func (u *upstream) pick(tried uint64) int {
	best, least := -1, int64(0)
	for i, s := range u.servers {
		if i < 64 && tried&(1<<i) != 0 {
			continue
		}
		if n := s.running.Load(); best < 0 || n < least {
			best, least = i, n
		}
	}
	return best
}

// closeIdle closes the idle connections that have not been used for age.
func (u *upstream) closeIdle(age time.Duration) {
	for _, s := range u.servers {
		s.closeIdle(age)
	}
}
