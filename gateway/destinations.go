package gateway

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/gateway/config"
	"overtake/gateway/socket"
	"overtake/scheduler"
)

// destinations are where the app's calls go that no route names: an upstream per
// address, made when it is first asked for. Nothing waits in front of them.
type destinations struct {
	scheduler *scheduler.Scheduler // without limit, shared by all
	dryRun    bool
	sockets   *socket.Setter
	refuse    func(net.Conn) error // see server

	mu   sync.Mutex
	open map[string]*destination // by host:port
}

type destination struct {
	upstream *upstream
	lastUsed time.Time // guarded by destinations.mu
}

const (
	// maxDestinations bounds how many there are at a time.
	maxDestinations = 1024
	// destinationTimeout is the default of configured upstreams.
	destinationTimeout = 30 * time.Second
)

func newDestinations(cfg *config.Config, sockets *socket.Setter, refuse func(net.Conn) error) (*destinations, error) {
	s, err := scheduler.New(unlimited(cfg))
	if err != nil {
		return nil, err
	}
	return &destinations{scheduler: s, dryRun: cfg.DryRun, sockets: sockets, refuse: refuse, open: make(map[string]*destination)}, nil
}

// unlimited is the configuration of the scheduler that all of them share.
func unlimited(cfg *config.Config) scheduler.Config {
	return schedulerConfig(cfg, config.Upstream{Servers: make([]string, 1), Limit: config.Limit{Mode: "off"}})
}

// to returns the upstream for an address. When there are too many, the one that
// was used the longest ago makes room; what is on its way to it goes on.
func (d *destinations) to(address string) *upstream {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.open[address]; ok {
		known.lastUsed = now
		return known.upstream
	}
	if len(d.open) >= maxDestinations {
		oldest, since := "", now
		for address, known := range d.open {
			if !known.lastUsed.After(since) {
				oldest, since = address, known.lastUsed
			}
		}
		d.drop(oldest)
	}
	u := &upstream{
		name: address, servers: []*server{{name: address, network: "tcp", address: address, sockets: d.sockets, refuse: d.refuse}},
		scheduler: d.scheduler, timeout: destinationTimeout, dryRun: d.dryRun, unrouted: true,
	}
	d.open[address] = &destination{u, now}
	return u
}

// closeIdle forgets what has not been used for age, and closes the other's idle
// connections.
func (d *destinations) closeIdle(age time.Duration) {
	before := time.Now().Add(-age)
	d.mu.Lock()
	defer d.mu.Unlock()
	for address, known := range d.open {
		if known.lastUsed.After(before) {
			known.upstream.closeIdle(age)
		} else {
			d.drop(address)
		}
	}
}

// close closes all connections: those in use when they become idle.
func (d *destinations) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for address := range d.open {
		d.drop(address)
	}
}

// drop forgets a destination. Called with mu held.
func (d *destinations) drop(address string) {
	d.open[address].upstream.servers[0].retire()
	delete(d.open, address)
}

// ofDestination says of a call that failed that it was not the app who did, and why
// its destination could not be reached. The app gets to know no more than if it had
// called by itself: addresses that a name stands for are in err alone, for the log.
func ofDestination(err error) error {
	var f *failure
	if !errors.As(err, &f) || f.detail != "" {
		return err
	}
	told := *f
	switch f.reason {
	case reasonConnectFailed:
		told.detail = "The destination of the call could not be reached: " + whyUnreached(f.err)
	case reasonUpstreamFailed:
		told.detail = "The destination of the call closed the connection or answered something that is not HTTP."
	case reasonUpstreamTimeout:
		told.detail = "The destination of the call did not answer in time."
	}
	return &told
}

// whyUnreached says in general words why no connection could be made.
func whyUnreached(err error) string {
	var name *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return "its name is not known."
	case errors.As(err, &name):
		return "its name could not be looked up."
	case errors.Is(err, syscall.ECONNREFUSED):
		return "it refused the connection."
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no network leads there."
	case errors.As(err, &timeout) && timeout.Timeout():
		return "it did not answer."
	}
	return "no connection could be made."
}

// errLoop is a call that would come back to the sidecar it left by.
var errLoop = errors.New("the call leads back to an outbound listener of this process")

// refuseOwn refuses a connection that leads to an outbound listener of this
// process.
func (g *Gateway) refuseOwn(c net.Conn) error {
	remote, local := addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())
	for _, l := range g.listeners {
		at := addrPort(l.inner.Addr())
		ours := at == remote || at.Addr().IsUnspecified() && (remote.Addr().IsLoopback() || remote.Addr() == local.Addr())
		if l.role == config.Outbound && at.Port() == remote.Port() && ours {
			g.loops.Do(func() { g.log.Warn("a call to an outbound listener itself, which is refused", "listener", l.name) })
			return &failure{reason: reasonBadRequest, status: fasthttp.StatusLoopDetected, err: errLoop}
		}
	}
	return nil
}

// addrPort returns a TCP address, an IPv4 one always as such; the zero AddrPort
// for what is none.
func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		ap := tcp.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
