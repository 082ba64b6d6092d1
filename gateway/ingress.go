package gateway

import (
	"errors"
	"hash/maphash"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/classifier"
	"overtake/gateway/config"
	"overtake/scheduler"
	"overtake/tracing"
)

// request is one request from a client, from its header to the end of its
// answer. It lives in its connection and is reused for the next one.
type request struct {
	life    lifetime
	gen     *generation // that it uses, from its begin until it is finished
	fields  fields
	alone   bool  // no answer before it may still be waiting to be sent
	broken  error // what is wrong with the header's form
	view    viewFields
	out     outbound      // the request as it is sent on
	stamped stampedFields // its header under construction
	via     forwardedFor
	started time.Time

	decision classifier.Decision
	trail    tracing.Trail
	trusted  bool      // whether its class is believed, and it may see ours
	until    time.Time // when the listener's request_timeout passes; zero for never
	flow     uint64

	upstream *upstream
	queue    *queue // instead of upstream
	slot     slot
	ticket   tracing.Ticket // of what provenance remembers of it
	answer   *answer
	// tunnelled says that it was answered with a tunnel, with which it ends.
	tunnelled bool
	jobClass  string // of the job that it asks about
	bodyRead  *clientBody
	bytesIn   int64 // of the bodies, or of the tunnel
	bytesOut  int64
	upTime    time.Duration // from the slot to the response's header
	wait      time.Duration // for its first slot
	counted   bool          // wait is in the metrics

	// For its spans, and the console.
	ctx       *fasthttp.RequestCtx // nil when described is there
	described *about
	route     int // position; -1 for none
	journal   journal
	produced  production
	origin    string // what told whose call it is; "" for a request from outside
	reason    string // why it was refused
	shed      bool   // it was refused for others to be served
	brokenOff error  // why its answer has no end
	timing    string // the Server-Timing of an answer that was slow to come
}

// serve is the life of one request.
func (g *Gateway) serve(ctx *fasthttp.RequestCtx) {
	client := clientOf(ctx.Conn())
	r := &client.request
	defer g.recovered(ctx, client)
	g.begin(ctx, client, r)
	err := g.handle(ctx, client, r)
	client.mark(g.sockets, r.answerClass())
	if listed(connectionOptions(r.fields), "close") {
		ctx.SetConnectionClose() // in any case and company; fasthttp knows it only as "close"
	}
	if g.draining.Load() {
		ctx.SetConnectionClose()
	}
	if err == nil && (r.answer != nil || r.tunnelled) {
		return // the body follows; the request ends with it
	}
	if err != nil {
		g.refuse(ctx, client, r, err)
	}
	r.bytesOut = bodyBytes(ctx)
	g.finish(ctx.Response.StatusCode(), client, r)
	if r.bodyRead != nil && !r.bodyRead.drained() {
		client.linger.Store(true)
		ctx.SetConnectionClose()
	}
	client.heard, client.session.begun = false, client.serial.Load() // of the body's rest
}

// bodyBytes is how long the body of a response is that the handler has made.
func bodyBytes(ctx *fasthttp.RequestCtx) int64 {
	switch {
	case ctx.IsHead():
		return 0
	case ctx.Response.IsBodyStream():
		return int64(ctx.Response.Header.ContentLength())
	}
	return int64(len(ctx.Response.Body()))
}

func (g *Gateway) begin(ctx *fasthttp.RequestCtx, client *clientConn, r *request) {
	r.life.reset()
	r.gen = g.enter()
	client.listener.leavers.begin(client)
	r.alone = client.heard
	r.fields, r.broken = r.fields.read(&ctx.Request.Header)
	r.view = viewFields{fields: r.fields}
	r.started, r.until = time.Now(), time.Time{}
	if patience := client.settings.limits.RequestTimeout; patience > 0 {
		r.until = client.session.headerAt(r.started, ctx.Request.Header.ContentLength()).Add(patience)
	}
	if client.answerBy = r.until; r.gen.config.DryRun {
		client.answerBy = time.Time{}
	}
	r.decision = classifier.Decision{Class: r.gen.defaultClass}
	r.trail.Reset()
	r.trail.Propagate = r.gen.propagate
	r.trusted, r.flow = r.gen.trusts(client), 0
	r.upstream, r.queue, r.slot, r.answer, r.bodyRead, r.upTime = nil, nil, slot{}, nil, nil, 0
	r.ctx, r.described, r.route = ctx, nil, -1
	r.origin, r.reason, r.shed, r.brokenOff, r.produced = "", "", false, nil, production{}
	r.ticket, r.tunnelled, r.jobClass, r.timing = tracing.Ticket{}, false, "", ""
	r.bytesIn, r.bytesOut, r.wait, r.counted = 0, 0, 0, false
	if stream := ctx.RequestBodyStream(); stream != nil {
		r.bodyRead = newClientBody(stream, ctx.Request.Header.ContentLength() == -1, client)
	}
}

// answerClass is the class of the packets that answer a request: its own, or that
// of the job whose answer it fetches.
func (r *request) answerClass() classifier.Class {
	if r.jobClass != "" {
		if class, ok := r.gen.classes.Lookup(r.jobClass); ok {
			return class
		}
	}
	return r.decision.Class
}

// recovered ends the request under way at a panic, which would take the process down.
// It is answered with a 500 in ctx; nil is where no answer can be given any more, and
// the connection is closed.
func (g *Gateway) recovered(ctx *fasthttp.RequestCtx, client *clientConn) {
	p := recover()
	if p == nil {
		return
	}
	g.logPanic(p)
	r := &client.request
	if r.bodyRead != nil {
		r.bodyRead.abort()
		client.linger.Store(true)
	}
	if r.answer != nil {
		r.answer.Close()
		r.answer = nil
	}
	r.life.end(errPanicked) // closes the connection of an exchange that broke off
	r.slot.release(scheduler.Unmeasured)
	if ctx != nil {
		ctx.Response.Reset()
		ctx.Error("internal error", fasthttp.StatusInternalServerError)
		ctx.SetConnectionClose()
		if r.gen != nil {
			client.mark(g.sockets, r.answerClass())
		}
	}
	if r.gen != nil { // else it has been finished, or not begun
		g.finish(fasthttp.StatusInternalServerError, client, r)
	}
	if ctx == nil {
		client.reset() // what was written must not look whole
	}
}

// logPanic is for the function that has recovered from p.
func (g *Gateway) logPanic(p any) {
	g.log.Error("panic while serving a request", "panic", p, "stack", string(debug.Stack()))
}

// errPanicked ends the lifetime of a request or a delivery that panicked.
var errPanicked = errors.New("gateway: panic")

// handle brings the request to its route. Where it returns nil and r.answer is
// set, the response's body is still to be streamed.
func (g *Gateway) handle(ctx *fasthttp.RequestCtx, client *clientConn, r *request) error {
	if r.broken == nil {
		r.broken = acceptable(ctx, r.fields, client.listener.role)
	}
	if r.broken != nil {
		ctx.SetConnectionClose()
		f := &failure{reason: reasonBadRequest, err: r.broken}
		if errors.Is(r.broken, errExpectation) {
			f.status = fasthttp.StatusExpectationFailed
		}
		return f
	}
	if f := excessive(&ctx.Request.Header, r.fields, &client.settings.limits); f != nil {
		ctx.SetConnectionClose()
		return f
	}
	if loops(r.fields) {
		return g.loop(ctx, client)
	}
	view := viewOf(ctx, &r.view, client.addr)
	if client.listener.role == config.Outbound {
		return g.call(ctx, client, r, &view)
	}
	if strings.HasPrefix(view.Path, ownPrefix) {
		return g.serveOwn(ctx, r, view.Path)
	}
	g.classify(&view, r)
	i := r.gen.route(&view)
	if i < 0 {
		return &failure{reason: reasonNoUpstream, err: errors.New("no route matches")}
	}
	r.route, r.upstream, r.queue = i, r.gen.targets[i].upstream, r.gen.targets[i].queue
	if r.queue != nil {
		return g.enqueue(ctx, r, r.queue)
	}
	return g.forward(ctx, client, r)
}

// errExpectation is a request that wants to be answered in a way that nobody here
// knows (RFC 9110 section 10.1.1).
var errExpectation = errors.New("Expect has something else than 100-continue (RFC 9110 section 10.1.1)")

// acceptable refuses what has two readings, or none that a gateway could serve.
func acceptable(ctx *fasthttp.RequestCtx, f fields, role string) error {
	if protocol := string(ctx.Request.Header.Protocol()); protocol != "HTTP/1.1" && protocol != "HTTP/1.0" {
		return errors.New("only HTTP/1.1 and HTTP/1.0 are served here")
	}
	if expect, ok := f.lookup(fasthttp.HeaderExpect); ok && !strings.EqualFold(expect, "100-continue") {
		return errExpectation
	}
	_, length := f.lookup("Content-Length")
	coding, coded := f.lookup("Transfer-Encoding")
	switch {
	case ctx.IsConnect() && role != config.Outbound:
		return errors.New("CONNECT is served by an outbound listener alone")
	case ctx.IsConnect() && (length || coded):
		return errors.New("CONNECT with a body (RFC 9110 section 9.3.6)")
	}
	if length && coded {
		return errors.New("Content-Length and Transfer-Encoding in one request (RFC 9112 section 6.1)")
	}
	if coded && !strings.EqualFold(coding, "chunked") {
		return errors.New("Transfer-Encoding is not chunked (RFC 9112 section 6.1)")
	}
	return checkTarget(ctx)
}

// classify finds the request's trail, class and flow.
func (g *Gateway) classify(view *classifier.Request, r *request) {
	r.trail.Extract(&r.fields, r.started)
	if !r.trusted {
		r.trail.RenewRequestID()
	}
	r.decision = r.gen.classifier.Classify(view, r.gen.claim(&r.trail, r.trusted))
	r.trail.Class = r.gen.classes.Name(r.decision.Class)
	g.begins(r)
	g.metrics.classified.of([2]string{r.decision.Rule, r.trail.Class}).Inc()
	g.console.Hit(r.decision.Rule)
	r.flow = r.gen.flowOf(r.fields, view.Source)
}

// flowSeed makes flow keys unpredictable, so that nobody can aim at another's.
var flowSeed = maphash.MakeSeed()

func (gen *generation) flowOf(f fields, source netip.Addr) uint64 {
	if header := gen.config.Flow.Header; header != "" {
		if key, ok := f.lookup(header); ok {
			return maphash.String(flowSeed, key)
		}
	}
	return maphash.Comparable(flowSeed, source)
}

// deadline is the earliest of the request's own deadline and those of its class and
// its listener.
func (r *request) deadline() time.Time {
	deadline := earlier(r.trail.Deadline, r.until)
	if own := r.gen.deadlines[r.decision.Class]; own > 0 {
		deadline = earlier(deadline, r.started.Add(own))
	}
	return deadline
}

// late reports whether the listener's request_timeout has passed.
func (c *clientConn) late() bool { return !c.answerBy.IsZero() && !time.Now().Before(c.answerBy) }

// earlier returns the earlier of two times, of which a zero one is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// refuse answers an error, or closes the connection where nobody waits for an
// answer any more.
func (g *Gateway) refuse(ctx *fasthttp.RequestCtx, client *clientConn, r *request, err error) {
	if errors.Is(err, errClientLeft) {
		ctx.Response.Reset()
		ctx.SetStatusCode(statusClientClosed) // for the metrics; nobody reads it
		ctx.SetConnectionClose()
		return
	}
	var broken *clientBodyError
	if errors.As(err, &broken) {
		ctx.SetConnectionClose() // also where the body has been read to its end
	}
	f := asFailure(err)
	r.reason, r.shed = f.reason, isShed(err)
	if f.retryAfter == 0 && f.code() == fasthttp.StatusServiceUnavailable {
		f.retryAfter = r.retryAfter()
	}
	ctxClose := ctx.Response.ConnectionClose()
	refuse(ctx, f, r.gen.classes.Name(r.decision.Class), r.decision.Class)
	if ctxClose {
		ctx.SetConnectionClose()
	}
	g.expose(ctx, r)
	g.log.Debug("refused", "reason", f.reason, "class", r.trail.Class, "method", string(ctx.Method()),
		"target", string(ctx.RequestURI()), "client", client.addr, "error", f.err)
}

// retryAfter asks the upstream that the request was for, or that its queue is
// for, when to come back; 0 if there is none.
func (r *request) retryAfter() time.Duration {
	u := r.upstream
	if r.queue != nil {
		u = r.gen.upstreams[r.queue.deliverTo]
	}
	if u == nil {
		return 0
	}
	return u.scheduler.RetryAfter(r.decision.Class)
}

// statusClientClosed is what nginx made customary for a client that left.
const statusClientClosed = 499

// expose adds what a trusted client may know of its request's way.
func (g *Gateway) expose(ctx *fasthttp.RequestCtx, r *request) {
	if to := r.gen.config.Expose; to == "none" || to == "trusted" && !r.trusted {
		return
	}
	h := &ctx.Response.Header
	h.Set("Latency-Class", r.gen.classes.Name(r.decision.Class))
	if r.upstream != nil {
		timing := make([]byte, 0, 48)
		timing = append(timing, "queue;dur="...)
		timing = appendMillis(timing, r.slot.waited)
		if r.upTime > 0 {
			timing = append(timing, ", upstream;dur="...)
			timing = appendMillis(timing, r.upTime)
		}
		h.Add("Server-Timing", alias(timing))
	}
}

func appendMillis(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, float64(d)/float64(time.Millisecond), 'f', 3, 64)
}

// finish ends a request whose answer is complete or given up.
func (g *Gateway) finish(status int, client *clientConn, r *request) {
	client.listener.leavers.end(client)
	client.heard, client.session.waits = false, 0
	now := time.Now()
	if g.provenance != nil {
		g.provenance.Ended(now, r.ticket)
	}
	class := r.gen.classes.Name(r.decision.Class)
	g.metrics.finished(client.listener.name, class, status, now.Sub(r.started))
	if reason := r.ending(status); reason != "" {
		g.metrics.failed(r, class, reason)
	}
	g.access.note(now, status, client, r)
	recorded := g.record(now, status, client, r)
	if recorded {
		g.metrics.recorded(now, class, r)
	}
	g.show(now, status, client, r, recorded)
	r.gen.leave()
	r.gen = nil // rather than keep it for as long as the connection is idle
}
