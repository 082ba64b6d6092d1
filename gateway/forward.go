package gateway

import (
	"errors"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/gateway/config"
	"overtake/scheduler"
)

// forward waits for a slot of the upstream and sends the request on. It returns
// as soon as the response's header is there; the body follows by responseBody.
func (g *Gateway) forward(ctx *fasthttp.RequestCtx, client *clientConn, r *request) error {
	if err := g.acquire(r); err != nil {
		return err
	}
	dispatched, waited := r.slot.got, r.slot.waited
	o := g.outbound(ctx, client, r, dispatched)
	if g.provenance != nil && client.listener.role != config.Outbound {
		r.ticket = g.provenance.Remember(dispatched, &r.trail, r.decision.Class)
	}
	a, err := r.upstream.do(&r.life, &r.slot, o, &ctx.Response.Header, idempotent(ctx))
	r.upTime = time.Since(dispatched) - (r.slot.waited - waited)
	if err != nil {
		ctx.Response.Header.ResetConnectionClose() // which the server may have said before it failed
		if r.upstream.unrouted {
			err = ofDestination(err)
		}
		return err
	}
	status := a.header.StatusCode()
	if g.console.IsSlow(int(r.decision.Class), dispatched.Sub(r.started)+r.upTime) {
		r.timing = serverTiming(a.header) // before it is cleaned of what the next hop says
	}
	cleanResponse(a.header)
	g.expose(ctx, r)
	if a.upgraded != "" {
		g.switchOver(ctx, client, r, a)
		return nil
	}
	if a.sender != nil && !a.sender.readAll.Load() {
		// Answered before the request had ended: the rest of the body stands
		// between this request and the next.
		ctx.SetConnectionClose()
	}
	if ctx.Response.SkipBody = a.ended; a.ended || a.takeWhole(&ctx.Response) {
		outcome := a.outcome()
		if aborted := a.Close(); aborted {
			client.linger.Store(true)
			outcome = scheduler.Unmeasured
		}
		r.slot.release(outcome)
		return nil
	}
	r.answer = a
	if a.left < 0 && !ctx.Request.Header.IsHTTP11() {
		g.untilClose(ctx, client, r, status)
		return nil
	}
	ctx.Response.ImmediateHeaderFlush = a.conn.br.Buffered() == 0
	ctx.Response.SetBodyStream(&responseBody{g: g, client: client, status: status}, int(max(a.left, -1)))
	return nil
}

// acquire waits for a slot in class order.
func (g *Gateway) acquire(r *request) error {
	deadline := r.deadline()
	if !r.upstream.dryRun {
		r.trail.Deadline = deadline
	}
	r.slot.upstream = r.upstream
	r.slot.journal = g.noted(&r.journal)
	r.slot.work = scheduler.Work{
		Class: r.decision.Class, Flow: r.flow, Deadline: deadline,
		Bytes: int64(len(r.fields)*32 + requestOverhead),
	}
	err := r.slot.acquire(&r.life)
	if err == nil && !r.upstream.unrouted {
		r.counted, r.wait = true, r.slot.waited
		g.metrics.waited(r.upstream.name, r.trail.Class, r.wait)
	}
	return err
}

// requestOverhead is about what a waiting request holds in memory: fasthttp's
// context with its buffers, the connection and a goroutine's stack.
const requestOverhead = 16 << 10

// outbound is the request as the app gets it.
func (g *Gateway) outbound(ctx *fasthttp.RequestCtx, client *clientConn, r *request, now time.Time) *outbound {
	method, host := alias(ctx.Method()), authority(ctx)
	if host == "" && client.original.IsValid() {
		host = client.original.String() // from HTTP/1.0, which need not say; RFC 9112 section 3.2 has us say it
	}
	head := append(r.out.head[:0], method...)
	head = append(head, ' ')
	head = append(head, originForm(alias(ctx.Request.Header.RequestURI()))...)
	head = append(head, " HTTP/1.1\r\n"...)
	head = appendField(head, "Host", host)
	options, outwards := connectionOptions(r.fields), client.listener.role == config.Outbound
	head = appendEndToEnd(head, r.fields, options, &r.trail, r.trusted || outwards)
	r.out = outbound{
		class: r.decision.Class, bodyless: ctx.IsHead(), timeout: r.upstream.timeout, upgrade: upgradeOf(ctx, r, options),
	}
	o := &r.out
	if ctx.Request.Header.IsHTTP11() && r.alone {
		o.interim = ctx.Conn()
	}
	head = o.appendOptions(head, r.fields)
	if outwards {
		head = appendForwarded(head, r.fields) // who its client is, only the app knows
	} else {
		r.via = forwardedFor{client: client.addr, host: host, tls: ctx.IsTLS(), scratch: r.via.scratch}
		if r.trusted {
			r.via.received = r.fields
		}
		r.via.each(func(name, value string) { head = appendField(head, name, value) })
	}
	r.stamped.head = appendField(head, "Via", "1.1 overtake")
	r.trail.Stamp(&r.stamped, now)
	o.deadline = r.upstream.enforced(r.trail.Deadline)
	o.head = o.frameBody(r.stamped.head, ctx, r, options)
	return o
}

// appendOptions writes what this hop asks the server for.
func (o *outbound) appendOptions(head []byte, f fields) []byte {
	if o.upgrade != "" {
		return appendField(appendField(head, "Connection", "Upgrade"), "Upgrade", o.upgrade)
	}
	if te, ok := f.lookup("TE"); ok && listed(te, "trailers") {
		return appendField(appendField(head, "Connection", "TE"), "TE", "trailers")
	}
	return head
}

// frameBody writes the framing of the request's body and ends the header. The
// framing is always written anew, from what was understood.
func (o *outbound) frameBody(head []byte, ctx *fasthttp.RequestCtx, r *request, options string) []byte {
	if body := r.bodyRead; body != nil {
		o.length = int64(ctx.Request.Header.ContentLength())
		if o.length != 0 {
			o.body, o.abortBody = body, body.abort
		}
		o.streamed = o.length < 0 || o.length > prefetched
		if o.length < 0 {
			o.trailer = func(end []byte) ([]byte, error) { return r.appendTrailer(end, options) }
			if names := r.announced(options); names != "" {
				head = appendField(head, "Trailer", names)
			}
			head = appendField(head, "Transfer-Encoding", "chunked")
		} else {
			head = append(head, "Content-Length: "...)
			head = strconv.AppendInt(head, o.length, 10)
			head = append(head, "\r\n"...)
		}
	} else if !ctx.IsGet() && !ctx.IsHead() {
		head = appendField(head, "Content-Length", "0")
	}
	return append(head, "\r\n"...)
}

// idempotent reports whether a request may be sent again when it is unknown
// whether it was worked on: RFC 9110 section 9.2.2.
func idempotent(ctx *fasthttp.RequestCtx) bool {
	switch string(ctx.Method()) {
	case fasthttp.MethodGet, fasthttp.MethodHead, fasthttp.MethodOptions, fasthttp.MethodTrace,
		fasthttp.MethodPut, fasthttp.MethodDelete:
		return true
	}
	return false
}

// untilClose answers an HTTP/1.0 client with a body of unknown length, which for
// it ends with the connection. fasthttp would send chunks, which it can't read.
func (g *Gateway) untilClose(ctx *fasthttp.RequestCtx, client *clientConn, r *request, status int) {
	a := r.answer
	body := &responseBody{g: g, client: client, status: status}
	ctx.SetConnectionClose()
	a.header.Del(fasthttp.HeaderContentLength)
	head := append([]byte(nil), a.header.Header()...)
	g.hijack(ctx, client, r, func(conn net.Conn) {
		client.patientTil = time.Time{} // fasthttp has taken the deadlines off
		_, err := conn.Write(head)
		if err == nil {
			_, err = body.WriteTo(conn)
		}
		if err = errors.Join(err, body.Close()); err != nil {
			g.log.Debug("answer to an HTTP/1.0 client broken off", "error", err)
			client.reset()
		}
	})
}

// hijack takes the connection from fasthttp when the handler has returned. The request
// ends in serve, by when fasthttp will have reset what it knew of it.
func (g *Gateway) hijack(ctx *fasthttp.RequestCtx, client *clientConn, r *request, serve func(net.Conn)) {
	g.streams.Add(1)
	client.session.taken = true
	r.described, r.ctx = describe(ctx, r), nil
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(func(c net.Conn) {
		defer g.streams.Done()
		defer g.recovered(nil, client)
		client.session.taken = false
		serve(c)
	})
}

// passInterim passes an interim response on (RFC 9110 section 15.2). Whether the client
// has left is found out elsewhere.
func passInterim(client io.Writer, h *fasthttp.ResponseHeader) {
	cleanResponse(h)
	h.Del(fasthttp.HeaderContentLength)
	_, _ = client.Write(h.Header())
}
