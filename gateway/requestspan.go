package gateway

import (
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/tracing"
)

// about is what a request's span, and its line in the access log, say of what was asked
// for.
type about struct {
	method, path, host, agent string
	target, protocol          string
	tls                       bool
}

// describe returns it in strings of its own, which outlive the request.
func describe(ctx *fasthttp.RequestCtx, r *request) *about {
	agent, _ := r.fields.lookup("User-Agent")
	target := string(ctx.Request.Header.RequestURI())
	return &about{
		method: string(ctx.Method()), path: pathOf(originForm(target)), host: strings.Clone(authority(ctx)),
		agent: strings.Clone(agent), target: target, protocol: string(ctx.Request.Header.Protocol()), tls: ctx.IsTLS(),
	}
}

// begins gives the request's span its id, and decides about sampling if the trace
// begins here. What is sent on is the child of another span, that of the try.
func (g *Gateway) begins(r *request) {
	r.trail.Sample(r.gen.config.Tracing.Sample)
	r.journal.begin(r.trail.SpanID)
	r.trail.SpanID = tracing.NewSpanID()
}

// pathOf returns the path of a target, as it was sent: what is encoded in it stays so.
func pathOf(target string) string {
	path, _, _ := strings.Cut(target, "?")
	return path
}

// record records a request that has ended, if it was sampled or is worth it, and
// reports whether it did.
func (g *Gateway) record(now time.Time, status int, client *clientConn, r *request) bool {
	if r.trail.TraceID == (tracing.TraceID{}) {
		return false
	}
	r.journal.ended(now, r.brokenOff)
	if g.tracer == nil {
		return false
	}
	kept := r.gen.kept(r.decision.Class, r.slot.waited, r.shed, status >= 500 || r.brokenOff != nil)
	if !r.trail.Sampled() && kept == "" {
		return false
	}
	spans := 1 + r.journal.spans()
	if !r.produced.start.IsZero() {
		spans++
	}
	if !g.hasRoom(now, &r.trail, r.decision.Class, spans) {
		return false
	}
	set := newSpanSet(&r.trail, r.gen.classes.Name(r.decision.Class), spans)
	asked := r.about()
	set.add(g.serverSpan(now, status, client, r, asked, kept))
	set.addWaits(&r.journal)
	set.addTries(&r.journal, knownMethod(asked.method), asked.path)
	if !r.produced.start.IsZero() {
		set.add(r.queue.producerSpan(r))
	}
	g.tracer.Record(set.spans...)
	return true
}

// about describes the request, once.
func (r *request) about() *about {
	if r.described == nil {
		r.described = describe(r.ctx, r)
	}
	return r.described
}

// serverSpan is the request as this hop took it.
func (g *Gateway) serverSpan(now time.Time, status int, client *clientConn, r *request, asked *about, kept string) tracing.Span {
	method, scheme, route := knownMethod(asked.method), "http", ""
	if asked.tls {
		scheme = "https"
	}
	if r.route >= 0 {
		route = r.gen.config.Routes[r.route].Match.Path
	}
	span := tracing.Span{
		ID: r.journal.hop, Parent: r.trail.ParentID, Kind: tracing.Server, Name: spanName(method, route),
		Start: r.started, End: now,
		Attributes: append(make([]tracing.Attribute, 0, 16),
			attribute("http.request.method", method), attribute("url.scheme", scheme), attribute("url.path", asked.path),
			number("http.response.status_code", status),
			attribute("server.address", hostname(asked.host)), attribute("client.address", client.addr.String()),
			attribute("overtake.class", r.gen.classes.Name(r.decision.Class)), attribute("overtake.rule", r.decision.Rule),
			attribute("overtake.listener", client.listener.name), attribute("overtake.role", client.listener.role),
		),
	}
	more := func(key, value string) {
		if value != "" {
			span.Attributes = append(span.Attributes, attribute(key, value))
		}
	}
	if method != asked.method {
		more("http.request.method_original", asked.method)
	}
	more("http.route", route)
	more("user_agent.original", asked.agent)
	more("overtake.provenance", r.origin)
	more("overtake.reason", r.reason)
	if !r.trail.Sampled() {
		more("overtake.kept", kept)
	}
	switch {
	case status == statusClientClosed:
		more("error.type", reasonLeft)
		span.Events = append(span.Events, tracing.Event{Name: reasonLeft, Time: span.End})
	case r.brokenOff != nil:
		more("error.type", reasonUpstreamFailed)
		span.Failure = r.brokenOff.Error()
	case r.reason != "":
		more("error.type", r.reason)
		if r.shed {
			span.Events = append(span.Events, endedBy(r.reason, span.End))
		}
		if status >= 500 {
			span.Failure = r.reason
		}
	case status >= 500:
		more("error.type", strconv.Itoa(status))
		span.Failure = fasthttp.StatusMessage(status)
	}
	return span
}
