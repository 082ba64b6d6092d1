package gateway

import (
	"fmt"
	"net"
	"strings"

	"github.com/valyala/fasthttp"

	"overtake/scheduler"
)

// upgradeOf returns the protocol that a request wants its connection to switch to, if
// that can be passed on; "" for none. options are those of its Connection. What can't
// be is left out, which RFC 9110 section 7.8 allows.
func upgradeOf(ctx *fasthttp.RequestCtx, r *request, options string) string {
	if options == "" || r.bodyRead != nil || !ctx.Request.Header.IsHTTP11() || !listed(options, "Upgrade") {
		return ""
	}
	protocol, _ := r.fields.lookup("Upgrade")
	name, version, versioned := strings.Cut(protocol, "/")
	if !isToken(name) || versioned && !isToken(version) {
		return "" // none, or a list, of which the app would choose what is not for it
	}
	for _, behind := range []string{"h2c", "h2", "h3", "HTTP", "HTTPS", "TLS"} {
		if strings.EqualFold(name, behind) {
			return "" // more requests, which nobody would have classified
		}
	}
	return protocol
}

// upgrade notes that the server has switched to another protocol. It must be the one
// that it was asked for.
func (a *answer) upgrade(asked string) error {
	var got strings.Builder
	for name, value := range a.header.All() {
		if strings.EqualFold(alias(name), "Upgrade") {
			got.WriteString(alias(value))
		}
	}
	if asked == "" || !strings.EqualFold(got.String(), asked) {
		return fmt.Errorf("the server switched to %.40q, and was asked for %.40q", got.String(), asked)
	}
	a.upgraded = asked
	return nil
}

// switchOver makes a tunnel of the client's connection and the server's, which have
// agreed on another protocol. It gives the slot back: nobody knows how much the app
// works for it, or when it will end.
func (g *Gateway) switchOver(ctx *fasthttp.RequestCtx, client *clientConn, r *request, a *answer) {
	a.header.Del(fasthttp.HeaderContentLength)
	a.header.Set("Connection", "Upgrade")
	a.header.Set("Upgrade", a.upgraded)
	greeting := string(a.header.Header())
	t := &tunnel{client: client, near: client.session.Conn, server: &switchedConn{a.conn}, status: fasthttp.StatusSwitchingProtocols}
	a.conn = nil
	r.tunnelled = true
	r.slot.release(scheduler.Unmeasured)
	g.hijack(ctx, client, r, func(c net.Conn) {
		t.sent = c // with what fasthttp has read ahead
		g.pass(t, greeting)
	})
}

// switchedConn is a connection to a server that speaks HTTP no more.
type switchedConn struct{ *upstreamConn }

// Read implements net.Conn, beginning with what came behind the response.
func (c *switchedConn) Read(p []byte) (int, error) { return c.br.Read(p) }

// CloseWrite ends what is sent to the server.
func (c *switchedConn) CloseWrite() error { return closeWrite(c.Conn) }
