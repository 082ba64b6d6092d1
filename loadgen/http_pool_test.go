package loadgen

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"overtake/loadgen/arrival"
	"overtake/loadgen/completion"
	"overtake/loadgen/content"
)

// Requests wait in line for one of the connections that a class may have. That
// is part of their latency, and no lag: the generator was in time.
func TestConnectionsMax(t *testing.T) {
	const size, work = 20, 5 * time.Millisecond
	var mu sync.Mutex
	var ids []string
	var open, most atomic.Int64
	url := serveRaw(t, func(nc net.Conn, in *bufio.Reader) {
		for req := takeRequest(in); req != nil; req = takeRequest(in) {
			mu.Lock()
			ids = append(ids, req.Header.Get(completion.HeaderID))
			mu.Unlock()
			most.Store(max(most.Load(), open.Add(1)))
			time.Sleep(work)
			open.Add(-1)
			_, _ = io.WriteString(nc, okAnswer)
		}
	})
	got, _ := runClass(t, url, 100*time.Millisecond, Class{
		Name: "a", Arrivals: arrival.Plan{Bursts: arrival.Bursts{Size: size}}, Connections: Connections{Max: 1}, Request: content.Spec{Path: "/"},
	}, Options{})
	if got.OK != size || most.Load() != 1 || !slices.IsSorted(ids) {
		t.Errorf("ok %d, %d at a time, order %v", got.OK, most.Load(), ids)
	}
	if got.Latency.Max.Duration() < size*work || got.Latency.P50.Duration() < size/2*work || got.Lag.Max >= got.Latency.P50 {
		t.Errorf("latency %+v, lag %+v", got.Latency, got.Lag)
	}
}

func TestConnectionsRequests(t *testing.T) {
	for _, bound := range []int64{1, 3} {
		var connections, most atomic.Int64
		url := serveRaw(t, func(nc net.Conn, in *bufio.Reader) {
			var n int64
			for takeRequest(in) != nil {
				if n++; n == 1 {
					connections.Add(1)
				}
				most.Store(max(most.Load(), n))
				_, _ = io.WriteString(nc, okAnswer)
			}
		})
		got, _ := runClass(t, url, 100*time.Millisecond, Class{
			Name: "a", Arrivals: arrival.Plan{Bursts: arrival.Bursts{Size: 6}}, Request: content.Spec{Path: "/"},
			Connections: Connections{Max: 1, Requests: int(bound)},
		}, Options{})
		if got.OK != 6 || most.Load() != bound || connections.Load() != 6/bound {
			t.Errorf("at most %d: ok %d, failed %v; %d connections with up to %d requests", bound, got.OK, got.Failed, connections.Load(), most.Load())
		}
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Proto != "HTTP/1.1" || r.TLS.ServerName != "example.com" && r.TLS.ServerName != "" {
			w.WriteHeader(500)
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	for name, test := range map[string]struct {
		config *tls.Config
		failed string
	}{
		"verified":     {config: &tls.Config{RootCAs: roots}},
		"other name":   {config: &tls.Config{RootCAs: roots, ServerName: "example.com"}},
		"not verified": {config: &tls.Config{InsecureSkipVerify: true}},
	} {
		got, _ := runClass(t, s.URL, 100*time.Millisecond, Class{
			Name: "a", Arrivals: arrival.Plan{Bursts: arrival.Bursts{Size: 3}}, Request: content.Spec{Path: "/"},
		}, Options{TLS: test.config})
		if got.Sent != 3 || got.FailedTotal() != got.Failed[test.failed] || (got.OK == 3) != (test.failed == "") {
			t.Errorf("%s: ok %d, failed %v", name, got.OK, got.Failed)
		}
	}
}

// sender is a class's HTTP sender without a run.
type sender struct {
	*httpSender
	loop     *loop
	class    Class
	outcomes chan Outcome
}

func openSender(t *testing.T, url string) *sender {
	t.Helper()
	s := &sender{class: Class{Name: "a", Timeout: time.Minute}, outcomes: make(chan Outcome, 100)}
	s.loop = openLoop(t)
	var err error
	if s.httpSender, err = openHTTP(t.Context(), Endpoint{Kind: kindHTTP, URL: url}, []Class{s.class}, map[string]*loop{"a": s.loop}, &tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// openLoop starts a loop, until the test ends.
func openLoop(t *testing.T) *loop {
	t.Helper()
	l, err := newLoop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	return l
}

// send sends one request.
func (s *sender) send(timeout time.Duration) {
	c := NewCall("a/1", &s.class, &content.Request{Method: "GET", Target: "/"}, timeout, func(_ *Call, o Outcome) { s.outcomes <- o }, nil)
	s.loop.do(func() { s.Send(c) })
}

// open is the number of connections.
func (s *sender) open() (n int) {
	s.loop.do(func() { n = len(s.pools["a"].conns) })
	return n
}

// expire looks for what is too old at a later time.
func (s *sender) expire(later time.Duration) {
	s.loop.do(func() { s.pools["a"].expire(s.loop.now + later) })
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	var connections atomic.Int64
	s := openSender(t, serveRaw(t, used(&connections, okAnswer, false)))
	for range 2 {
		s.send(time.Minute)
		if o := <-s.outcomes; o.Kind != OutcomeOK {
			t.Fatalf("outcome %+v", o)
		}
	}
	s.expire(idleTimeout / 2)
	if s.open() != 1 || connections.Load() != 1 {
		t.Errorf("%d connections open of %d, want one of one", s.open(), connections.Load())
	}
	s.expire(2 * idleTimeout)
	eventually(t, "an old connection is closed", func() bool { return s.open() == 0 })
}

// A server may close a connection between two requests.
func TestConnectionsClosedByTheServer(t *testing.T) {
	var connections atomic.Int64
	s := openSender(t, serveRaw(t, used(&connections, okAnswer, true)))
	for range 3 {
		s.send(time.Minute)
		if o := <-s.outcomes; o.Kind != OutcomeOK {
			t.Fatalf("outcome %+v", o)
		}
		eventually(t, "the end is noticed", func() bool { return s.open() == 0 })
	}
	if connections.Load() != 3 {
		t.Errorf("%d connections, want 3", connections.Load())
	}
}

// What is overdue has one outcome, and its connection ends: the late answer must
// not be taken for that to another request.
func TestTimeoutClosesTheConnection(t *testing.T) {
	closed := make(chan error, 1)
	s := openSender(t, serveRaw(t, func(nc net.Conn, in *bufio.Reader) {
		if takeRequest(in) == nil {
			return
		}
		_, err := in.ReadByte() // the client's close
		_, _ = io.WriteString(nc, okAnswer)
		closed <- err
	}))
	s.send(time.Millisecond)
	if o := <-s.outcomes; o.Kind != OutcomeFailed || o.Cause != FailTimeout {
		t.Errorf("outcome %+v", o)
	}
	if err := <-closed; err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("the server read %v, want the end", err)
	}
	eventually(t, "the connection is gone", func() bool { return s.open() == 0 })
	_ = s.Close()
	if n := len(s.outcomes); n != 0 {
		t.Errorf("%d more outcomes", n)
	}
}

// Answers that have come while the generator was stopped are read before anything is
// taken for overdue.
func TestAnswersBeforeTimeouts(t *testing.T) {
	const requests, timeout = 3 * maxEvents, time.Second
	for _, secure := range []bool{false, true} {
		var asked atomic.Int64
		all := make(chan struct{}) // have a connection
		wait := func() {
			if asked.Add(1) == requests {
				close(all)
			}
			<-all
		}
		var url string
		if secure {
			url = serveTLS(t, nil, func(http.ResponseWriter, *http.Request) { wait() }).URL
		} else {
			url = serveRaw(t, func(nc net.Conn, in *bufio.Reader) {
				for takeRequest(in) != nil {
					wait()
					_, _ = io.WriteString(nc, okAnswer)
				}
			})
		}
		s := openSender(t, url)
		s.outcomes = make(chan Outcome, 2*requests)
		for _, round := range []struct{ timeout, stop time.Duration }{
			{time.Minute, 0}, // opens the connections
			{timeout, timeout * 3 / 2},
		} {
			s.loop.do(func() {
				for range requests {
					s.Send(s.call(round.timeout))
				}
				time.Sleep(round.stop)
			})
			for range requests {
				if o := <-s.outcomes; o.Kind != OutcomeOK {
					t.Fatalf("with TLS %v, after a stop of %v: %+v", secure, round.stop, o)
				}
			}
		}
	}
}

// Close gives each request that is under way its outcome, once.
func TestCloseEndsAll(t *testing.T) {
	s := openSender(t, serveRaw(t, hang))
	for range 10 {
		s.send(time.Minute)
	}
	_ = s.Close()
	s.send(time.Minute) // too late
	for range 11 {
		if o := <-s.outcomes; o.Kind != OutcomeUnfinished {
			t.Errorf("outcome %+v", o)
		}
	}
	if s.open() != 0 || len(s.outcomes) != 0 {
		t.Errorf("%d connections, %d more outcomes", s.open(), len(s.outcomes))
	}
}

// Requests wait in the order in which they came.
func TestFIFO(t *testing.T) {
	var q fifo
	next, expected := 0, 0
	calls := make(map[*Call]int)
	for round := range 200 {
		for range round % 7 {
			c := &Call{}
			calls[c] = next
			next++
			q.push(waiter{call: c})
		}
		for range round % 5 {
			w, ok := q.pop()
			if ok != (expected < next) || ok && calls[w.call] != expected {
				t.Fatalf("got %d, %v; want %d", calls[w.call], ok, expected)
			}
			if ok {
				expected++
			}
		}
		if q.len() != next-expected {
			t.Fatalf("length %d, want %d", q.len(), next-expected)
		}
	}
}
