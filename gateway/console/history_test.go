package console

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestHistoryTurns: 15 minutes are kept in steps of 5 seconds, and no more.
func TestHistoryTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTest(t)
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() { defer close(done); c.Run(stop) }()
		began := time.Now()
		time.Sleep(time.Second)
		for i := range 200 { // in each of the first 200 steps, at its first second
			c.Ended(0, time.Duration(i)*time.Millisecond, time.Duration(i+1)*time.Millisecond)
			c.Shed(1, Shed{Upstream: "app", Reason: "max_wait"})
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
			if own.Rate != 0.2 || own.Shed != 0 || other.Rate != 0.2 || other.Shed != 1 || other.WaitP50 != nil {
				t.Errorf("point %d: %+v, %+v", i, own, other)
			}
		}
		if w := state.Window[0]; w.Requests != steps || *w.LatencyMax != 200 || w.Shed != 0 {
			t.Errorf("window %+v", w)
		}
		if w := state.Window[1]; w.Requests != steps || w.LatencyMax != nil || w.Shed != steps {
			t.Errorf("window %+v", w)
		}
		if want := []Shed{{Upstream: "app", Class: "batch", Reason: "max_wait", Total: 200, Recent: steps}}; fmt.Sprint(state.Sheds) != fmt.Sprint(want) {
			t.Errorf("sheds %+v, want %+v", state.Sheds, want)
		}
		if newer, _ := c.history.points(over - 2); over != 200 || len(newer) != 2 || newer[1].T != points[steps-1].T {
			t.Errorf("after %d, %d points are newer than the last but two", over, len(newer))
		}
		time.Sleep(steps * stepTime)
		synctest.Wait()
		state, _ = c.state(time.Now(), 0)
		if w := state.Window[0]; w.Requests != 0 || w.WaitP50 != nil || state.Sheds[0].Recent != 0 || state.Sheds[0].Total != 200 {
			t.Errorf("15 minutes later: %+v, %+v", w, state.Sheds)
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
			h.turn(time.Now(), stepTime)
			h.classes[0].latency.add(time.Millisecond)
		}
	}()
	for last := uint64(0); last < 100+steps-1; {
		n := h.window([]Class{{Name: "a"}})[0].Requests
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
	c.Keep(func(rule string) bool { return rule != "gone" }, func(Shed) bool { return true })
	state, _ := c.state(time.Now(), 0)
	rules := state.Rules
	want := []Rule{{Name: "reports", Class: "batch", Hits: 3}, {Name: "unused", Class: "batch", DryHits: 1}, {Name: "default", Builtin: true, Hits: 3}}
	if fmt.Sprint(rules) != fmt.Sprint(want) {
		t.Errorf("rules %+v, want %+v", rules, want)
	}
	if c.hits.count("gone") != 0 {
		t.Error("the hits of a rule that is gone are kept")
	}
}
