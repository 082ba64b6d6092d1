package gateway

import (
	"slices"
	"testing"
)

// A class that misses its objective for long serves the newest first, unless it
// is told not to.
func TestOverload(t *testing.T) {
	for _, tc := range []struct {
		overload, order string
		want            []string
	}{
		{"newest_first", "newest_first", []string{"/interactive/3", "/interactive/2", "/interactive/1"}},
		{"fifo", "fifo", []string{"/interactive/1", "/interactive/2", "/interactive/3"}},
	} {
		t.Run(tc.overload, func(t *testing.T) {
			app := newGate()
			g := start(t, `
classes: [{name: interactive, objective: 10ms, overload: `+tc.overload+`, max_wait: 0s}, {name: standard, floor: 0%, max_wait: 0s}]
rules: [{class: interactive, match: {path: "/interactive/**"}}]
upstreams: {app: {servers: [$APP], limit: {max: 1}}}
`, serveApp(t, app.ServeHTTP))
			state := func() upstreamState { return g.upstreams["app"].state(g.classes.Names()) }
			waited := func(ms float64) {
				eventually(t, "the first has waited", func() bool { return state().Classes["interactive"].OldestMillis > ms })
			}
			letGo := g.hold(app)
			l := newLine(g)
			l.join("/interactive/1")
			waited(20)
			l.join("/interactive/2")
			waited(state().Classes["interactive"].OldestMillis + 200) // since the objective was seen to be missed
			l.join("/interactive/3")
			if got := state().Classes["interactive"].Order; got != tc.order {
				t.Errorf("order %s, want %s", got, tc.order)
			}
			letGo()
			var got []string
			for range 3 {
				got = append(got, receive(t, "the next request", app.arrived).URL.Path)
				app.pass <- struct{}{}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("the order was %v, want %v", got, tc.want)
			}
		})
	}
}

// What an automatic reserve does, and why, can be seen.
func TestAutomaticReserveIsExplained(t *testing.T) {
	app := newGate()
	g := start(t, `
rules: [{class: interactive, match: {path: "/interactive/**"}}]
upstreams: {app: {servers: [$APP], limit: {max: 2}}}
`, serveApp(t, app.ServeHTTP))
	state := func() upstreamState { return g.upstreams["app"].state(g.classes.Names()) }
	if s := state().Classes["standard"]; s.Auto != nil || s.Order != "fifo" {
		t.Errorf("standard has %+v", s)
	}
	if a := state().Classes["interactive"].Auto; a == nil || a.ObjectiveMillis != 25 || a.OverShare != 0 || a.Most <= 0 {
		t.Fatalf("auto is %+v", a)
	}
	// An interactive request that waits longer than its objective, for less urgent
	// work, raises the reserve.
	l := newLine(g)
	for _, target := range []string{"/1", "/2"} {
		l.send(target)
		receive(t, "a request that holds a slot", app.arrived)
	}
	l.join("/interactive/1")
	eventually(t, "it has waited for too long", func() bool { return state().Classes["interactive"].OldestMillis > 30 })
	app.pass <- struct{}{} // either of the two
	receive(t, "the interactive request", app.arrived)
	if s := state().Classes["interactive"]; s.Reserve <= 0 || s.Auto.OverShare <= 0 {
		t.Errorf("after a request too late: %+v, %+v", s, s.Auto)
	}
	close(app.pass)
	for _, target := range []string{"/1", "/2", "/interactive/1"} {
		l.answer(target)
	}
}
