package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"overtake/gateway/socket/qdisc"
	"overtake/scheduler"
)

// admin is the listener for those who operate the gateway. It shows internals to
// whoever can reach it and is no web page of another site, see [guard]: it belongs on
// loopback, or behind something that authenticates.
type admin struct {
	listener net.Listener // nil when it is off
	server   *http.Server
	done     chan struct{}
}

// adminOff is the address of no admin listener.
const adminOff = "off"

// listenAdmin opens the admin address.
func (g *Gateway) listenAdmin(address string) (*admin, error) {
	if address == adminOff {
		return &admin{}, nil
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("gateway: admin listener: %w; free the address or give another", err)
	}
	return &admin{
		listener: netutil.LimitListener(ln, adminConnections), done: make(chan struct{}),
		server: &http.Server{
			Handler: g.adminHandler(), ReadHeaderTimeout: adminHeaderTime, IdleTimeout: adminIdleTime, MaxHeaderBytes: adminHeaderBytes,
		},
	}, nil
}

func (a *admin) serve(log *slog.Logger) {
	if a.listener == nil {
		return
	}
	log.Info("listening", "listener", "admin", "address", a.listener.Addr().String())
	go func() {
		defer close(a.done)
		if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("listener ended", "listener", "admin", "error", err)
		}
	}()
}

func (a *admin) addr() net.Addr {
	if a.listener == nil {
		return nil
	}
	return a.listener.Addr()
}

// shutdown lets answers under way end, for a moment. A profile that somebody takes, or
// a reader who sleeps, is no reason for the process to stay, nor a drain that failed.
func (a *admin) shutdown(log *slog.Logger) {
	if a.listener == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), adminLeaveTime)
	defer cancel()
	if err := a.server.Shutdown(ctx); err != nil {
		log.Info("answers of the admin listener are cut off", "error", err)
		_ = a.server.Close() // nothing is left to do about it
	}
	<-a.done
}

func (g *Gateway) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", adminIndex)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
	mux.HandleFunc("GET /readyz", g.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(g.metrics.registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: adminScrapes,
	}))
	g.console.Register(mux)
	mux.HandleFunc("GET /debug/queues", g.debugQueues)
	mux.HandleFunc("GET /debug/config", g.debugConfig)
	mux.HandleFunc("GET /debug/explain", g.debugExplain)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	g.registerChanges(mux)
	return newGuard(mux, g.Config, g.log)
}

// debugConfig shows the configuration in effect, without secrets, since when it is,
// and why the one that was read last is not, if so.
func (g *Gateway) debugConfig(w http.ResponseWriter, _ *http.Request) {
	g.mu.Lock()
	gen, failed := g.present.Load(), g.failed
	g.mu.Unlock()
	text, err := gen.config.Redacted()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/yaml")
	fmt.Fprintf(w, "# in effect since %s\n", gen.since.UTC().Format(time.RFC3339))
	if failed != nil {
		fmt.Fprintf(w, "# read again at %s, and refused:\n", failed.at.UTC().Format(time.RFC3339))
		for line := range strings.Lines(failed.err.Error()) {
			fmt.Fprintf(w, "#   %s\n", strings.TrimSpace(line))
		}
	}
	_, _ = w.Write(text) // the client's connection at most
}

// The JSON of /debug/queues.
type (
	queuesState struct {
		Upstreams map[string]upstreamState `json:"upstreams"`
		Queues    map[string]queueState    `json:"queues"`
		// Closing are the upstreams of earlier configurations that still have work.
		Closing []closingState `json:"closing,omitempty"`
		// Kernel is missing where no class has options for its sockets.
		Kernel []qdisc.Report `json:"kernel,omitempty"`
		// KernelError is about devices that are not known.
		KernelError string `json:"kernel_error,omitempty"`
	}
	upstreamState struct {
		Limit    int                   `json:"limit"` // of all servers in use
		InFlight int                   `json:"in_flight"`
		DryRun   bool                  `json:"dry_run"`
		Servers  []serverState         `json:"servers"`
		Classes  map[string]classState `json:"classes"`
	}
	closingState struct {
		Upstream string `json:"upstream"`
		InFlight int    `json:"in_flight"`
		Waiting  int    `json:"waiting"`
	}
	serverState struct {
		URL      string `json:"url"`
		Limit    int    `json:"limit"`
		InFlight int    `json:"in_flight"`
		Down     bool   `json:"down"`
		Probing  bool   `json:"probing"`
		// State is up, down, ejected (for failed answers) or ramping (just back).
		State       string  `json:"state"`
		StateMillis float64 `json:"state_ms,omitempty"` // for how long; not since the start
		Error       string  `json:"error,omitempty"`    // that led to the state
	}
	classState struct {
		InFlight     int               `json:"in_flight"`
		Waiting      int               `json:"waiting"`
		WaitingBytes int64             `json:"waiting_bytes"`
		OldestMillis float64           `json:"oldest_ms"`
		WorstMillis  float64           `json:"worst_wait_ms"`
		Reserve      float64           `json:"reserve"`
		Auto         *autoState        `json:"auto,omitempty"` // why the reserve is so
		Order        string            `json:"order"`
		Dispatched   uint64            `json:"dispatched"`
		Overtakes    uint64            `json:"overtakes"`
		Left         uint64            `json:"left"`
		Shed         map[string]uint64 `json:"shed"`
	}
	autoState struct {
		ObjectiveMillis   float64 `json:"objective_ms"`
		OverShare         float64 `json:"over_share"`
		ArrivalsPerSecond float64 `json:"arrivals_per_second"`
		MeanMillis        float64 `json:"mean_ms"`
		Demand            float64 `json:"demand"`
		Most              float64 `json:"most"`
	}
	laneBound struct {
		Bytes    int64 `json:"bytes,omitempty"` // none without, also below
		Messages int64 `json:"messages,omitempty"`
	}
	queueState struct {
		Lanes map[string]int `json:"lanes,omitempty"`
		// Paused are the lanes that deliver nothing until they are resumed.
		Paused []string `json:"paused"`
		// Bounds are what each lane may hold.
		Bounds map[string]laneBound `json:"bounds,omitempty"`
		// InHand are messages that have left their lane and are not settled.
		InHand map[string]int `json:"in_hand"`
		Error  string         `json:"error,omitempty"`
	}
)

func (g *Gateway) debugQueues(w http.ResponseWriter, r *http.Request) {
	state := queuesState{Upstreams: make(map[string]upstreamState), Queues: make(map[string]queueState)}
	gen := g.present.Load()
	for name, u := range gen.upstreams {
		state.Upstreams[name] = u.state(gen.classes.Names())
	}
	state.Closing = g.closing(gen)
	var asking sync.WaitGroup
	var mu sync.Mutex
	for name, q := range g.queues {
		asking.Go(func() {
			shown := g.stateOf(q)
			mu.Lock()
			defer mu.Unlock()
			state.Queues[name] = shown
		})
	}
	asking.Wait()
	if g.kernel != nil {
		ctx, cancel := context.WithTimeout(r.Context(), depthPatience)
		defer cancel()
		var err error
		if state.Kernel, err = g.kernel(ctx, gen.config); err != nil {
			state.KernelError = err.Error()
		}
	}
	writeJSON(w, http.StatusOK, state)
}

// stateOf is what is known of a queue.
func (g *Gateway) stateOf(q *queue) queueState {
	view := g.viewOf(q)
	shown := queueState{
		Lanes: make(map[string]int, len(view.lanes)), Paused: []string{}, InHand: g.inHandOf(q), Bounds: make(map[string]laneBound, len(view.lanes)),
	}
	for _, l := range view.lanes {
		shown.Lanes[l.Class], shown.Bounds[l.Class] = l.Waiting, laneBound{l.MaxBytes, l.MaxMessages}
		if l.Paused {
			shown.Paused = append(shown.Paused, l.Class)
		}
	}
	if view.err != nil {
		shown.Error = view.err.Error()
	}
	return shown
}

// inHandOf returns by class how many messages of a queue have left their lane and are
// not settled.
func (g *Gateway) inHandOf(q *queue) map[string]int {
	inHand := make(map[string]int)
	for _, c := range g.lanes {
		if c.q == q {
			inHand[c.name] = int(c.working.Load())
		}
	}
	return inHand
}

// closing tells of the upstreams that gen has not, and earlier generations have.
func (g *Gateway) closing(gen *generation) (all []closingState) {
	for u := range g.inUse() {
		if gen.upstreams[u.name] == u {
			continue
		}
		snap := u.scheduler.Snapshot()
		c := closingState{Upstream: u.name, InFlight: snap.Running}
		for i := range snap.Classes {
			c.Waiting += snap.Classes[i].Waiting
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b closingState) int { return cmp.Compare(a.Upstream, b.Upstream) })
	return all
}

func (u *upstream) state(classes []string) upstreamState {
	snap := u.scheduler.Snapshot()
	us := upstreamState{
		Limit: snap.Limit, InFlight: snap.Running, DryRun: u.dryRun,
		Servers: make([]serverState, len(u.servers)), Classes: make(map[string]classState, len(classes)),
	}
	known := u.standings()
	for i, s := range snap.Servers {
		us.Servers[i] = serverState{
			URL: u.servers[i].name, Limit: s.Limit, InFlight: s.Running, Down: s.Down, Probing: s.Probing, State: known[i].standing.String(),
		}
		if !known[i].since.IsZero() {
			us.Servers[i].StateMillis = millis(time.Since(known[i].since))
		}
		if known[i].why != nil {
			us.Servers[i].Error = known[i].why.Error()
		}
	}
	for i, class := range classes {
		us.Classes[class] = newClassState(&snap.Classes[i])
	}
	return us
}

func newClassState(c *scheduler.ClassSnapshot) classState {
	s := classState{
		InFlight: c.Running, Waiting: c.Waiting, WaitingBytes: c.WaitingBytes,
		OldestMillis: millis(c.Oldest), WorstMillis: millis(c.WorstWait), Reserve: c.Reserve, Order: "fifo",
		Dispatched: c.Dispatched, Overtakes: c.Overtakes, Left: c.Withdrawn, Shed: make(map[string]uint64),
	}
	if c.Newest {
		s.Order = "newest_first"
	}
	if a := c.Auto; a != nil {
		s.Auto = &autoState{
			ObjectiveMillis: millis(a.Objective), OverShare: a.Over, ArrivalsPerSecond: a.ArrivalRate,
			MeanMillis: millis(a.MeanTime), Demand: a.Demand, Most: a.Most,
		}
	}
	for _, reason := range scheduler.Reasons() {
		s.Shed[reason.String()] = c.ShedBy(reason)
	}
	return s
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false) // people read it; with its type and nosniff, no browser takes it for HTML
	_ = enc.Encode(v)        // the client's connection at most
}

// FindDown looks which servers take no connections now. They may come later;
// until then, those of an upstream without any other are answered with 502.
func (g *Gateway) FindDown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, depthPatience)
	defer cancel()
	for _, u := range g.present.Load().upstreams {
		u.findDown(ctx)
	}
}
