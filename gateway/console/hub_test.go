package console

import (
	"context"
	"encoding/json"
	"errors"
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
	c.history.turn(time.Now().Add(-stepTime), stepTime)
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
	c.history.turn(time.Now(), stepTime)
	before := made.Load()
	for range 3 {
		for _, s := range streams {
			if _, ok := s.next(); !ok {
				t.Fatal("a stream has ended")
			}
		}
	}
	if n := made.Load() - before; n > 6 {
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
	c.history.turn(time.Now().Add(-stepTime), stepTime)
	s := listen(t, server)
	if first, _ := s.next(); len(first.History.Points) != 1 {
		t.Fatalf("%d points at first, want 1", len(first.History.Points))
	}
	c.history.turn(time.Now(), stepTime)
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
		if err := c.hub.join(&stream{frames: make(chan *frame, mostUnsent), over: make(chan struct{}), writeBy: func(time.Time) error { return nil }}, &frame{}); err != nil {
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

// TestPage: whoever looks at it fetches nothing from elsewhere, and it runs no script
// that is not its own.
func TestPage(t *testing.T) {
	server := serve(t, newTest(t))
	resp, err := server.Client().Get(server.URL + "/console")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	html, policy := string(body), resp.Header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("the policy lacks %s: %s", part, policy)
		}
	}
	for element, source := range map[string]string{"style": "style-src ", "script": "script-src "} {
		_, rest, found := strings.Cut(html, "<"+element+">")
		text, _, ended := strings.Cut(rest, "</"+element+">")
		if !found || !ended || text == "{{"+element+"}}" || text == "" {
			t.Errorf("the page has no %s of its own", element)
			continue
		}
		if !strings.Contains(policy, source+hashOf(text)+";") {
			t.Errorf("the policy does not allow the page's own %s: %s", element, policy)
		}
	}
	if strings.Contains(html, "{{") || strings.Contains(html, " src=") {
		t.Error("the page has something to be put in, or to be fetched")
	}
	for name, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestAcceptsGzip(t *testing.T) {
	for value, want := range map[string]bool{
		"gzip": true, "deflate, GZIP;q=0.5, br": true, "": false, "br": false, "gzip;q=0": false, "gzip; q=0.0": false, "gzip;q=x": false, "x-gzip": false,
	} {
		r := &http.Request{Header: http.Header{"Accept-Encoding": {value}}}
		if got := acceptsGzip(r); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

// TestStateCompressed: a client that takes it gets the state compressed; the transport
// undoes that.
func TestStateCompressed(t *testing.T) {
	server := serve(t, newTest(t))
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer client.CloseIdleConnections()
	resp, err := client.Get(server.URL + "/console/state")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var state State
	if err := json.NewDecoder(resp.Body).Decode(&state); err != nil || len(state.Classes) != 2 {
		t.Errorf("%v, %+v", err, state.Classes)
	}
	if !resp.Uncompressed {
		t.Error("it was not compressed")
	}
}

// TestTraceErrors: they come as JSON, with a status of their own.
func TestTraceErrors(t *testing.T) {
	hold, asked := make(chan struct{}), make(chan struct{}, mostTraces)
	c := New(Options{Classes: twoClasses, Live: func() State { return State{} }, Trace: func(ctx context.Context, id string) (any, error) {
		switch id {
		case "none":
			return nil, &Error{http.StatusNotFound, "set it"}
		case "held":
			asked <- struct{}{}
			<-hold
		}
		return nil, errors.New("it broke")
	}})
	server := serve(t, c)
	for id, want := range map[string]int{"none": http.StatusNotFound, "other": http.StatusBadGateway} {
		status, text := fetch(t, server.URL+"/console/trace?id="+id)
		var got struct{ Error string }
		if err := json.Unmarshal([]byte(text), &got); err != nil || status != want || got.Error == "" {
			t.Errorf("%s: status %d, %s", id, status, text)
		}
	}
	done := make(chan struct{}, mostTraces)
	for range mostTraces {
		go func() {
			defer func() { done <- struct{}{} }()
			fetch(t, server.URL+"/console/trace?id=held")
		}()
		<-asked
	}
	if status, text := fetch(t, server.URL+"/console/trace?id=none"); status != http.StatusServiceUnavailable {
		t.Errorf("too many: status %d, %s", status, text)
	}
	close(hold)
	for range mostTraces {
		<-done
	}
}
