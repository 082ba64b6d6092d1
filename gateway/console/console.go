package console

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options are what a console is made of.
type Options struct {
	// Classes are all latency classes, most urgent first.
	Classes []Class
	// Pseudo are the names under which hits are counted that no rule has.
	Pseudo []string
	// Live returns the state, but for what the console knows itself: Now, Sheds, the
	// hits of Rules, Slowest, History and Window. It is called by one goroutine at a
	// time, and all who look wait for it.
	Live func() State
	// Trace returns what is known of the trace with that id, to be encoded as JSON. Its
	// error may be an [*Error].
	Trace func(ctx context.Context, id string) (any, error)
}

// Console keeps what the page shows of the past, and serves it. Its methods are safe
// for concurrent use; those that note what happens are meant for every request: they
// take no lock and allocate nothing, but where it says so. A nil Console keeps nothing,
// and finds nothing slow.
type Console struct {
	options Options
	history *history
	slowest *slowest
	slow    atomic.Uint64 // how many were slow
	sheds   sheds
	hits    hits
	dryHits hits
	hub     *hub
	asked   []asker // all that NewAsked has made; immutable once somebody looks

	open    context.Context // ends when the console is closed
	end     context.CancelFunc
	asking  sync.WaitGroup // what background runs; added to with hub.mu held
	tracing chan struct{}  // one for each trace that is asked for
}

// mostTraces is how many traces are asked for at a time.
const mostTraces = 2

// New returns a console. [Console.Run] keeps its time.
func New(o Options) *Console {
	c := &Console{
		options: o, history: newHistory(len(o.Classes)), slowest: newSlowest(len(o.Classes)),
		tracing: make(chan struct{}, mostTraces),
	}
	c.hub = newHub(c.state, c.history.over)
	c.open, c.end = context.WithCancel(context.Background())
	return c
}

// Run ends the steps of the history until stop is closed.
func (c *Console) Run(stop <-chan struct{}) {
	if c == nil {
		return
	}
	ticker := time.NewTicker(stepTime)
	defer ticker.Stop()
	last := time.Now()
	for n := 1; ; n++ {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		now := time.Now()
		c.history.turn(now, now.Sub(last))
		c.sheds.turn()
		if last = now; n%stepsPerMinute == 0 {
			c.slowest.turn()
		}
	}
}

// Ended counts work of a class that has ended, by its position.
func (c *Console) Ended(class int, wait, latency time.Duration) {
	if c == nil {
		return
	}
	h := &c.history.classes[class]
	h.wait.add(wait)
	h.latency.add(latency)
}

// Shed counts work of a class that was refused for other work to be served. what says
// which, why and by whom; its numbers and its class are not looked at. The first time
// it allocates.
func (c *Console) Shed(class int, what Shed) {
	if c == nil {
		return
	}
	c.history.classes[class].shed.Add(1)
	what.Class, what.Total, what.Recent = c.options.Classes[class].Name, 0, 0
	c.sheds.add(what)
}

// IsSlow reports whether work of a class that took so long is one of the slowest.
func (c *Console) IsSlow(class int, took time.Duration) bool {
	return c != nil && int64(took) > c.slowest.classes[class].least.Load()
}

// Slow keeps work that is slow. It takes a lock.
func (c *Console) Slow(class int, took time.Duration, work Slow) {
	if c == nil {
		return
	}
	work.ID, work.TotalMillis, work.Class = c.slow.Add(1), *millis(took), c.options.Classes[class].Name
	c.slowest.classes[class].add(took, work)
}

// Hit counts that a rule has decided. The first time it allocates.
func (c *Console) Hit(rule string) {
	if c != nil {
		c.hits.add(rule)
	}
}

// DryHit counts that a rule in dry run would have decided. The first time it allocates.
func (c *Console) DryHit(rule string) {
	if c != nil {
		c.dryHits.add(rule)
	}
}

// Keep forgets the hits of rules that rule is not true of, and what was shed by those
// that shed is not true of.
func (c *Console) Keep(rule func(string) bool, shed func(Shed) bool) {
	if c == nil {
		return
	}
	all := func(name string) bool { return slices.Contains(c.options.Pseudo, name) || rule(name) }
	c.hits.Keep(all)
	c.dryHits.Keep(all)
	c.sheds.Keep(shed)
}

// state returns what the page shows, with the points of the history behind the first so
// many, and how many there have been.
func (c *Console) state(now time.Time, behind int) (*State, int) {
	c.ask()
	s := c.options.Live()
	s.Now, s.Classes, s.Sheds = now.UnixMilli(), c.options.Classes, c.sheds.list()
	for i := range s.Rules {
		r := &s.Rules[i]
		r.Hits, r.DryHits = c.hits.count(r.Name), c.dryHits.count(r.Name)
	}
	for _, name := range c.options.Pseudo {
		if n := c.hits.count(name); n > 0 {
			s.Rules = append(s.Rules, Rule{Name: name, Builtin: true, Hits: n})
		}
	}
	s.Slowest = c.slowest.list()
	points, over := c.history.points(behind)
	s.History = History{StepMillis: stepTime.Milliseconds(), Points: points}
	s.Window = c.history.window(c.options.Classes)
	return &s, over
}

// Register registers /console and what is below it.
func (c *Console) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /console", servePage)
	mux.HandleFunc("GET /console/{$}", withoutSlash)
	mux.HandleFunc("GET /console/state", c.serveState)
	mux.HandleFunc("GET /console/events", c.serveEvents)
	mux.HandleFunc("GET /console/trace", c.serveTrace)
}

// background runs f in a goroutine that Close waits for, unless the console is closed.
func (c *Console) background(f func(context.Context)) bool {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	if !c.hub.closed {
		c.asking.Go(func() { f(c.open) })
	}
	return !c.hub.closed
}

// Close ends all streams, and returns when nothing is done for them any more. No
// stream is served afterwards; the state still is, with what is known by then.
func (c *Console) Close() {
	if c == nil {
		return
	}
	c.end()
	c.hub.close()
	c.asking.Wait()
}
