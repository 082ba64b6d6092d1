// Package app is the sample app: a fixed number of workers behind one strictly
// first-in, first-out queue. It is what the load generator, the demo and the
// benchmarks put behind a gateway.
package app

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/loadgen/completion"
)

const (
	defaultWorkers  = 8
	defaultMaxQueue = 1 << 16
	defaultWork     = 5 * time.Millisecond
	maxWorkMillis   = 60_000
	// MaxWorkers is the most workers that an app may have.
	MaxWorkers   = 10_000
	maxWorkBytes = 1 << 30
	// completionsKept is how many finished requests the app remembers.
	completionsKept = 1 << 16
)

// Config says how much work the sample app does at once. The zero value is
// usable.
type Config struct {
	// Workers is how many requests are worked on at the same time. 0 is 8.
	Workers int
	// MaxQueue bounds the requests that wait for a worker; above it the app
	// answers 503. 0 is 65536, which in practice never refuses: overload then
	// shows as waiting time, as in most real apps.
	MaxQueue int
	// Sharing lets all requests run at once and share the workers: with n of
	// them, each advances at the rate Workers / n, but at most 1.
	Sharing bool
	// Exponential draws the time that a request holds a worker from the
	// exponential distribution with the mean that it asks for.
	Exponential bool
	// Seed is that of the draws.
	Seed uint64
}

// App is the sample app: a fixed number of workers behind one strictly
// first-in first-out queue. It orders nothing and refuses almost nothing, so a
// flood of slow requests makes every fast one wait behind it. That is the
// harm that a gateway in front of it is there to prevent.
//
//	/work?ms=5&bytes=0  holds a worker for ms milliseconds (default 5), then
//	                    answers with that many bytes; any method
//	/echo               answers with the request it saw, as JSON
//	/workers            answers with the number of workers; POST /workers?n=4
//	                    changes it, and what they are doing goes on
//	/completions?after= lists finished work that carried a [completion.HeaderID]
//	/healthz            answers 200
//
// Work whose client has left is done all the same.
type App struct {
	server    *fasthttp.Server
	station   *station
	completed *completion.List

	stopOnce sync.Once
	stop     chan struct{} // closed when unfinished work is to be abandoned

	done, refused atomic.Int64
}

// work is one request that waits for a worker.
type work struct {
	hold     time.Duration
	end      time.Duration // in the station's virtual time
	id       string        // from completion.HeaderID, may be empty
	finished chan struct{} // closed by the worker
}

// Stats is a moment's view of an [App].
type Stats struct {
	Workers int   `json:"workers"`
	Busy    int   `json:"busy"`   // workers at work
	Queued  int   `json:"queued"` // requests waiting for a worker
	Done    int64 `json:"done"`   // requests worked on since the start
	Refused int64 `json:"refused"`
}

// New returns an app that listens nowhere yet.
func New(cfg Config) *App {
	if cfg.Workers <= 0 {
		cfg.Workers = defaultWorkers
	}
	if cfg.MaxQueue <= 0 {
		cfg.MaxQueue = defaultMaxQueue
	}
	a := &App{
		completed: completion.NewList(completionsKept),
		stop:      make(chan struct{}),
	}
	a.station = newStation(cfg, a.finish)
	a.server = &fasthttp.Server{
		Handler:                       a.handle,
		Name:                          "overtake-app",
		StreamRequestBody:             true,
		DisablePreParseMultipartForm:  true,
		DisableHeaderNamesNormalizing: true, // /echo shows names as they came
		CloseOnShutdown:               true,
		IdleTimeout:                   2 * time.Minute,
		Concurrency:                   1 << 20, // the queue is the bound, not the server
		NoDefaultContentType:          true,
	}
	return a
}

// Serve accepts connections from ln and returns after [App.Shutdown], with nil,
// or when ln fails. It may be called for several listeners.
func (a *App) Serve(ln net.Listener) error {
	if err := a.server.Serve(Persistent(ln)); err != nil {
		return fmt.Errorf("app: on %s: %w", ln.Addr(), err)
	}
	return nil
}

// Shutdown stops accepting and waits for the requests at hand. When ctx ends
// first, it abandons what is unfinished (those clients get a 503) and returns
// the error of ctx.
func (a *App) Shutdown(ctx context.Context) error {
	err := a.server.ShutdownWithContext(ctx)
	a.station.close()
	a.stopOnce.Do(func() { close(a.stop) })
	if err != nil {
		return fmt.Errorf("app: shutdown: %w", err)
	}
	return nil
}

// Stats returns the present figures. They are read one after the other and may
// be off by the requests that moved in between.
func (a *App) Stats() Stats {
	workers, busy, queued := a.station.stats()
	return Stats{Workers: workers, Busy: busy, Queued: queued, Done: a.done.Load(), Refused: a.refused.Load()}
}

// SetWorkers changes the number of workers, which must be positive.
func (a *App) SetWorkers(n int) { a.station.resize(n) }

// finish ends a request whose work is done.
func (a *App) finish(w *work) {
	a.done.Add(1)
	if w.id != "" {
		a.completed.Add(w.id, time.Now())
	}
	close(w.finished)
}

func (a *App) handle(ctx *fasthttp.RequestCtx) {
	switch path := string(ctx.Path()); path {
	case "/work":
		a.handleWork(ctx)
	case "/echo":
		handleEcho(ctx)
	case "/workers":
		a.handleWorkers(ctx)
	case "/completions":
		a.handleCompletions(ctx)
	case "/healthz":
		ctx.SetContentType("text/plain; charset=utf-8")
		ctx.SetBodyString("ok\n")
	default:
		ctx.Error(fmt.Sprintf("no %s here: try /work, /echo, /workers, /completions or /healthz\n", path), fasthttp.StatusNotFound)
	}
}

func (a *App) handleWork(ctx *fasthttp.RequestCtx) {
	if _, err := drainRequest(ctx); err != nil {
		ctx.Error("request body: "+err.Error()+"\n", fasthttp.StatusBadRequest)
		ctx.SetConnectionClose()
		return
	}
	ms, err := intArg(ctx, "ms", defaultWork.Milliseconds(), maxWorkMillis)
	if err != nil {
		ctx.Error(err.Error()+"\n", fasthttp.StatusBadRequest)
		return
	}
	size, err := intArg(ctx, "bytes", 0, maxWorkBytes)
	if err != nil {
		ctx.Error(err.Error()+"\n", fasthttp.StatusBadRequest)
		return
	}
	w := &work{
		hold:     time.Duration(ms) * time.Millisecond,
		id:       headerFold(ctx, completion.HeaderID),
		finished: make(chan struct{}),
	}
	if !a.station.take(w) {
		a.refused.Add(1)
		ctx.Error(fmt.Sprintf("%d requests are waiting already\n", a.station.maxQueue), fasthttp.StatusServiceUnavailable)
		return
	}
	select {
	case <-w.finished:
	case <-a.stop:
		ctx.Error("the app is shutting down\n", fasthttp.StatusServiceUnavailable)
		return
	}
	ctx.SetContentType("application/octet-stream")
	if size > 0 {
		ctx.SetBodyStream(io.LimitReader(Filler{}, size), int(size))
	}
}

func (a *App) handleWorkers(ctx *fasthttp.RequestCtx) {
	switch {
	case ctx.IsGet():
	case ctx.IsPost():
		n, err := intArg(ctx, "n", 0, MaxWorkers)
		if err == nil && n < 1 {
			err = fmt.Errorf("n=%d: want 1 to %d", n, MaxWorkers)
		}
		if err != nil {
			ctx.Error(err.Error()+"\n", fasthttp.StatusBadRequest)
			return
		}
		a.SetWorkers(int(n))
	default:
		ctx.Response.Header.Set(fasthttp.HeaderAllow, "GET, POST")
		ctx.Error("GET or POST /workers?n=N\n", fasthttp.StatusMethodNotAllowed)
		return
	}
	ctx.SetContentType("application/json")
	fmt.Fprintf(ctx, "{\"workers\":%d}\n", a.Stats().Workers)
}

func (a *App) handleCompletions(ctx *fasthttp.RequestCtx) {
	after, err := intArg(ctx, "after", 0, math.MaxInt64)
	if err != nil {
		ctx.Error(err.Error()+"\n", fasthttp.StatusBadRequest)
		return
	}
	writeJSONBody(ctx, a.completed.Page(uint64(after)))
}

// intArg reads the query argument name, an integer from 0 to limit.
func intArg(ctx *fasthttp.RequestCtx, name string, fallback, limit int64) (int64, error) {
	raw := ctx.QueryArgs().Peek(name)
	if raw == nil {
		return fallback, nil
	}
	n, err := fasthttp.ParseUint(raw)
	if err != nil || int64(n) > limit {
		return 0, fmt.Errorf("%s=%q: want an integer from 0 to %d", name, raw, limit)
	}
	return int64(n), nil
}

// drainRequest reads the request body to its end and returns its size.
func drainRequest(ctx *fasthttp.RequestCtx) (int64, error) {
	body := ctx.RequestBodyStream()
	if body == nil {
		return int64(len(ctx.PostBody())), nil
	}
	return io.Copy(io.Discard, body)
}

// headerFold finds a request header without regard to the case of its name:
// the server keeps names as they came.
func headerFold(ctx *fasthttp.RequestCtx, name string) string {
	for key, value := range ctx.Request.Header.All() {
		if strings.EqualFold(string(key), name) {
			return string(value)
		}
	}
	return ""
}
