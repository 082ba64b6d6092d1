package gateway

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/gateway/config"
)

const (
	// headerPatience is how long a client may take to send a request's header.
	headerPatience = 10 * time.Second
	// idlePatience is how long a connection may stay idle between requests.
	idlePatience = 2 * time.Minute
	// headerBytes bounds a request's header. It is allocated per connection.
	headerBytes = 16 << 10
)

// listener accepts the connections of one address.
type listener struct {
	name         string
	role         string
	trust        []netip.Prefix
	abortOnClose bool
	leavers      *leavers
	inner        net.Listener
	server       *fasthttp.Server
	done         chan struct{}  // closed when Serve has returned
	redirected   sync.WaitGroup // connections that were redirected here
}

// listen opens the address of cfg. Nothing is accepted before serve.
func (g *Gateway) listen(cfg config.Listener) (*listener, error) {
	l := &listener{
		name: cfg.Name, role: cfg.Role, trust: cfg.Trust, leavers: g.leavers, done: make(chan struct{}),
		abortOnClose: cfg.AbortOnClose == nil || *cfg.AbortOnClose,
	}
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
	l.server = &fasthttp.Server{
		Handler:                       g.serve,
		HeaderReceived:                seeExpectation,
		ErrorHandler:                  g.badRequest,
		Name:                          "overtake",
		NoDefaultServerHeader:         true,
		NoDefaultContentType:          true,
		NoDefaultDate:                 true,
		DisableHeaderNamesNormalizing: true,
		DisablePreParseMultipartForm:  true,
		StreamRequestBody:             true,
		CloseOnShutdown:               true,
		SecureErrorLogMessage:         true,
		ReadTimeout:                   headerPatience,
		IdleTimeout:                   idlePatience,
		ReadBufferSize:                headerBytes,
		Logger:                        fasthttpLog{g.log},
	}
	return l, nil
}

// serve accepts until the listener is closed.
func (l *listener) serve(g *Gateway, tlsConfig *tls.Config, log *slog.Logger) {
	defer close(l.done)
	if err := l.server.Serve(acceptor{l.inner, g, l, tlsConfig}); err != nil {
		log.Error("listener ended", "listener", l.name, "error", err)
	}
}

// shutdown stops accepting and waits until no connection is left: idle ones are
// closed, the others after the request that they serve.
func (l *listener) shutdown() {
	// Not by ShutdownWithContext alone, which knows of no listener before Serve
	// has come to run.
	l.inner.Close()
	_ = l.server.ShutdownWithContext(context.Background()) // that it was closed already
	<-l.done
	l.redirected.Wait()
}

// trusts reports whether what a client says about classes is believed.
func trusts(networks []netip.Prefix, addr netip.Addr) bool {
	for _, network := range networks {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// acceptor makes client connections of accepted ones.
type acceptor struct {
	net.Listener
	g   *Gateway
	l   *listener
	tls *tls.Config // nil for plain HTTP
}

// Accept implements net.Listener.
func (a acceptor) Accept() (net.Conn, error) {
	for {
		c, err := a.Listener.Accept()
		if err != nil {
			return nil, err
		}
		cc := newClientConn(c, a.l)
		a.l.leavers.add(cc)
		if !cc.original.IsValid() {
			return a.secured(cc), nil
		}
		a.l.redirected.Go(func() { a.g.serveRedirected(a.l, cc) })
	}
}

// secured puts TLS over a connection where the listener has it.
func (a acceptor) secured(cc *clientConn) net.Conn {
	if a.tls != nil {
		return tlsConn{tls.Server(cc, a.tls)}
	}
	return cc
}

// seeExpectation lets fasthttp find an expectation that is spelled in another
// case: it would wait for a body that its client sends only after a 100.
func seeExpectation(h *fasthttp.RequestHeader) (none fasthttp.RequestConfig) {
	for _, name := range []string{fasthttp.HeaderExpect, "expect"} {
		if strings.EqualFold(alias(h.Peek(name)), "100-continue") {
			h.Set(fasthttp.HeaderExpect, "100-continue")
		}
	}
	return none
}

// tlsConfigOf loads a listener's certificate.
func tlsConfigOf(cfg *config.TLS) (*tls.Config, error) {
	if cfg == nil {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(cfg.Cert, cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("gateway: certificate %s: %w", cfg.Cert, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

// fasthttpLog puts what fasthttp has to say into the log. It is about single
// connections, mostly hostile or broken ones.
type fasthttpLog struct{ log *slog.Logger }

// Printf implements fasthttp.Logger.
func (l fasthttpLog) Printf(format string, args ...any) {
	l.log.Debug("http", "message", fmt.Sprintf(format, args...))
}
