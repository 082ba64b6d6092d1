package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// rawApp is an app made of bytes: each connection is a conversation that the
// test holds, or that answers until the app ends. It was started before the
// gateway and so ends after it: what is on its way then is answered.
type rawApp struct {
	t        *testing.T
	ln       net.Listener
	accepted chan net.Conn
	ctx      context.Context // ends the app
	running  sync.WaitGroup
}

func serveRaw(t *testing.T) *rawApp {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	app := &rawApp{t: t, ln: listenLoopback(t), accepted: make(chan net.Conn, 64), ctx: ctx}
	t.Cleanup(func() {
		cancel()
		app.ln.Close()
		app.running.Wait()
	})
	app.running.Go(func() {
		for {
			c, err := app.ln.Accept()
			if err != nil {
				return
			}
			app.running.Go(func() { <-ctx.Done(); c.Close() })
			select {
			case app.accepted <- c:
			case <-ctx.Done():
				return
			}
		}
	})
	return app
}

func (a *rawApp) url() string { return "http://" + a.ln.Addr().String() }

// next is the next connection that the gateway makes, which is closed before the
// gateway ends.
func (a *rawApp) next() *peer {
	a.t.Helper()
	return newPeer(a.t, receive(a.t, "a connection to the app", a.accepted))
}

// answering makes every connection answer every request by the text, and records
// the headers that came.
func (a *rawApp) answering(text string) *recorder {
	r := &recorder{}
	a.each(func(c net.Conn) { r.answer(c, text) })
	return r
}

// each runs converse for every connection, which it closes afterwards.
func (a *rawApp) each(converse func(net.Conn)) {
	a.running.Go(func() {
		for {
			select {
			case c := <-a.accepted:
				a.running.Go(func() { defer c.Close(); converse(c) })
			case <-a.ctx.Done():
				return
			}
		}
	})
}

// recorder keeps the heads of requests as they came.
type recorder struct {
	mu    sync.Mutex
	heads []string
}

// answer answers what comes on c until its end.
func (r *recorder) answer(c net.Conn, text string) {
	br := bufio.NewReader(c)
	for {
		head, err := readHead(br)
		if err != nil {
			return
		}
		r.add(head)
		io.WriteString(c, text)
	}
}

func (r *recorder) add(head string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heads = append(r.heads, head)
}

func (r *recorder) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.heads...)
}

// last is the head of the last request.
func (r *recorder) last(t *testing.T) string {
	t.Helper()
	heads := r.all()
	if len(heads) == 0 {
		t.Fatal("no request reached the app")
	}
	return heads[len(heads)-1]
}

// peer is one end of a connection that a test speaks on byte by byte.
type peer struct {
	net.Conn
	t  *testing.T
	br *bufio.Reader
}

func newPeer(t *testing.T, c net.Conn) *peer {
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return &peer{Conn: c, t: t, br: bufio.NewReader(c)}
}

// dial opens a connection to the gateway.
func (g *testGateway) dial() *peer {
	g.t.Helper()
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	return newPeer(g.t, c)
}

func (p *peer) send(parts ...string) {
	p.t.Helper()
	if _, err := io.WriteString(p, strings.Join(parts, "")); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

// head reads a message up to and with its empty line.
func (p *peer) head() string {
	p.t.Helper()
	head, err := readHead(p.br)
	if err != nil {
		p.t.Fatalf("reading a head: %v, after %q", err, head)
	}
	return head
}

func readHead(br *bufio.Reader) (string, error) {
	var head strings.Builder
	for {
		line, err := br.ReadString('\n')
		head.WriteString(line)
		if err != nil || line == "\r\n" {
			return head.String(), err
		}
	}
}

// body reads exactly n bytes.
func (p *peer) body(n int) string {
	p.t.Helper()
	b := make([]byte, n)
	if n, err := io.ReadFull(p.br, b); err != nil {
		p.t.Fatalf("reading %d bytes: %v, after %q", len(b), err, b[:n])
	}
	return string(b)
}

// response reads one response to a request of the method.
func (p *peer) response(method string) (*http.Response, string) {
	p.t.Helper()
	resp, err := http.ReadResponse(p.br, &http.Request{Method: method})
	if err != nil {
		p.t.Fatalf("reading a response: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatalf("reading the response's body: %v, after %d bytes", err, len(body))
	}
	return resp, string(body)
}

// closed checks that the other side has closed the connection, and sent nothing
// more.
func (p *peer) closed() {
	p.t.Helper()
	rest, err := io.ReadAll(p.br)
	if len(rest) > 0 {
		p.t.Errorf("after the end came %q", rest)
	}
	if errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		p.t.Errorf("the connection was left open: %v", err)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// lines returns the header lines of a head, without the first and the last.
func lines(head string) []string {
	all := strings.Split(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n")
	return all[1:]
}

// values returns the values of a field in a head, in order, by its exact name.
func values(head, name string) []string {
	var out []string
	for _, line := range lines(head) {
		if n, v, _ := strings.Cut(line, ": "); n == name {
			out = append(out, v)
		}
	}
	return out
}
