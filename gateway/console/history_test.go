package console

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestHistoryTurns: 15 minutes are kept in steps of 5 seconds, and no more.
func TestHistoryTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := 0
		c := New(Options{
			Classes: twoClasses,
			Live:    func() State { return State{Upstreams: []Upstream{{Name: "app"}, {Name: "idle"}}} },
			Limits:  func() map[string]int { limit++; return map[string]int{"app": limit, "idle": 0} },
		})
		t.Cleanup(c.Close)
		refused := Failure{Kind: Refused, Upstream: "app", Class: "batch", Reason: "max_wait", Status: 503}
		broken := Failure{Kind: Failed, Upstream: "app", Class: "batch", Reason: "connect_failed", Status: 502}
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() { defer close(done); c.Run(stop) }()
		began := time.Now()
		time.Sleep(time.Second)
		for i := range 200 { // in each of the first 200 steps, at its first second
			c.Ended(0, Work{Wait: time.Duration(i) * time.Millisecond, Latency: time.Duration(i+1) * time.Millisecond})
			c.Ended(1, Work{Failure: refused})
			if i%2 == 0 {
				c.Ended(1, Work{Wait: time.Second, Latency: time.Minute, Failure: broken, Cut: true})
			}
			c.Took("app", time.Duration(i)*time.Millisecond)
			time.Sleep(stepTime)
		}
		synctest.Wait()
		state, over := c.state(time.Now(), 0)
		points := state.History.Points
		if state.History.StepMillis != 5000 || len(points) != steps {
			t.Fatalf("%d points of %d ms, want %d of 5000", len(points), state.History.StepMillis, steps)
		}
		for i, p := range points {
			nth := 200 - steps + i // from 0
			if want := began.Add(time.Duration(nth+1) * stepTime).UnixMilli(); p.T != want {
				t.Fatalf("point %d is of %d, want %d", i, p.T, want)
			}
			own, other := p.Classes[0], p.Classes[1]
			if *own.WaitP50 != float64(nth) && nth*31 > 32 && (*own.WaitP50 < float64(nth)*0.96 || *own.WaitP50 > float64(nth)*1.04) {
				t.Errorf("point %d: the wait's median is %v, want about %d", i, *own.WaitP50, nth)
			}
			failed := uint64(1 - nth%2)
			if own.Rate != 0.2 || own.Shed != 0 || own.Failed != 0 || other.Rate != 0.2*float64(1+failed) || other.Shed != 1 || other.Failed != failed ||
				(other.WaitP50 != nil) != (failed > 0) || other.LatencyP50 != nil {
				t.Errorf("point %d: %+v, %+v", i, own, other)
			}
			if u := p.Upstreams; len(u) != 2 || u[0].Name != "app" || u[0].Limit != nth+1 || u[0].P99 == nil || u[1].Name != "idle" || u[1].Limit != 0 || u[1].P50 != nil {
				t.Errorf("point %d: %+v", i, u)
			}
		}
		if w := state.Window[0]; w.Requests != steps || *w.LatencyMax != 200 || w.Shed != 0 {
			t.Errorf("window %+v", w)
		}
		if w := state.Window[1]; w.Requests != steps*3/2 || w.LatencyMax != nil || w.Shed != steps || w.Failed != steps/2 || *w.WaitMax != 1000 {
			t.Errorf("window %+v", w)
		}
		if w := state.Minute; w[0].Requests != uint64(stepsPerMinute) || *w[0].WaitMax != 199 || w[1].Requests != uint64(stepsPerMinute)*3/2 || w[1].Failed != uint64(stepsPerMinute)/2 {
			t.Errorf("the last minute %+v", w)
		}
		if u := state.Upstreams; u[0].Window.Count != steps || u[0].Minute.Count != uint64(stepsPerMinute) || *u[0].Minute.P50 < 188 || *u[0].Window.P50 > 115 || u[1].Window.P99 != nil {
			t.Errorf("upstreams %+v", u)
		}
		broken.Total, broken.Recent, broken.Minute = 100, steps/2, uint64(stepsPerMinute)/2
		refused.Total, refused.Recent, refused.Minute = 200, steps, uint64(stepsPerMinute)
		if want := []Failure{broken, refused}; !slices.Equal(state.Failures, want) {
			t.Errorf("failures %+v, want %+v", state.Failures, want)
		}
		if newer, _ := c.history.points(over - 2); over != 200 || len(newer) != 2 || newer[1].T != points[steps-1].T {
			t.Errorf("after %d, %d points are newer than the last but two", over, len(newer))
		}
		time.Sleep(steps * stepTime)
		synctest.Wait()
		state, _ = c.state(time.Now(), 0)
		if w, f := state.Window[0], state.Failures[0]; w.Requests != 0 || w.WaitP50 != nil || f.Recent != 0 || f.Minute != 0 || f.Total != 100 {
			t.Errorf("15 minutes later: %+v, %+v", w, f)
		}
		close(stop)
		<-done
	})
}

// TestWindowWhileStepsEnd: what has ended is always in the window, also while a step
// ends.
func TestWindowWhileStepsEnd(t *testing.T) {
	h := newHistory(1)
	for range 100 {
		h.classes[0].latency.add(time.Millisecond)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range steps - 1 {
			h.turn(time.Now(), stepTime, nil)
			h.classes[0].latency.add(time.Millisecond)
		}
	}()
	for last := uint64(0); last < 100+steps-1; {
		n := h.window([]Class{{Name: "a"}}, steps)[0].Requests
		if n < last || n < 100 {
			t.Fatalf("%d requests are in the window, after %d", n, max(last, 100))
		}
		last = n
	}
	<-done
}

// TestSlowest: of each class and minute the slowest few are kept, for 15 minutes.
func TestSlowest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTest(t)
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() { defer close(done); c.Run(stop) }()
		time.Sleep(time.Second)
		note := func(class int, took time.Duration) bool {
			if !c.IsSlow(class, took) {
				return false
			}
			c.Slow(class, took, Slow{Path: took.String()})
			return true
		}
		for i := range 10 {
			if kept := note(0, time.Duration(i+1)*time.Second); !kept {
				t.Errorf("the slowest so far is not kept: %d", i)
			}
			if kept := note(0, time.Second); kept != (i < slowPerMinute/2) {
				t.Errorf("after %d: the fastest is kept: %v", i, kept)
			}
		}
		note(1, time.Millisecond) // slow for its class
		list := c.slowest.list()
		if got := fmt.Sprint(paths(list)); got != "[10s 9s 8s 7s 1ms]" {
			t.Errorf("the slowest are %s", got)
		}
		if s := list[0]; s.TotalMillis != 10_000 || s.Class != "interactive" || list[4].Class != "batch" {
			t.Errorf("the slowest is %+v", s)
		}
		for range 3 {
			time.Sleep(time.Minute)
			for i := range 5 {
				note(0, time.Duration(20+i)*time.Second)
			}
		}
		if got := paths(c.slowest.list()); len(got) != slowShown+1 || got[0] != "24s" || got[9] != "21s" {
			t.Errorf("after three more minutes, the slowest are %v", got)
		}
		time.Sleep(15 * time.Minute)
		if got := paths(c.slowest.list()); len(got) > 0 {
			t.Errorf("15 minutes later, there are %v", got)
		}
		close(stop)
		<-done
	})
}

func paths(list []Slow) (all []string) {
	for _, s := range list {
		all = append(all, s.Path)
	}
	return all
}

func TestRulesAndTheirHits(t *testing.T) {
	c := newTest(t)
	for range 3 {
		c.Hit("reports")
		c.Hit("default")
	}
	c.Hit("gone")
	c.DryHit("unused")
	c.Failed(Failure{Kind: Client, Listener: "public", Status: 429})
	for _, upstream := range []string{"app", "gone"} {
		c.Ended(0, Work{Failure: Failure{Kind: Failed, Upstream: upstream, Status: 500}})
		c.Took(upstream, time.Millisecond)
	}
	c.Keep(func(rule string) bool { return rule != "gone" }, func(upstream string) bool { return upstream != "gone" })
	state, _ := c.state(time.Now(), 0)
	rules := state.Rules
	want := []Rule{{Name: "reports", Class: "batch", Hits: 3}, {Name: "unused", Class: "batch", DryHits: 1}, {Name: "default", Builtin: true, Hits: 3}}
	if fmt.Sprint(rules) != fmt.Sprint(want) {
		t.Errorf("rules %+v, want %+v", rules, want)
	}
	if c.hits.count("gone") != 0 {
		t.Error("the hits of a rule that is gone are kept")
	}
	if f := state.Failures; len(f) != 2 || f[0].Upstream != "app" || f[1].Status != 429 {
		t.Errorf("failures %+v", f)
	}
	if c.history.triesOf("gone", steps).Count != 0 || c.history.triesOf("app", steps).Count != 1 {
		t.Error("the times of an upstream that is gone are kept, or of one that is not are gone")
	}
}
