package console

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestEventsAreMadeOnceForAll: states are made while somebody looks, once for all, and
// each begins with the whole history.
func TestEventsAreMadeOnceForAll(t *testing.T) {
	var made atomic.Int64
	c := New(Options{Classes: twoClasses, Live: func() State { made.Add(1); return State{} }})
	server := serve(t, c)
	c.history.turn(time.Now().Add(-stepTime), stepTime, nil)
	if time.Sleep(2 * tickTime); made.Load() != 0 { // not to wait for something: nothing is to happen
		t.Fatalf("%d states were made while nobody looked", made.Load())
	}
	const clients = 20
	streams := make([]*events, clients)
	for i := range streams {
		streams[i] = listen(t, server)
		first, ok := streams[i].next()
		if !ok || len(first.History.Points) != 1 {
			t.Fatalf("the first event has %d points, want all, 1", len(first.History.Points))
		}
	}
	c.history.turn(time.Now(), stepTime, nil)
	before := made.Load()
	for range 3 {
		for _, s := range streams {
			if _, ok := s.next(); !ok {
				t.Fatal("a stream has ended")
			}
		}
	}
	if n := made.Load() - before; n > 3*clients/2 {
		t.Errorf("%d states were made for 3 events of %d streams", n, clients)
	}
	for _, s := range streams {
		s.close()
	}
	eventually(t, "nothing is done for nobody", func() bool {
		c.hub.mu.Lock()
		defer c.hub.mu.Unlock()
		return len(c.hub.streams) == 0 && !c.hub.ticking
	})
}

// TestEventsHaveNewPointsOnly: each point comes once after the first event.
func TestEventsHaveNewPointsOnly(t *testing.T) {
	c := newTest(t)
	server := serve(t, c)
	c.history.turn(time.Now().Add(-stepTime), stepTime, nil)
	s := listen(t, server)
	if first, _ := s.next(); len(first.History.Points) != 1 {
		t.Fatalf("%d points at first, want 1", len(first.History.Points))
	}
	c.history.turn(time.Now(), stepTime, nil)
	points := 0
	for range 3 {
		state, ok := s.next()
		if !ok {
			t.Fatal("the stream has ended")
		}
		points += len(state.History.Points)
	}
	if points != 1 {
		t.Errorf("%d points in three events, want the new one, once", points)
	}
}

// TestSlowReaderIsDropped: one who does not read is not waited for, and does not hold
// up the others.
func TestSlowReaderIsDropped(t *testing.T) {
	large := strings.Repeat("x", 1<<20) // more than the sockets' buffers take together
	c := New(Options{Classes: twoClasses, Live: func() State { return State{Version: large} }})
	server := serve(t, c)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /console/events HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is there", func() bool { return c.hub.count() == 1 })
	good := listen(t, server)
	eventually(t, "the one that does not read is dropped", func() bool {
		if _, ok := good.next(); !ok {
			t.Fatal("the other has ended")
		}
		return c.hub.count() == 1
	})
	if _, ok := good.next(); !ok {
		t.Error("the other one has ended, too")
	}
}

// count returns how many streams there are.
func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.streams)
}

func TestTooManyStreamsAreRefused(t *testing.T) {
	c := newTest(t)
	server := serve(t, c)
	for range mostStreams {
		if err := c.hub.join(&stream{frames: make(chan *frame, mostUnsent), over: make(chan struct{}), writeBy: func(time.Time) error { return nil }}); err != nil {
			t.Fatal(err)
		}
	}
	status, text := fetch(t, server.URL+"/console/events")
	if status != http.StatusServiceUnavailable || !strings.Contains(text, "/console/state") {
		t.Errorf("status %d, %s", status, text)
	}
	if status, _ = fetch(t, server.URL+"/console/state"); status != http.StatusOK {
		t.Errorf("the state: status %d", status)
	}
}

// TestShutdownEndsStreams: open consoles do not keep the admin listener.
func TestShutdownEndsStreams(t *testing.T) {
	c := newTest(t)
	server := serve(t, c)
	s := listen(t, server)
	s.next()
	c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := server.Config.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	for ok := true; ok; {
		_, ok = s.next()
	}
}

func TestClosedConsole(t *testing.T) {
	c := newTest(t)
	server := serve(t, c)
	c.Close()
	if status, text := fetch(t, server.URL+"/console/events"); status != http.StatusServiceUnavailable {
		t.Errorf("events: status %d, %s", status, text)
	}
	if status, _ := fetch(t, server.URL+"/console/state"); status != http.StatusOK {
		t.Errorf("state: status %d", status)
	}
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// TestNoPointIsLost: a stream that begins between two events has each point, though it
// gets what was encoded for others.
func TestNoPointIsLost(t *testing.T) {
	c := newTest(t)
	server := serve(t, c)
	earlier := listen(t, server)
	earlier.next()
	turned := time.Now()
	for i := range 4 {
		c.history.turn(turned.Add(time.Duration(i)*stepTime), stepTime, nil)
		s := listen(t, server)
		seen := make(map[int64]bool)
		for range 2 {
			state, ok := s.next()
			if !ok {
				t.Fatal("the stream has ended")
			}
			for _, p := range state.History.Points {
				seen[p.T] = true
			}
		}
		if len(seen) != i+1 {
			t.Errorf("%d points of %d", len(seen), i+1)
		}
	}
}
