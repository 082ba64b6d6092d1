package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/valyala/fasthttp"
	"golang.org/x/time/rate"
)

// farm is servers of one upstream that answer alike and note what came to which of
// them.
type farm struct {
	mu    sync.Mutex
	calls []farmCall
	urls  []string
}

type farmCall struct {
	server int
	head   string
	body   string
}

// serveFarm runs n servers. Each calls converse for the n-th request that comes to
// the farm, from 0 on, which answers or fails it.
func serveFarm(t *testing.T, n int, converse func(c net.Conn, nth int)) *farm {
	f := &farm{}
	for server := range n {
		app := serveRaw(t)
		f.urls = append(f.urls, app.url())
		app.each(func(c net.Conn) {
			br := bufio.NewReader(c)
			for {
				head, err := readHead(br)
				if err != nil {
					return
				}
				converse(c, f.note(server, head, br))
			}
		})
	}
	return f
}

func (f *farm) note(server int, head string, br *bufio.Reader) (nth int) {
	call := farmCall{server: server, head: head}
	if length := values(head, "Content-Length"); len(length) == 1 {
		var n int
		fmt.Sscan(length[0], &n)
		body := make([]byte, n)
		io.ReadFull(br, body)
		call.body = string(body)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
	return len(f.calls) - 1
}

func (f *farm) all() []farmCall {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]farmCall(nil), f.calls...)
}

// upstream is the configuration of the farm as an upstream, with more keys of it.
func (f *farm) upstream(more string) string {
	return fmt.Sprintf("upstreams: {app: {servers: ['%s'], limit: {max: 4}, %s}}", strings.Join(f.urls, "', '"), more)
}

// fails closes the connection after text, on all but the request that answersAt
// names.
func fails(text string, answersAt int) func(net.Conn, int) {
	return func(c net.Conn, nth int) {
		if nth == answersAt {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			return
		}
		io.WriteString(c, text)
		c.Close()
	}
}

// TestSentAgain: a request that was sent is sent once more, to another server, only if
// it may be repeated and nothing of a response came.
func TestSentAgain(t *testing.T) {
	const retry = "retry: {attempts: 2}"
	for _, tc := range []struct {
		name, method string
		body         int
		text, config string
		status       int // 200 by the second server
	}{
		{"no answer", "GET", 0, "", retry, 200},
		{"no answer, HEAD", "HEAD", 0, "", retry, 200},
		{"no answer, small body", "PUT", 8000, "", retry, 200},
		{"no answer, DELETE with a body", "DELETE", 1, "", retry, 200},
		{"no answer, body that is not kept", "PUT", 100_000, "", retry, 502},
		{"no answer, not idempotent", "POST", 0, "", retry, 502},
		{"no answer, not idempotent, with a body", "PATCH", 10, "", retry, 502},
		{"no answer, nothing configured", "GET", 0, "", "timeout: 30s", 502},
		{"no answer, one attempt", "GET", 0, "", "retry: {attempts: 1}", 502},
		{"one byte", "GET", 0, "H", retry, 502},
		{"an interim response", "GET", 0, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", retry, 502},
		{"half a header", "GET", 0, "HTTP/1.1 200 OK\r\nContent-Le", retry, 502},
		{"not HTTP", "GET", 0, "SSH-2.0-OpenSSH\r\n\r\n", retry, 502},
		{"an answer that says so", "GET", 0, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", retry, 503},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := serveFarm(t, 2, fails(tc.text, 1))
			g := start(t, f.upstream(tc.config), "")
			body := strings.Repeat("b", tc.body)
			got := g.fetch(tc.method, "/once?x=1", strings.NewReader(body))
			if got.err != nil || got.StatusCode != tc.status {
				t.Fatalf("got %v, %v, want %d", got.Response, got.err, tc.status)
			}
			calls := f.all()
			if tc.status != 200 {
				if len(calls) != 1 {
					t.Errorf("it was sent %d times: %v", len(calls), calls)
				}
				return
			}
			if len(calls) != 2 || calls[0].server == calls[1].server {
				t.Fatalf("it was sent to %v", calls)
			}
			if calls[0].head != calls[1].head || !strings.HasPrefix(calls[1].head, tc.method+" /once?x=1 ") || calls[1].body != body {
				t.Errorf("what was sent first and then:\n%+v\n%+v", calls[0], calls[1])
			}
			g.wantMetric(`overtake_retries_total{result="answered",upstream="app"} 1`)
		})
	}
}

// TestAttempts: no more than configured, each on another server, whatever the budget.
func TestAttempts(t *testing.T) {
	for _, tc := range []struct{ servers, attempts, want int }{{1, 3, 1}, {2, 3, 2}, {4, 3, 3}, {4, 10, 4}} {
		f := serveFarm(t, tc.servers, fails("", -1))
		g := start(t, f.upstream(fmt.Sprintf("retry: {attempts: %d, budget: 100%%}", tc.attempts)), "")
		wantRefusal(t, g.get("/"), 502, "upstream_failed")
		on := make(map[int]bool)
		for _, call := range f.all() {
			on[call.server] = true
		}
		if n := len(f.all()); n != tc.want || len(on) != tc.want {
			t.Errorf("%d servers and %d attempts: sent %d times, to %v", tc.servers, tc.attempts, n, on)
		}
		failed := 0
		if tc.want > 1 {
			failed = 1
		}
		g.wantMetric(fmt.Sprintf(`overtake_retries_total{result="failed",upstream="app"} %d`, failed))
	}
}

// TestRetryBudget: when it is used up, requests fail by what the first server said;
// what was not sent goes to another server all the same.
func TestRetryBudget(t *testing.T) {
	f := serveFarm(t, 2, fails("", -1))
	f.urls = append(f.urls, deadAddress(t))
	g := start(t, f.upstream("retry: {attempts: 2, budget: 0%}, eject: {failures: 0}"), "")
	g.upstreams["app"].budget.anyway = rate.NewLimiter(0, 2)
	for range 5 {
		wantRefusal(t, g.get("/"), 502, "upstream_failed")
	}
	if n := len(f.all()); n != 7 {
		t.Errorf("5 requests and 2 retries were sent %d times", n)
	}
	g.wantMetric(`overtake_retries_total{result="no_budget",upstream="app"} 3`)
	g.wantMetric(`overtake_server_up{server="` + f.urls[2] + `",upstream="app"} 0`)
}

// TestTryTimeout: a server that hangs costs its try's time, and another one answers;
// the upstream's timeout is for all tries together.
func TestTryTimeout(t *testing.T) {
	hangs := func(answersAt int) func(net.Conn, int) {
		return func(c net.Conn, nth int) {
			if nth == answersAt {
				io.WriteString(c, okNoBody)
			}
		}
	}
	t.Run("another server answers", func(t *testing.T) {
		f := serveFarm(t, 2, hangs(1))
		g := start(t, f.upstream("timeout: 1m, try_timeout: 50ms, retry: {}"), "")
		if got := g.get("/"); got.StatusCode != 200 || len(f.all()) != 2 {
			t.Errorf("got %s after %d tries", got.Status, len(f.all()))
		}
	})
	t.Run("with an upload that is not kept", func(t *testing.T) {
		f := serveFarm(t, 2, hangs(1))
		g := start(t, f.upstream("timeout: 1m, try_timeout: 50ms, retry: {}"), "")
		wantRefusal(t, g.fetch("PUT", "/", bytes.NewReader(make([]byte, 100_000))), 504, "upstream_timeout")
		if got := g.get("/"); got.StatusCode != 200 {
			t.Errorf("afterwards: %s", got.Status)
		}
	})
	t.Run("all of them hang", func(t *testing.T) {
		f := serveFarm(t, 4, hangs(-1))
		g := start(t, f.upstream("timeout: 200ms, try_timeout: 120ms, retry: {attempts: 10, budget: 100%}"), "")
		wantRefusal(t, g.get("/"), 504, "upstream_timeout")
		if n := len(f.all()); n > 2 {
			t.Errorf("%d tries of 120ms in 200ms", n)
		}
		blamed := 0
		for _, h := range g.upstreams["app"].standings() {
			blamed += h.failed
		}
		if blamed != 1 { // the second try had not the time of one
			t.Errorf("%d servers are blamed", blamed)
		}
	})
}

// TestDeliveryIsNotSentAgain: a message comes again by its queue alone, as many times
// as that says, whatever the upstream's retry is.
func TestDeliveryIsNotSentAgain(t *testing.T) {
	f := serveFarm(t, 3, fails("", -1))
	q := newFakeQueue()
	g := start(t, f.upstream("retry: {attempts: 3, budget: 100%}, eject: {failures: 0}")+`
routes: [{match: {path: /jobs}, queue: jobs}, {upstream: app}]
queues: {jobs: {deliver: {upstream: app}, attempts: 2}}
`, "", q.open())
	if got := g.fetch("PUT", "/jobs", strings.NewReader("work")); got.StatusCode != 202 {
		t.Fatalf("status %d", got.StatusCode)
	}
	eventually(t, "the message is dead", func() bool { return g.settlements("dead") == 1 })
	var attempts []string
	for _, call := range f.all() {
		attempts = append(attempts, values(call.head, "Latency-Attempt")...)
		if call.body != "work" {
			t.Errorf("body %q", call.body)
		}
	}
	if got := strings.Join(attempts, " "); got != "1 2" {
		t.Errorf("the attempts that reached the app: %s", got)
	}
}

// TestDeliveryOfWhatWasNotSent: where no connection can be made, a delivery goes to
// another server at once, as the same attempt.
func TestDeliveryOfWhatWasNotSent(t *testing.T) {
	f := serveFarm(t, 1, fails("", 0))
	f.urls = append(f.urls, deadAddress(t), deadAddress(t))
	q := newFakeQueue()
	g := start(t, f.upstream("timeout: 1m")+`
routes: [{match: {path: /jobs}, queue: jobs}, {upstream: app}]
queues: {jobs: {deliver: {upstream: app}, attempts: 1}}
`, "", q.open())
	if got := g.fetch("POST", "/jobs", strings.NewReader("work")); got.StatusCode != 202 {
		t.Fatalf("status %d", got.StatusCode)
	}
	eventually(t, "the message is done", func() bool { return g.settlements("done") == 1 })
	if calls := f.all(); len(calls) != 1 || calls[0].body != "work" {
		t.Errorf("the app got %+v", calls)
	}
}

// TestStaleConnectionIsMadeAnew: a request that met a kept connection which its server
// just closed goes on by a new one, not by the next of those.
func TestStaleConnectionIsMadeAnew(t *testing.T) {
	app := serveRaw(t)
	g := start(t, "", app.url())
	answers := make(chan fetched, 2)
	var kept []*peer
	for range 2 {
		go func() { answers <- g.fetch("GET", "/", nil) }()
		up := app.next()
		up.head()
		kept = append(kept, up)
	}
	for _, up := range kept {
		up.send(okNoBody)
		receive(t, "an answer", answers)
	}
	eventually(t, "both connections are kept", func() bool { return len(idleConns(g)) == 2 })
	for _, up := range kept {
		go func() { // when the next request comes
			if _, err := readHead(up.br); err == nil {
				up.Close()
			}
		}()
	}
	go func() { answers <- g.fetch("GET", "/", nil) }()
	select {
	case c := <-app.accepted:
		up := newPeer(t, c)
		up.head()
		up.send(okNoBody)
		if got := receive(t, "the answer", answers); got.StatusCode != 200 {
			t.Errorf("got %v, %v", got.Response, got.err)
		}
	case got := <-answers:
		t.Errorf("without a new connection: %v, %v", got.Response, got.err)
	}
}

// TestKeptConnectionOfAServerThatDied: what was sent on it is repeated by another
// server without a retry being configured, if it may be.
func TestKeptConnectionOfAServerThatDied(t *testing.T) {
	dying := serveRaw(t)
	g := start(t, fmt.Sprintf("upstreams: {app: {servers: [$APP, %q], limit: {max: 4}}}", serveApp(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "alive")
	})), dying.url())
	first := make(chan fetched, 1)
	var up *peer
	for up == nil {
		go func() { first <- g.fetch("GET", "/first", nil) }()
		select {
		case c := <-dying.accepted:
			up = newPeer(t, c)
			up.head()
			up.send(okNoBody)
			receive(t, "its answer", first)
		case <-first: // by the other one
		}
	}
	eventually(t, "the connection is kept", func() bool { return len(idleConns(g)) >= 1 })
	answered := make(chan fetched, 2)
	for range 2 { // so that one of them goes there
		go func() { answered <- g.fetch("GET", "/second", nil) }()
	}
	up.head()
	dying.ln.Close()
	up.Close()
	for range 2 {
		if got := receive(t, "an answer", answered); got.body != "alive" {
			t.Errorf("got %q, %v", got.body, got.err)
		}
	}
	eventually(t, "the server is known to be down", func() bool { return g.upstreams["app"].standings()[0].standing == serverDown })
}

// TestBodyThatIsReadAtOnceFails: the client is told why, also where its body is not
// streamed, and the server is not to blame.
func TestBodyThatIsReadAtOnceFails(t *testing.T) {
	app := serveRaw(t)
	app.answering("") // nothing, that is
	g := start(t, "upstreams: {app: {servers: [$APP], limit: {max: 1}, retry: {}}}", app.url())
	u := g.upstreams["app"]
	for _, idempotent := range []bool{true, false} { // read before the head is sent, or after
		s := &slot{upstream: u}
		if err := s.acquire(testContext(t)); err != nil {
			t.Fatal(err)
		}
		o := &outbound{
			head: []byte("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"), length: 5,
			body: iotest.ErrReader(tooSlow("it does not come")), timeout: patience,
		}
		_, err := u.do(new(lifetime), s, o, new(fasthttp.ResponseHeader), idempotent)
		if f := asFailure(err); f.reason != reasonBadRequest || f.code() != http.StatusRequestTimeout {
			t.Errorf("idempotent %v: %d, %v", idempotent, f.code(), err)
		}
		if h := u.standings()[0]; h.failed != 0 {
			t.Errorf("idempotent %v: the server failed %d times", idempotent, h.failed)
		}
	}
}
