//go:build e2e

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"overtake/gateway/console"
)

// oddGateway serves the page, and states of a test to it.
type oddGateway struct {
	*httptest.Server

	mu      sync.Mutex
	state   console.State   // with all points; guarded by mu
	points  []console.Point // of it that an open stream gets; guarded by mu
	changed chan struct{}   // closed when state is another one; guarded by mu
}

func startOddGateway(t *testing.T, state console.State) *oddGateway {
	t.Helper()
	page := console.New(console.Options{Live: func() console.State { return console.State{} }})
	own := http.NewServeMux()
	page.Register(own)
	g := &oddGateway{state: state, changed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle("GET /console", own)
	mux.HandleFunc("GET /console/state", func(w http.ResponseWriter, _ *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		_ = json.NewEncoder(w).Encode(g.state)
	})
	mux.HandleFunc("GET /console/events", g.events)
	g.Server = httptest.NewServer(mux)
	t.Cleanup(func() { g.CloseClientConnections(); g.Close(); page.Close() })
	return g
}

// show has the page show another state, of which only points are new to it.
func (g *oddGateway) show(state console.State, points ...console.Point) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state, g.points = state, points
	close(g.changed)
	g.changed = make(chan struct{})
}

// events sends the whole state, then what is new, or that nothing is, as a gateway does.
func (g *oddGateway) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	g.mu.Lock()
	state, changed := g.state, g.changed
	g.mu.Unlock()
	for {
		text, err := json.Marshal(state)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(w, "event: state\ndata: %s\n\n", text)
		w.(http.Flusher).Flush()
		state.History.Points = []console.Point{}
		select {
		case <-tick.C:
		case <-changed:
			g.mu.Lock()
			state, changed = g.state, g.changed
			state.History.Points = append([]console.Point{}, g.points...)
			g.mu.Unlock()
		case <-r.Context().Done():
			return
		}
	}
}

// oddPoint is a point of one class.
func oddPoint(at time.Time) console.Point {
	return console.Point{T: at.UnixMilli(), Classes: []console.ClassPoint{{Rate: 1}}}
}

// Entries that look the same are entries of their own, and go when they are gone; and
// when the gateway's clock is set back, the charts go on.
func TestE2EConsoleOdd(t *testing.T) {
	b := newBrowser(t)
	now := time.Now().Truncate(time.Second)
	slow := func(id uint64) console.Slow {
		return console.Slow{ID: id, TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", Class: "all", At: now.UnixMilli(), Method: "GET", Path: "/twin", Status: 200, TotalMillis: 7, Hops: []console.Hop{}}
	}
	server := console.Server{URL: "http://127.0.0.1:9000", State: "up", Limit: 8}
	failed := console.Failure{Kind: console.Failed, Listener: "public", Class: "all", Reason: "constructor", Total: 2, Recent: 1}
	figure := func(ms float64) *float64 { return &ms }
	judged := func(requests, failed uint64, wait *float64) []console.Window {
		return []console.Window{{Class: "all", Requests: requests, Failed: failed, WaitP99: wait}}
	}
	state := console.State{
		Version: "first", Started: now.Add(-time.Hour).UnixMilli(), Now: now.UnixMilli(), Ready: true, Problems: []string{},
		Classes: []console.Class{{Name: "all", ObjectiveMillis: 25}}, Listeners: []console.Listener{}, Failures: []console.Failure{failed},
		// What JavaScript's objects have names for already is as good a name as any.
		Queues:    []console.Queue{{Name: "toString", Broker: "local", Lanes: []console.QueueLane{{Class: "constructor"}, {Class: "__proto__"}, {Class: "dead"}}}},
		Upstreams: []console.Upstream{{Name: "app", Limit: 16, Servers: []console.Server{server, server}, Classes: []console.Lane{}}},
		Rules:     []console.Rule{{Name: "twin", Class: "all"}, {Name: "other", Class: "all"}, {Name: "twin", Class: "all"}},
		Slowest:   []console.Slow{slow(1), slow(2)},
		Window:    judged(1000, 20, figure(90)), Minute: judged(0, 0, nil),
		History: console.History{StepMillis: 5000, Points: []console.Point{oddPoint(now.Add(-11 * time.Second)), oddPoint(now.Add(-6 * time.Second)), oddPoint(now.Add(-time.Second))}},
	}
	g := startOddGateway(t, state)
	page := startTool(t, nil, "node", filepath.Join(b.dir, "console.mjs"), b.chromium, g.URL, "-", "odd")
	page.find(t, `(?m)^ready$`)

	earlier := now.Add(-time.Hour)
	late := []console.Point{oddPoint(earlier.Add(-5 * time.Second)), oddPoint(earlier)}
	back := state
	back.Version, back.Now = "back", earlier.UnixMilli()
	back.History.Points = append(back.History.Points[:3:3], late...)
	g.show(back, late[1])
	page.find(t, `(?m)^set back$`)

	few := back
	few.Version, few.Now = "few", earlier.Add(time.Second).UnixMilli()
	few.Rules, few.Slowest = state.Rules[2:], state.Slowest[:1]
	few.Upstreams = []console.Upstream{{Name: "app", Limit: 8, Servers: []console.Server{server}, Classes: []console.Lane{}}}
	g.show(few)
	type there struct{ Slow, Details, Failures, Rules, Servers, Times int } // how many are there
	var seen struct {
		Errors, Requests    []string
		Lanes, Means, Cards []string
		Failing             string
		First, Back, Few    there
	}
	if err := json.Unmarshal([]byte(page.find(t, `(?m)^(\{.*\})$`)), &seen); err != nil {
		t.Fatal(err)
	}
	if len(seen.Errors)+len(seen.Requests) > 0 {
		t.Errorf("errors %q, requests to others %q", seen.Errors, seen.Requests)
	}
	if want := []string{"constructor", "__proto__", "dead letters"}; !slices.Equal(seen.Lanes, want) || !slices.Equal(seen.Means, []string{""}) {
		t.Errorf("lanes %q, want %q; a reason that is not known means %q", seen.Lanes, want, seen.Means)
	}
	// What was is no reason for red now.
	if want := []string{"wait p99, last minute · no request had a slot (met)", "failed, 15 min · 2 %, 20 of 1,000 (met warn)"}; !slices.Equal(seen.Cards, want) || seen.Failing != "" {
		t.Errorf("cards %q, want %q; failing %q", seen.Cards, want, seen.Failing)
	}
	if want := (there{Slow: 2, Details: 1, Failures: 1, Rules: 3, Servers: 2, Times: 3}); seen.First != want {
		t.Errorf("at first %+v, want %+v", seen.First, want)
	}
	if want := (there{Slow: 2, Details: 1, Failures: 1, Rules: 3, Servers: 2, Times: 2}); seen.Back != want {
		t.Errorf("after the clock was set back %+v, want %+v", seen.Back, want)
	}
	if want := (there{Slow: 1, Failures: 1, Rules: 1, Servers: 1, Times: 2}); seen.Few != want {
		t.Errorf("with one of each %+v, want %+v", seen.Few, want)
	}
}

// The page's figures are right to the digit: zeros at the end of a whole number count.
func TestE2EConsoleFigures(t *testing.T) {
	source, err := os.ReadFile("gateway/console/page/format.js")
	if err != nil {
		t.Fatal(err)
	}
	figures := []struct{ call, want string }{
		{"percent(0)", "0 %"}, {"percent(0.0004)", "< 0.1 %"}, {"percent(0.025)", "2.5 %"}, {"percent(0.03)", "3 %"}, {"percent(0.09999)", "10 %"},
		{"percent(0.1)", "10 %"}, {"percent(0.5)", "50 %"}, {"percent(1)", "100 %"},
		{"perSecond(0)", "0 /s"}, {"perSecond(2.04)", "2 /s"}, {"perSecond(2.5)", "2.5 /s"}, {"perSecond(9.99)", "10 /s"}, {"perSecond(1200)", "1,200 /s"},
		{"duration(0.1)", "0.1 ms"}, {"duration(10)", "10 ms"}, {"duration(99.96)", "100 ms"}, {"duration(100)", "100 ms"},
		{"duration(1500)", "1.5 s"}, {"duration(60e3)", "60 s"}, {"duration(100e3)", "100 s"}, {"duration(20 * 60e3)", "20 min"},
		{"trim(0, 1)", "0"}, {"trim(20, 1)", "20"}, {"trim(2.5, 1)", "2.5"}, {"trim(100, 0)", "100"},
	}
	calls := make([]string, len(figures))
	for i, f := range figures {
		calls[i] = f.call
	}
	stdout, _ := tool(t, "node", "-p", string(source)+"JSON.stringify(["+strings.Join(calls, ",")+"])")
	var got []string
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	for i, f := range figures {
		if got[i] != f.want {
			t.Errorf("%s is %q, want %q", f.call, got[i], f.want)
		}
	}
}
