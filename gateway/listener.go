package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/time/rate"

	"overtake/gateway/config"
)

// listener accepts the connections of one address.
type listener struct {
	number  int // in the configuration
	name    string
	role    string
	leavers *leavers
	inner   net.Listener
	// settings are for new connections.
	settings   atomic.Pointer[listenerSettings]
	clients    headcount
	lingering  chan struct{}  // one for each refused client that may still read why
	stop       chan struct{}  // closed when the drain begins
	done       chan struct{}  // closed when nothing is accepted any more
	conns      sync.WaitGroup // connections that are conversed with
	exhausted  rate.Sometimes // how often it is logged that nothing can be accepted
	complaints rate.Sometimes // how often refused connections are logged
}

// listenerSettings are what can change while a listener is open: each connection
// keeps those it began with, but for trust. They are immutable.
type listenerSettings struct {
	trust        []netip.Prefix
	proxies      []netip.Prefix // who sends a PROXY protocol header; nil for nobody
	abortOnClose bool
	limits       config.ListenerLimits
	certificates *certificates // nil for plain HTTP
	server       *fasthttp.Server
}

// writeBuffer is how many bytes of an answer go out together with its header.
const writeBuffer = 16 << 10

// listen opens the address of a listener of the first generation. Nothing is
// accepted before serve.
func (g *Gateway) listen(first *generation, number int) (*listener, error) {
	cfg := first.config.Listeners[number]
	l := &listener{
		number: number, name: cfg.Name, role: cfg.Role, leavers: g.leavers, stop: make(chan struct{}), done: make(chan struct{}),
		lingering:  make(chan struct{}, 100),
		exhausted:  rate.Sometimes{First: 1, Interval: time.Minute},
		complaints: rate.Sometimes{First: 1, Interval: time.Minute},
	}
	l.settings.Store(first.settings[number])
	var lc net.ListenConfig
	if g.sockets.Control(0) != nil {
		// Its sockets do not take all options. Clients go on without it.
		lc.SetMultipathTCP(false)
	}
	inner, err := lc.Listen(context.Background(), "tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("gateway: listener %s: %w; free the address or give another", cfg.Name, err)
	}
	l.inner = inner
	return l, nil
}

// listenerSettings are the settings that cfg asks for.
func (g *Gateway) listenerSettings(cfg config.Listener) (*listenerSettings, error) {
	s := &listenerSettings{
		trust: cfg.Trust, abortOnClose: cfg.AbortOnClose == nil || *cfg.AbortOnClose, limits: cfg.Limits,
	}
	if cfg.ProxyProtocol {
		s.proxies = cfg.ProxyProtocolFrom
	}
	if cfg.TLS != nil {
		var err error
		if s.certificates, err = newCertificates(cfg.TLS); err != nil {
			return nil, fmt.Errorf("gateway: listener %s: %w", cfg.Name, err)
		}
	}
	s.server = &fasthttp.Server{
		Handler:                       g.serve,
		HeaderReceived:                s.headerReceived,
		ExpectHandler:                 g.expected,
		ErrorHandler:                  g.badRequest,
		Name:                          "overtake",
		NoDefaultServerHeader:         true,
		NoDefaultContentType:          true,
		NoDefaultDate:                 true,
		DisableHeaderNamesNormalizing: true,
		DisablePreParseMultipartForm:  true,
		StreamRequestBody:             true,
		SecureErrorLogMessage:         true,
		ReadTimeout:                   s.limits.HeaderTimeout,
		IdleTimeout:                   parkAfter,
		ReadBufferSize:                int(s.limits.HeaderBytes),
		WriteBufferSize:               writeBuffer,
		Logger:                        fasthttpLog{g.log},
	}
	return s, nil
}

// serve accepts until the listener is closed.
func (l *listener) serve(g *Gateway) {
	defer close(l.done)
	const least, most = 5 * time.Millisecond, time.Second
	for pause := least; ; {
		c, err := l.inner.Accept()
		switch {
		case err == nil:
			pause = least
			cc := newClientConn(c, l)
			l.leavers.add(cc)
			l.conns.Go(func() { g.converse(l, cc) })
			continue
		case errors.Is(err, net.ErrClosed):
			return
		}
		// The process is out of descriptors or memory, which passes.
		l.exhausted.Do(func() { g.log.Error("connections can't be accepted", "listener", l.name, "error", err) })
		select {
		case <-l.stop:
			return
		case <-time.After(pause):
			pause = min(2*pause, most)
		}
	}
}

// shutdown stops accepting and waits until no connection is left: idle ones are
// closed, the others after the request that they serve.
func (l *listener) shutdown() {
	close(l.stop)
	l.inner.Close()
	<-l.done
	l.leavers.each(func(c *clientConn) {
		if c.listener == l {
			c.stopWaiting()
		}
	})
	l.conns.Wait()
}

// stopping reports whether the drain has begun.
func (l *listener) stopping() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// trusts reports whether what a client says about classes is believed.
func (gen *generation) trusts(c *clientConn) bool {
	s := gen.settings[c.listener.number]
	return contains(s.trust, c.addr) || s.certificates != nil && s.certificates.trusts(c.names)
}

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// headerReceived lets fasthttp find an expectation that is spelled in another way: it
// would wait for a body that its client sends only after a 100. It also says how much
// of a body of known length fasthttp is to read before the handler runs, and gives it
// the time of a body. Of one that is too large it reads nothing: expected is asked first.
func (s *listenerSettings) headerReceived(h *fasthttp.RequestHeader) (c fasthttp.RequestConfig) {
	switch {
	case tooLong(h, &s.limits) != nil:
		h.Set(fasthttp.HeaderExpect, "100-continue")
	case !h.IsHTTP11():
		h.Del(fasthttp.HeaderExpect) // RFC 9110 section 10.1.1: to be ignored
	case expects100(h):
		h.Set(fasthttp.HeaderExpect, "100-continue")
	}
	if length := h.ContentLength(); length > 0 {
		c.ReadTimeout = s.prefetchTime(length)
		if length > prefetched {
			c.MaxRequestBodySize = 1 // the rest is streamed
		}
	}
	return c
}

// prefetchTime is how long fasthttp may take to read the beginning of a body of known
// length, or all of a short one.
func (s *listenerSettings) prefetchTime(length int) time.Duration {
	if length > prefetched {
		length = 1
	}
	d := bodyTime(s.limits.BodyRate, length)
	if most := s.limits.RequestTimeout; most > 0 {
		d = min(d, most)
	}
	return d
}

// expected says what a client gets before its body is read: a 100, or, if the body is
// too large, the whole answer.
func (g *Gateway) expected(ctx *fasthttp.RequestCtx) int {
	client := clientOf(ctx.Conn())
	if tooLong(&ctx.Request.Header, &client.settings.limits) == nil {
		return fasthttp.StatusContinue
	}
	g.serve(ctx)
	client.linger.Store(true)
	return ctx.Response.StatusCode()
}

// expects100 reports whether a client waits for a 100 before it sends the body.
func expects100(h *fasthttp.RequestHeader) bool {
	if h.ContentLength() == -2 {
		return false // there is none
	}
	for name, value := range h.All() { // AllInOrder would unfold the lines that fields.read refuses
		if strings.EqualFold(alias(name), fasthttp.HeaderExpect) && strings.EqualFold(alias(value), "100-continue") {
			return true
		}
	}
	return false
}

// fasthttpLog puts what fasthttp has to say into the log. It is about single
// connections, mostly hostile or broken ones.
type fasthttpLog struct{ log *slog.Logger }

// Printf implements fasthttp.Logger.
func (l fasthttpLog) Printf(format string, args ...any) {
	l.log.Debug("http", "message", fmt.Sprintf(format, args...))
}
