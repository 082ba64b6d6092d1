package gateway

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/gateway/console"
	"overtake/scheduler"
)

// The parts of a request's way that are left when it waits for nothing.

// BenchmarkKept is what it costs to see that an idle connection is still good.
func BenchmarkKept(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	s, err := newServer("http://"+ln.Addr().String(), nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	c, err := s.dial(b.Context(), 0, time.Time{})
	if err != nil {
		b.Fatal(err)
	}
	s.put(c)
	b.ReportAllocs()
	for b.Loop() {
		c := s.kept(0)
		if c == nil {
			b.Fatal("the connection is gone")
		}
		s.put(c)
	}
	s.retire()
}

func BenchmarkCleanResponse(b *testing.B) {
	const raw = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Fri, 20 Nov 2026 10:00:00 GMT\r\nContent-Type: text/html\r\n" +
		"Content-Length: 100\r\nConnection: keep-alive\r\nLast-Modified: Fri, 20 Nov 2026 09:00:00 GMT\r\nETag: \"8f14e45f\"\r\n" +
		"Cache-Control: max-age=60\r\nVary: Accept-Encoding\r\n\r\n"
	var received, h fasthttp.ResponseHeader
	received.DisableNormalizing()
	if err := received.Read(bufio.NewReader(strings.NewReader(raw))); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() { // the copy is counted, too: what is cleaned is clean
		received.CopyTo(&h)
		cleanResponse(&h)
	}
}

func BenchmarkFinished(b *testing.B) {
	p := newParts(b)
	b.ReportAllocs()
	for b.Loop() {
		p.g.metrics.waited("app", "interactive", time.Millisecond)
		p.g.metrics.finished("public", "interactive", fasthttp.StatusOK, time.Millisecond)
	}
}

// BenchmarkShow is what the console adds to a request that is not slow: noting what
// happens is in it.
func BenchmarkShow(b *testing.B) {
	p := newParts(b)
	r := &p.client.request
	p.g.begin(&p.ctx, p.client, r)
	view := viewOf(&p.ctx, &r.view, p.client.addr)
	p.g.classify(&view, r)
	r.upstream = p.g.present.Load().upstreams["app"]
	class := int(r.decision.Class)
	for range 10 { // what follows is not slow
		p.g.console.Slow(class, time.Hour, console.Slow{})
	}
	b.ReportAllocs()
	now := r.started.Add(time.Millisecond)
	for b.Loop() {
		r.journal.begin(r.trail.SpanID)
		r.journal.waiting("app")
		r.journal.waited(now, scheduler.Wait{}, "")
		r.journal.tried(r.upstream.servers[0])
		r.journal.answered(fasthttp.StatusOK)
		r.journal.ended(now, nil)
		p.g.console.Hit(r.decision.Rule)
		p.g.show(now, fasthttp.StatusOK, p.client, r, false)
	}
}
