package topology

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/loadgen/app"
)

// StatsPath is where every service tells its [Stats], as JSON.
const StatsPath = "/_app/stats"

// Stats is what a service has done since it was started.
type Stats struct {
	Service   string `json:"service"`
	Requests  int64  `json:"requests"`  // answered, whatever with
	Messages  int64  `json:"messages"`  // consumed, whatever came of them
	Failures  int64  `json:"failures"`  // of both
	Calls     int64  `json:"calls"`     // made
	Published int64  `json:"published"` // accepted by a broker or a job route
	// FailedCalls counts failed calls and publishes, optional ones too.
	FailedCalls int64            `json:"failed_calls"`
	Busy        int              `json:"busy"`    // workers at work; 0 if there is no limit
	Waiting     int              `json:"waiting"` // requests and messages without a worker
	Endpoints   map[string]int64 `json:"endpoints"`
}

// server is a service that runs.
type server struct {
	service   *Service
	line      *app.Line // nil without a limit
	endpoints []*task
	consumers []*task
	http      *fasthttp.Server
	listener  net.Listener
	served    chan error
	sidecar   *RunningSidecar // nil without one

	// Set before it serves.
	out     *outgoing
	brokers map[string]broker

	stopOnce sync.Once
	stop     chan struct{} // closed when unfinished work is to be abandoned

	requests, messages, failures, calls, published, failedCalls atomic.Int64
}

func newServer(s *Service, seed uint64, ln net.Listener) *server {
	v := &server{service: s, listener: app.Persistent(ln), served: make(chan error, 1), stop: make(chan struct{})}
	if s.Workers > 0 {
		v.line = app.NewLine(s.Workers, math.MaxInt)
	}
	for i := range s.Endpoints {
		v.endpoints = append(v.endpoints, newTask(s.Endpoints[i].work(), seed, s.name, s.Endpoints[i].Path))
	}
	for i := range s.Consumes {
		v.consumers = append(v.consumers, newTask(s.Consumes[i].work(), seed, s.name, "queue "+s.Consumes[i].Queue))
	}
	v.http = &fasthttp.Server{
		Handler:                       v.handle,
		StreamRequestBody:             true,
		DisablePreParseMultipartForm:  true,
		DisableHeaderNamesNormalizing: true, // forwarded names stay as they came
		NoDefaultServerHeader:         true,
		NoDefaultContentType:          true,
		CloseOnShutdown:               true,
		IdleTimeout:                   2 * time.Minute,
		Concurrency:                   1 << 20, // the workers are the bound, not the server
	}
	return v
}

// serve tells fail of its end if nobody asked for that.
func (v *server) serve(fail func(error)) {
	err := v.http.Serve(v.listener)
	select {
	case <-v.stop:
	default:
		fail(fmt.Errorf("topology: %s serves no more: %w", v.service.name, cmp.Or(err, net.ErrClosed)))
	}
	v.served <- err
}

// shutdown stops accepting and waits for the requests at hand; when ctx ends
// first, it abandons them.
func (v *server) shutdown(ctx context.Context) error {
	err := v.http.ShutdownWithContext(ctx)
	if ctx.Err() != nil {
		err = nil // which is said once, for all services
	}
	_ = v.listener.Close() // if it has not begun to serve
	v.abandon()
	err = errors.Join(err, <-v.served)
	if v.sidecar != nil {
		err = errors.Join(err, v.sidecar.Stop())
	}
	if err != nil {
		return fmt.Errorf("topology: %s: %w", v.service.name, err)
	}
	return nil
}

func (v *server) abandon() {
	v.stopOnce.Do(func() {
		close(v.stop)
		if v.line != nil {
			v.line.Close()
		}
		v.out.close()
	})
}

// endpointFor returns the endpoint for a path, which may have a query: the exact
// one, else that of the longest prefix; -1 if there is none.
func (s *Service) endpointFor(path string) int {
	path, _, _ = strings.Cut(path, "?")
	best, length := -1, -1
	for i := range s.Endpoints {
		prefix, below := strings.CutSuffix(s.Endpoints[i].Path, "/**")
		switch {
		case !below && path == prefix:
			return i
		case below && len(prefix) > length && strings.HasPrefix(path, prefix) && (len(path) == len(prefix) || path[len(prefix)] == '/'):
			best, length = i, len(prefix)
		}
	}
	return best
}

func (v *server) handle(ctx *fasthttp.RequestCtx) {
	path := string(ctx.Path())
	if path == StatsPath {
		v.handleStats(ctx)
		return
	}
	v.requests.Add(1)
	if fail := v.answer(ctx, path); fail != nil {
		v.failures.Add(1)
		ctx.ResetBody()
		ctx.Error(fmt.Sprintf("%s: %s\n", v.service.name, fail.text), fail.status)
	}
}

func (v *server) answer(ctx *fasthttp.RequestCtx, path string) *failure {
	if body := ctx.RequestBodyStream(); body != nil {
		if _, err := io.Copy(io.Discard, body); err != nil {
			ctx.SetConnectionClose()
			return &failure{fasthttp.StatusBadRequest, "request body: " + err.Error()}
		}
	}
	i := v.service.endpointFor(path)
	if i < 0 {
		var known []string
		for _, e := range v.service.Endpoints {
			known = append(known, e.Path)
		}
		return &failure{fasthttp.StatusNotFound, fmt.Sprintf("no %s here: known are %s and %s", path, strings.Join(known, ", "), StatsPath)}
	}
	random := v.endpoints[i].begin()
	size := int64(v.service.Endpoints[i].Response.Draw(random))
	if fail := v.perform(v.endpoints[i], random, v.forwarded(ctx)); fail != nil {
		return fail
	}
	switch {
	case size > int64(len(payload)):
		ctx.SetBodyStream(io.LimitReader(app.Filler{}, size), int(size))
	case size > 0:
		ctx.Response.SetBodyRaw(payload[:size])
	}
	if size > 0 {
		ctx.SetContentType("application/octet-stream")
	}
	return nil
}

// payload is the body of answers that are small enough.
var payload = func() []byte {
	block := make([]byte, 32<<10)
	_, _ = app.Filler{}.Read(block)
	return block
}()

// header is one header field, spelled as it came.
type header struct{ name, value string }

// forwarded returns the headers that go with the calls for this request.
func (v *server) forwarded(ctx *fasthttp.RequestCtx) []header {
	var headers []header
	for name, value := range ctx.Request.Header.All() {
		if v.forwards(string(name)) {
			headers = append(headers, header{string(name), string(value)})
		}
	}
	return headers
}

func (v *server) forwards(name string) bool {
	for _, listed := range v.service.Forward {
		if strings.EqualFold(listed, name) {
			return true
		}
	}
	return false
}

func (v *server) handleStats(ctx *fasthttp.RequestCtx) {
	text, err := json.Marshal(v.stats())
	if err != nil {
		ctx.Error(err.Error(), fasthttp.StatusInternalServerError)
		return
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(append(text, '\n'))
}

// stats reads the figures one after the other; they may be off by what moved in
// between.
func (v *server) stats() Stats {
	s := Stats{
		Service: v.service.name, Requests: v.requests.Load(), Messages: v.messages.Load(), Failures: v.failures.Load(),
		Calls: v.calls.Load(), Published: v.published.Load(), FailedCalls: v.failedCalls.Load(), Endpoints: make(map[string]int64),
	}
	if v.line != nil {
		_, s.Busy, s.Waiting = v.line.Stats()
	}
	for i, e := range v.endpoints {
		s.Endpoints[v.service.Endpoints[i].Path] = int64(e.begun.Load())
	}
	return s
}
