package gateway

import (
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/gateway/config"
	"overtake/scheduler"
	"overtake/tracing"
)

// benchApp is an app that costs next to nothing.
func benchApp(b *testing.B, body int) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	answer := bytes.Repeat([]byte("x"), body)
	server := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBody(answer) }, NoDefaultDate: true, CloseOnShutdown: true}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	b.Cleanup(func() { server.Shutdown(); <-done })
	return "http://" + ln.Addr().String()
}

func benchGateway(b *testing.B, app string) *Gateway {
	cfg, err := config.Parse("bench.yaml", []byte(`
listeners: [{address: "127.0.0.1:0"}]
admin: "127.0.0.1:0"
rules: [{class: batch, match: {path: "/reports/**"}}, {class: interactive, match: {headers: {X-Plan: gold}}}]
upstreams: {app: {servers: [`+strconv.Quote(app)+`], limit: {max: 256}}}
`), nil)
	if err != nil {
		b.Fatal(err)
	}
	g, err := New(Options{Config: cfg, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	return g
}

// BenchmarkRequest is the whole way of a request, client and app included, on
// loopback. "direct" is the same without the gateway.
func BenchmarkRequest(b *testing.B) {
	for _, size := range []int{64, 64 << 10} {
		app := benchApp(b, size)
		g := benchGateway(b, app)
		if err := g.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { g.Shutdown(b.Context()) })
		for name, url := range map[string]string{"direct": app, "gateway": "http://" + g.Addr("public").String()} {
			b.Run(name+"/"+strconv.Itoa(size), func(b *testing.B) {
				client := &fasthttp.Client{
					NoDefaultUserAgentHeader: true, MaxConnsPerHost: 512,
					Dial: func(addr string) (net.Conn, error) { return net.Dial("tcp", addr) },
				}
				b.Cleanup(client.CloseIdleConnections)
				var failed atomic.Int64
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
					defer fasthttp.ReleaseRequest(req)
					defer fasthttp.ReleaseResponse(resp)
					req.SetRequestURI(url + "/some/path?a=b")
					req.Header.Set("Accept", "text/html")
					for pb.Next() {
						if err := client.DoTimeout(req, resp, time.Minute); err != nil || resp.StatusCode() != 200 {
							failed.Add(1)
						}
					}
				})
				if n := failed.Load(); n > 0 {
					b.Errorf("%d requests failed", n)
				}
			})
		}
	}
}

// parts is a request inside the gateway, without sockets.
type parts struct {
	g      *Gateway
	ctx    fasthttp.RequestCtx
	client *clientConn
}

func newParts(b *testing.B) *parts {
	g := benchGateway(b, "http://127.0.0.1:1")
	p := &parts{g: g, client: &clientConn{listener: &listener{leavers: g.leavers}, settings: &listenerSettings{}, fd: -1}}
	p.client.listener.settings.Store(p.client.settings)
	raw := "GET /some/path?a=b HTTP/1.1\r\nHost: app.example\r\nUser-Agent: bench\r\nAccept: text/html\r\nAccept-Encoding: gzip\r\n" +
		"Cookie: a=1; b=2\r\nX-Request-Id: 1234\r\n\r\n"
	p.ctx.Init2(p.client, nil, false)
	if err := readRequest(&p.ctx.Request, raw); err != nil {
		b.Fatal(err)
	}
	p.client.request.upstream = g.present.Load().upstreams["app"]
	return p
}

func readRequest(req *fasthttp.Request, raw string) error {
	req.Header.DisableNormalizing()
	return req.Header.Read(bufio.NewReader(strings.NewReader(raw)))
}

func BenchmarkBegin(b *testing.B) {
	p := newParts(b)
	b.ReportAllocs()
	for b.Loop() {
		p.g.begin(&p.ctx, p.client, &p.client.request)
	}
}

func BenchmarkClassify(b *testing.B) {
	p := newParts(b)
	r := &p.client.request
	p.g.begin(&p.ctx, p.client, r)
	b.ReportAllocs()
	for b.Loop() {
		view := viewOf(&p.ctx, &r.view, p.client.addr)
		p.g.classify(&view, r)
	}
}

// BenchmarkView is what it costs to see a target as rules do.
func BenchmarkView(b *testing.B) {
	p := newParts(b)
	r := &p.client.request
	target := string(p.ctx.Request.Header.RequestURI())
	b.ReportAllocs()
	for b.Loop() {
		p.ctx.Request.SetRequestURI(target) // as if it had just been read
		p.g.begin(&p.ctx, p.client, r)
		if view := viewOf(&p.ctx, &r.view, p.client.addr); view.Path != "/some/path" {
			b.Fatal(view.Path)
		}
	}
}

// BenchmarkTrail is what a request's trail costs that is not sampled, read from
// its 20 lines and stamped in all formats.
func BenchmarkTrail(b *testing.B) {
	var req fasthttp.Request
	if err := readRequest(&req, "GET /cart HTTP/1.1\r\nHost: shop.example\r\nAccept: text/html,application/xhtml+xml\r\n"+
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\nReferer: https://shop.example/\r\n"+
		"Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nCookie: session=8f14e45fceea167a\r\n"+
		"Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.ZRrHA1JJJW8opsbCGfG\r\nUpgrade-Insecure-Requests: 1\r\n"+
		"Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nX-Forwarded-For: 192.0.2.7\r\n"+
		"Cache-Control: no-cache\r\nX-Request-Id: 0e3c1a66-6d0c-4b41-8a7d-1a5b5b0f4c56\r\n"+
		"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\ntracestate: rojo=00f067aa0ba902b7\r\n"+
		"baggage: latency.class=interactive,tenant=acme,session=8f14e45f\r\nLatency-Class: interactive\r\n"+
		"Latency-Deadline: 1800000000123\r\n\r\n"); err != nil {
		b.Fatal(err)
	}
	received, err := fields(nil).read(&req.Header)
	if err != nil || len(received) != 20 {
		b.Fatalf("%d lines, error %v", len(received), err)
	}
	trail := tracing.Trail{Propagate: tracing.AllFormats}
	now := time.Now()
	b.Run("trail", func(b *testing.B) {
		var stamped stampedFields
		b.ReportAllocs()
		for b.Loop() {
			trail.Extract(&received, now)
			stamped.head = stamped.head[:0]
			trail.Stamp(&stamped, now)
		}
	})
	b.Run("header", func(b *testing.B) { // and copy the lines that are not the trail's
		var stamped stampedFields
		b.ReportAllocs()
		for b.Loop() {
			trail.Extract(&received, now)
			stamped.head = appendEndToEnd(stamped.head[:0], received, connectionOptions(received), &trail, false)
			trail.Stamp(&stamped, now)
		}
	})
}

func BenchmarkOutbound(b *testing.B) {
	p := newParts(b)
	r := &p.client.request
	p.g.begin(&p.ctx, p.client, r)
	view := viewOf(&p.ctx, &r.view, p.client.addr)
	p.g.classify(&view, r)
	r.upstream = p.g.present.Load().upstreams["app"]
	b.ReportAllocs()
	for b.Loop() {
		p.g.outbound(&p.ctx, p.client, r, time.Now())
	}
}

func BenchmarkAcquireByLifetime(b *testing.B) {
	p := newParts(b)
	u, r := p.g.present.Load().upstreams["app"], &p.client.request
	b.ReportAllocs()
	for b.Loop() {
		lease, err := u.scheduler.Acquire(&r.life, scheduler.Work{Class: 1})
		if err != nil {
			b.Fatal(err)
		}
		lease.Release()
	}
}

// BenchmarkRecord is what spans add to a request in the gateway: noting what happens,
// and making spans of it if it was sampled. Exporting them comes on top.
func BenchmarkRecord(b *testing.B) {
	for name, flags := range map[string]byte{"unsampled": 0, "sampled": tracing.FlagSampled} {
		b.Run(name, func(b *testing.B) {
			p := newParts(b)
			p.g.tracer = tracing.NewTracer(tracing.TracerConfig{Exporter: &forgetful{}, Queue: 1 << 30, QueueBytes: 1 << 40})
			defer p.g.tracer.Shutdown(b.Context())
			r := &p.client.request
			p.g.begin(&p.ctx, p.client, r)
			view := viewOf(&p.ctx, &r.view, p.client.addr)
			p.g.classify(&view, r)
			r.upstream, r.trail.Flags = p.g.present.Load().upstreams["app"], flags
			b.ReportAllocs()
			now := time.Now()
			for b.Loop() {
				r.described = nil
				r.journal.begin(r.trail.SpanID)
				r.journal.waiting("app")
				r.journal.waited(now, scheduler.Wait{}, "")
				r.journal.tried(r.upstream.servers[0])
				r.journal.answered(fasthttp.StatusOK)
				p.g.record(now, fasthttp.StatusOK, p.client, r)
			}
		})
	}
}

// forgetful is an exporter that does nothing.
type forgetful struct{}

// Export implements tracing.Exporter.
func (forgetful) Export(context.Context, []tracing.Span) error { return nil }

// Close implements tracing.Exporter.
func (forgetful) Close(context.Context) error { return nil }
