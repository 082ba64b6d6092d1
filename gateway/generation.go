package gateway

import (
	"bytes"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"

	"overtake/gateway/config"
	"overtake/tracing"
)

// generation is what the gateway makes of one configuration: all that a reload
// exchanges, at once. A request, and an attempt to deliver a message, uses the one
// that it began with to its end; see "Reloading" in the package comment.
//
// Nothing in it changes but the number of its users, and what belongs to an
// upstream that it shares with the generation before.
type generation struct {
	config *config.Config
	*decider
	targets      []target            // of the routes, by position
	deadlines    []time.Duration     // by class; 0 is none
	propagate    tracing.Formats     // what is stamped beside W3C Trace Context
	settings     []*listenerSettings // of the listeners, by position
	upstreams    map[string]*upstream
	destinations *destinations
	since        time.Time

	// users are the pieces of work that use it, and the gateway while it is the
	// present one. At 0 it has ended, and nobody can enter it any more.
	users atomic.Int64
	ended func()
}

// target is where a route leads to: one of the two.
type target struct {
	upstream *upstream
	queue    *queue
}

// newGeneration makes the generation of a configuration. What can go on as it is
// comes from the one before; nil is none. Nothing of it runs yet, and nothing is
// changed: if it fails, it leaves no trace.
func (g *Gateway) newGeneration(cfg *config.Config, before *generation) (_ *generation, err error) {
	gen := &generation{
		config: cfg, propagate: formats(cfg.Tracing.Propagate),
		upstreams: make(map[string]*upstream, len(cfg.Upstreams)), since: time.Now(),
	}
	gen.users.Store(1)
	gen.ended = func() { g.ended(gen) }
	defer func() {
		if err != nil {
			gen.discard(before)
		}
	}()
	if gen.decider, err = newDecider(cfg, ruleObserver{g.metrics, g.console}); err != nil {
		return nil, err
	}
	for _, c := range cfg.Classes {
		gen.deadlines = append(gen.deadlines, c.Deadline)
	}
	for i := range cfg.Listeners {
		settings, err := g.settingsFor(i, cfg, before)
		if err != nil {
			return nil, err
		}
		gen.settings = append(gen.settings, settings)
	}
	for name := range cfg.Upstreams {
		if gen.upstreams[name], err = g.upstreamFor(name, cfg, before); err != nil {
			return nil, err
		}
	}
	if gen.destinations, err = g.destinationsFor(cfg, before); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	for i, r := range cfg.Routes {
		to := target{gen.upstreams[r.Upstream], g.queues[r.Queue]}
		if (to.upstream == nil) == (to.queue == nil) {
			return nil, fmt.Errorf("gateway: routes[%d]: leads to neither a known upstream nor a known queue", i)
		}
		gen.targets = append(gen.targets, to)
	}
	return gen, nil
}

// upstreamFor returns the upstream of that name from the generation before, if it
// may go on under cfg, or a new one.
func (g *Gateway) upstreamFor(name string, cfg *config.Config, before *generation) (*upstream, error) {
	if before != nil {
		if u, ok := before.upstreams[name]; ok && u.goesOn(before.config, cfg) {
			sc := schedulerConfig(cfg, cfg.Upstreams[name])
			return u, sc.Validate()
		}
	}
	u, err := newUpstream(g.cutOff, g.log, name, cfg, g.sockets)
	if err == nil {
		u.console = g.console
	}
	return u, err
}

// settingsFor is upstreamFor for a listener's settings.
func (g *Gateway) settingsFor(number int, cfg *config.Config, before *generation) (*listenerSettings, error) {
	if before != nil && reflect.DeepEqual(before.config.Listeners[number], cfg.Listeners[number]) {
		return before.settings[number], nil
	}
	return g.listenerSettings(cfg.Listeners[number])
}

// goesOn reports whether an upstream is the same in two configurations, of which it
// is in the first, but for what its scheduler can change while work waits.
func (u *upstream) goesOn(before, after *config.Config) bool {
	was, is := before.Upstreams[u.name], after.Upstreams[u.name]
	is.Limit = was.Limit
	return before.DryRun == after.DryRun && reflect.DeepEqual(was, is) && bytes.Equal(u.authorities, authoritiesIn(is.TLS))
}

// authoritiesIn returns what the file of authorities says now, if one is named: an
// upstream goes by what it said when the upstream was made.
func authoritiesIn(c *config.UpstreamTLS) (pem []byte) {
	if c != nil && c.CA != "" {
		pem, _ = config.ReadFile(c.CA) // who makes an upstream of it says what is wrong
	}
	return pem
}

// destinationsFor is upstreamFor for what no route names.
func (g *Gateway) destinationsFor(cfg *config.Config, before *generation) (*destinations, error) {
	if before != nil && before.config.DryRun == cfg.DryRun {
		return before.destinations, nil
	}
	return newDestinations(cfg, g.sockets, g.refuseOwn)
}

// discard closes what was made for a generation that will not be.
func (gen *generation) discard(before *generation) {
	for name, u := range gen.upstreams {
		if u != nil && (before == nil || before.upstreams[name] != u) {
			u.close()
		}
	}
}

// enter returns the present generation, for work that begins now. It is there until
// the work leaves it.
func (g *Gateway) enter() *generation {
	for {
		gen := g.present.Load()
		for n := gen.users.Load(); n > 0; n = gen.users.Load() {
			if gen.users.CompareAndSwap(n, n+1) {
				return gen
			}
		}
		// It has ended this moment, so that there is another.
	}
}

// leave is called once for each enter. What has left uses the generation no more.
func (gen *generation) leave() {
	if gen.users.Add(-1) == 0 {
		gen.ended()
	}
}

// install makes gen the present generation, and starts what is new of it. The one
// before goes on until its last user has left it.
func (g *Gateway) install(gen *generation) {
	g.mu.Lock()
	before := g.present.Swap(gen)
	g.generations[gen] = struct{}{}
	g.failed = nil
	g.mu.Unlock()
	for i, l := range g.listeners {
		l.settings.Store(gen.settings[i])
	}
	g.metrics.configured(gen.since)
	if before == nil {
		return // Start starts the first one's upstreams
	}
	gen.adjust(before)
	for _, u := range gen.upstreams {
		u.start()
	}
	before.leave()
}

// adjust has what goes on from the generation before work by this one's
// configuration.
func (gen *generation) adjust(before *generation) {
	for name, u := range gen.upstreams {
		if before.upstreams[name] == u {
			u.scheduler.Reconfigure(schedulerConfig(gen.config, gen.config.Upstreams[name]))
		}
	}
	if gen.destinations == before.destinations {
		gen.destinations.scheduler.Reconfigure(unlimited(gen.config))
	}
}

// ended closes what nobody but gen was using.
func (g *Gateway) ended(gen *generation) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.generations, gen)
	for _, u := range gen.upstreams {
		if !g.anyGeneration(func(other *generation) bool { return other.upstreams[u.name] == u }) {
			g.housework.Go(u.close)
		}
	}
	if !g.anyGeneration(func(other *generation) bool { return other.destinations == gen.destinations }) {
		gen.destinations.close()
	}
	present := g.present.Load().config
	g.metrics.forget(gen.config, present)
	g.console.Keep(rulesOfConsole(present), upstreamsOfConsole(present))
}

// anyGeneration reports whether f holds for one that has not ended. Called with mu
// held.
func (g *Gateway) anyGeneration(f func(*generation) bool) bool {
	for gen := range g.generations {
		if f(gen) {
			return true
		}
	}
	return false
}

// inUse returns the upstreams of all generations that have not ended.
func (g *Gateway) inUse() map[*upstream]struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make(map[*upstream]struct{})
	for gen := range g.generations {
		for _, u := range gen.upstreams {
			all[u] = struct{}{}
		}
	}
	return all
}
