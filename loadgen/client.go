package loadgen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/loadgen/completion"
)

const (
	dialTimeout = 10 * time.Second
	// idleTimeout is below that of any usual server, so that a request rarely
	// meets a connection that the server is just closing: nothing is retried.
	idleTimeout = 2 * time.Second
)

// client sends requests to one target. Every request is tried once, on a
// connection of its own while it lasts, and never waits for one.
type client struct {
	http    *fasthttp.HostClient
	timeout time.Duration // of one request
	open    *openConns
	aborted atomic.Bool // the run has ended: what is unanswered stays so
}

func newClient(t target, maxConns int, timeout time.Duration, tlsConfig *tls.Config) *client {
	open := newOpenConns()
	return &client{
		timeout: timeout,
		open:    open,
		http: &fasthttp.HostClient{
			Addr:                      t.addr,
			IsTLS:                     t.tls,
			TLSConfig:                 tlsConfig,
			Dial:                      open.dial,
			Name:                      "overtake-loadgen",
			MaxConns:                  maxConns,
			MaxIdleConnDuration:       idleTimeout,
			MaxIdemponentCallAttempts: 1,
			RetryIfErr:                func(*fasthttp.Request, int, error) (bool, bool) { return false, false },
			ConnPoolStrategy:          fasthttp.LIFO,
			StreamResponseBody:        true,
			DisablePathNormalizing:    true,
		},
	}
}

// requestTemplate is what all requests of one stream have in common. It is immutable.
type requestTemplate struct {
	request   *fasthttp.Request
	body      []byte
	bodyBytes int64
	job       bool
}

func newTemplate(t target, s Class) requestTemplate {
	req := &fasthttp.Request{}
	req.Header.DisableNormalizing()
	method := s.Request.Method
	if method == "" {
		method = "GET"
	}
	req.Header.SetMethod(method)
	req.SetRequestURI(t.url + s.Request.Path)
	for _, f := range s.Request.Fields {
		if strings.EqualFold(f.Name, "Host") {
			req.UseHostHeader = true
			req.Header.SetHost(f.Value)
			continue
		}
		req.Header.Add(f.Name, f.Value)
	}
	return requestTemplate{request: req, body: s.Request.Body, bodyBytes: s.Request.BodyBytes, job: s.Job}
}

// do sends one request, reads the answer to its end and judges it.
func (c *client) do(t requestTemplate, id string) Outcome {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	t.request.CopyTo(req)
	req.Header.Set(completion.HeaderID, id)
	req.SetTimeout(c.timeout)
	switch {
	case len(t.body) > 0:
		req.SetBodyRaw(t.body)
	case t.bodyBytes > 0:
		req.SetBodyStream(io.LimitReader(filler{}, t.bodyBytes), int(t.bodyBytes))
	}
	if err := c.http.Do(req, resp); err != nil {
		return c.judgeError(err, 0)
	}
	var size int64
	if stream := resp.BodyStream(); stream != nil {
		n, err := io.Copy(io.Discard, stream)
		closeErr := resp.CloseBodyStream()
		if err = errors.Join(err, closeErr); err != nil {
			return c.judgeError(err, n)
		}
		size = n
	}
	o := classifyStatus(resp.StatusCode(), string(resp.Header.Peek(HeaderReason)), t.job)
	o.Bytes = size
	return o
}

func (c *client) judgeError(err error, size int64) Outcome {
	o := classifyError(err)
	if c.aborted.Load() {
		o = Outcome{Kind: OutcomeUnfinished}
	}
	o.Bytes = size
	return o
}

// abort ends every request that is still unanswered. No request succeeds after
// it.
func (c *client) abort() {
	c.aborted.Store(true)
	c.open.close()
	c.http.CloseIdleConnections()
}

// openConns are the connections of a client, so that a run can end without
// waiting for answers that never come.
type openConns struct {
	dialing context.Context // ends with close
	cancel  context.CancelFunc

	mu     sync.Mutex
	conns  map[*openConn]struct{}
	closed bool
}

func newOpenConns() *openConns {
	ctx, cancel := context.WithCancel(context.Background())
	return &openConns{dialing: ctx, cancel: cancel, conns: make(map[*openConn]struct{})}
}

func (o *openConns) dial(addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(o.dialing, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &openConn{Conn: conn, owner: o}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	o.conns[c] = struct{}{}
	return c, nil
}

// close closes all connections and refuses new ones.
func (o *openConns) close() {
	o.cancel()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for c := range o.conns {
		_ = c.Conn.Close() // the reader gets the error
	}
	clear(o.conns)
}

type openConn struct {
	net.Conn
	owner *openConns
}

func (c *openConn) Close() error {
	c.owner.mu.Lock()
	delete(c.owner.conns, c)
	c.owner.mu.Unlock()
	return c.Conn.Close()
}

// probe finds out whether anything listens at the target, before load starts.
func probe(ctx context.Context, t target) error {
	d := net.Dialer{Timeout: 3 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", t.addr)
	switch {
	case err == nil:
		_ = conn.Close()
		return nil
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("loadgen: target %s refused the connection; is the gateway running there? (%w)", t.url, err)
	default:
		return fmt.Errorf("loadgen: target %s can't be reached: %w", t.url, err)
	}
}

// filler is an endless reader of printable Bytes: payload that costs no memory.
type filler struct{}

func (filler) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}
