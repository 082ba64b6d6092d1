package console

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds a broken run and decides nothing.
const patience = time.Minute

var twoClasses = []Class{{Name: "interactive", ObjectiveMillis: 25}, {Name: "batch"}}

// newTest returns a console of two classes that knows nothing else.
func newTest(t testing.TB) *Console {
	t.Helper()
	c := New(Options{
		Classes: twoClasses, Pseudo: []string{"default", "trusted"},
		Live: func() State {
			return State{Rules: []Rule{{Name: "reports", Class: "batch"}, {Name: "unused", Class: "batch"}}}
		},
		Trace: func(context.Context, string) (any, error) { return Trace{}, nil },
	})
	t.Cleanup(c.Close)
	return c
}

// serve serves the console as the admin listener does.
func serve(t *testing.T, c *Console) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	c.Register(mux)
	server := httptest.NewServer(mux)
	t.Cleanup(func() { c.Close(); server.Close() })
	return server
}

// events is a client of /console/events.
type events struct {
	t     *testing.T
	lines *bufio.Scanner
	close func()
}

func listen(t *testing.T, server *httptest.Server) *events {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	resp, err := client.Get(server.URL + "/console/events")
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || got != "text/event-stream" {
		t.Fatalf("events: status %d, %s", resp.StatusCode, got)
	}
	e := &events{t: t, lines: bufio.NewScanner(resp.Body)}
	e.lines.Buffer(nil, 8<<20)
	e.close = func() { resp.Body.Close(); client.CloseIdleConnections() }
	t.Cleanup(e.close)
	return e
}

// next returns the next state; false at the end of the stream.
func (e *events) next() (state State, ok bool) {
	e.t.Helper()
	for e.lines.Scan() {
		if text, is := strings.CutPrefix(e.lines.Text(), "data: "); is {
			if err := json.Unmarshal([]byte(text), &state); err != nil {
				e.t.Fatalf("event: %v in %.200s", err, text)
			}
			return state, true
		}
	}
	return state, false
}

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never happened that %s", what)
		}
	}
}
