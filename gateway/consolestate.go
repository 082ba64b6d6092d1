package gateway

import (
	"context"
	"maps"
	"slices"

	"overtake/broker"
	"overtake/classifier"
	"overtake/gateway/config"
	"overtake/gateway/console"
)

// asked is what the console knows of others; see [console.Asked].
type asked struct {
	problems *console.Asked[[]string]
	lanes    map[string]*console.Asked[[]broker.Lane] // by queue
}

// newConsole makes the console, unless nobody can look at it. Its classes are those of
// any configuration to come.
func (g *Gateway) newConsole(cfg *config.Config) {
	if cfg.Admin == adminOff {
		return
	}
	o := console.Options{
		Pseudo: []string{classifier.RuleDefault, classifier.RuleTrusted, classifier.RuleProvenance},
		Live:   g.consoleState, Limits: g.limitsForConsole, Trace: g.traceOf,
	}
	for _, c := range cfg.Classes {
		o.Classes = append(o.Classes, console.Class{Name: c.Name, ObjectiveMillis: millis(c.Objective)})
	}
	g.console = console.New(o)
	g.asked.problems = console.NewAsked(g.console, func(context.Context) ([]string, error) { return g.problems(), nil })
	g.asked.lanes = make(map[string]*console.Asked[[]broker.Lane], len(cfg.Queues))
	for name := range cfg.Queues {
		g.asked.lanes[name] = console.NewAsked(g.console, func(context.Context) ([]broker.Lane, error) {
			v := g.viewOf(g.queues[name])
			return v.lanes, v.err
		})
	}
}

// consoleState is what the console shows of the present.
func (g *Gateway) consoleState() console.State {
	g.mu.Lock()
	gen, failed := g.present.Load(), g.failed
	g.mu.Unlock()
	s := console.State{
		Version: g.version, Started: g.started.UnixMilli(), Draining: g.draining.Load(), DryRun: gen.config.DryRun,
		Config: console.ConfigState{Since: gen.since.UnixMilli()}, Listeners: []console.Listener{},
		Upstreams: []console.Upstream{}, Queues: []console.Queue{}, Rules: rulesForConsole(gen),
	}
	problems, err := g.asked.problems.Latest()
	switch {
	case s.Draining:
		problems = []string{"draining"}
	case err != nil:
		problems = []string{"whether everything can be reached is not known: " + err.Error()}
	}
	s.Ready, s.Problems = len(problems) == 0, append([]string{}, problems...)
	slices.Sort(s.Problems)
	if failed != nil {
		s.Config.Failed = &console.ConfigFailed{At: failed.at.UnixMilli(), Error: failed.err.Error()}
	}
	for _, l := range g.listeners {
		s.Listeners = append(s.Listeners, console.Listener{Name: l.name, Role: l.role, Address: l.inner.Addr().String()})
	}
	for _, name := range slices.Sorted(maps.Keys(gen.upstreams)) {
		s.Upstreams = append(s.Upstreams, gen.upstreams[name].forConsole(gen.classes.Names()))
	}
	for _, name := range slices.Sorted(maps.Keys(g.queues)) {
		s.Queues = append(s.Queues, g.queueForConsole(g.queues[name], gen.config))
	}
	return s
}

func (u *upstream) forConsole(classes []string) console.Upstream {
	state := u.state(classes)
	shown := console.Upstream{Name: u.name, Limit: state.Limit, InFlight: state.InFlight, DryRun: state.DryRun}
	for _, s := range state.Servers {
		shown.Servers = append(shown.Servers, console.Server{
			URL: s.URL, State: s.State, StateMillis: s.StateMillis, Limit: s.Limit, InFlight: s.InFlight, Probing: s.Probing, Error: s.Error,
		})
	}
	for _, class := range classes {
		c := state.Classes[class]
		maps.DeleteFunc(c.Shed, func(_ string, n uint64) bool { return n == 0 })
		shown.Waiting += c.Waiting
		shown.Classes = append(shown.Classes, console.Lane{
			Class: class, Waiting: c.Waiting, InFlight: c.InFlight, Reserve: c.Reserve, OldestMillis: c.OldestMillis,
			Overtakes: c.Overtakes, Dispatched: c.Dispatched, Order: c.Order, Shed: c.Shed,
		})
	}
	return shown
}

func (g *Gateway) queueForConsole(q *queue, cfg *config.Config) console.Queue {
	shown := console.Queue{Name: q.name, Broker: cfg.Queues[q.name].Broker, Lanes: []console.QueueLane{}}
	lanes, err := g.asked.lanes[q.name].Latest()
	if err != nil {
		shown.Error = err.Error()
	}
	inHand, all := g.inHandOf(q), 0
	for _, n := range inHand {
		all += n
	}
	inHand[broker.AllClasses] = all
	for _, l := range lanes {
		shown.Lanes = append(shown.Lanes, console.QueueLane{Class: l.Class, Waiting: l.Waiting, Paused: l.Paused, InHand: inHand[l.Class]})
	}
	return shown
}

// ruleObserver counts what rules do that are in dry run, or whose expressions fail.
type ruleObserver struct {
	*metrics
	console *console.Console
}

// DryRun implements classifier.Observer.
func (o ruleObserver) DryRun(rule, class string) {
	o.metrics.DryRun(rule, class)
	o.console.DryHit(rule)
}
