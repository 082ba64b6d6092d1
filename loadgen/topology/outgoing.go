package topology

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/loadgen/app"
)

// idleTimeout is below that of any usual server, so that a call rarely meets a
// connection that the server is just closing: nothing is tried again.
const idleTimeout = 2 * time.Second

// outgoing makes the calls of one service, over connections that are its own.
type outgoing struct {
	addresses map[string]string // of the other services
	proxy     string            // the sidecar's outbound listener; "" for none

	dialing context.Context // ends with close
	cancel  context.CancelFunc

	mu      sync.Mutex
	clients map[string]*fasthttp.HostClient // by the address that they dial
	conns   map[net.Conn]struct{}           // open, so that close can end what is unanswered
}

// request is one call, or a message for a job route. service and path, or url, say
// where it goes.
type request struct {
	service, url, path, method string
	body                       int64
	timeout                    time.Duration
	headers                    []header
}

func newOutgoing(addresses map[string]string, proxy string) *outgoing {
	o := &outgoing{
		addresses: addresses, proxy: proxy,
		clients: make(map[string]*fasthttp.HostClient), conns: make(map[net.Conn]struct{}),
	}
	o.dialing, o.cancel = context.WithCancel(context.Background())
	return o
}

// send makes one call and reads the answer to its end. Any status below 400 is
// well.
func (o *outgoing) send(r request) error {
	host, target := o.addresses[r.service], r.path
	if r.url != "" {
		u, err := url.Parse(r.url)
		if err != nil {
			return err
		}
		host, target = u.Host, u.RequestURI()
	}
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.Header.DisableNormalizing()
	req.Header.SetNoDefaultContentType(true)
	req.Header.SetMethod(r.method)
	for _, h := range r.headers {
		req.Header.Add(h.name, h.value)
	}
	dial := host
	if o.proxy == "" {
		req.SetRequestURI("http://" + host + target)
	} else {
		// A proxy gets the whole URL as request target (RFC 9112, 3.2.2). The client
		// writes the path as it is, so the URL is put there.
		dial = o.proxy
		req.SetRequestURI("http://" + o.proxy + "/")
		req.URI().SetPath("http://" + host + target)
		req.UseHostHeader = true
		req.Header.SetHost(host)
	}
	if r.body > 0 {
		req.SetBodyStream(io.LimitReader(app.Filler{}, r.body), int(r.body))
	}
	req.SetTimeout(r.timeout)
	if err := o.client(dial).Do(req, resp); err != nil {
		if errors.Is(err, fasthttp.ErrTimeout) {
			return fmt.Errorf("no answer within %v", r.timeout)
		}
		return err
	}
	if stream := resp.BodyStream(); stream != nil {
		_, err := io.Copy(io.Discard, stream)
		if err = errors.Join(err, resp.CloseBodyStream()); err != nil {
			return fmt.Errorf("the answer broke off: %w", err)
		}
	}
	if status := resp.StatusCode(); status >= 400 {
		return fmt.Errorf("status %d", status)
	}
	return nil
}

func (o *outgoing) client(address string) *fasthttp.HostClient {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.clients[address]
	if c == nil {
		c = &fasthttp.HostClient{
			Addr:                      fasthttp.AddMissingPort(address, false),
			Dial:                      o.dial,
			MaxConns:                  1 << 20, // a service never waits for a connection
			MaxIdleConnDuration:       idleTimeout,
			MaxIdemponentCallAttempts: 1,
			RetryIfErr:                func(*fasthttp.Request, int, error) (bool, bool) { return false, false },
			ConnPoolStrategy:          fasthttp.LIFO,
			StreamResponseBody:        true,
			DisablePathNormalizing:    true,
			NoDefaultUserAgentHeader:  true,
		}
		o.clients[address] = c
	}
	return c
}

func (o *outgoing) dial(address string) (net.Conn, error) {
	d := net.Dialer{Timeout: DefaultTimeout}
	conn, err := d.DialContext(o.dialing, "tcp", address)
	if err != nil {
		return nil, err
	}
	tracked := &trackedConn{Conn: conn, of: o}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dialing.Err() != nil { // closed meanwhile
		return nil, errors.Join(o.dialing.Err(), conn.Close())
	}
	o.conns[tracked] = struct{}{}
	return tracked, nil
}

// close ends every call that is still unanswered, and closes all connections.
func (o *outgoing) close() {
	o.cancel()
	o.mu.Lock()
	conns, clients := slices.Collect(maps.Keys(o.conns)), slices.Collect(maps.Values(o.clients))
	o.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
	}
	for _, c := range clients {
		c.CloseIdleConnections()
	}
}

// trackedConn is a connection that its owner can find.
type trackedConn struct {
	net.Conn
	of *outgoing
}

func (c *trackedConn) Close() error {
	c.of.mu.Lock()
	delete(c.of.conns, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}
