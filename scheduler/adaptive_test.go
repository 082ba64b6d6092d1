package scheduler

import (
	"flag"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

var simulated = flag.Duration("simulated", time.Minute, "for how long the adaptive limit is watched, in simulated time")

// withBatch is the reference load on so many workers: interactive work of 5 ms for
// one worker in eight, and over times as much batch work of 50 ms as the others
// can do.
func withBatch(workers int, over float64) []load {
	n := float64(workers)
	return []load{
		{perSecond: 25 * n, service: 5 * time.Millisecond},
		{perSecond: 17.5 * n * over, service: 50 * time.Millisecond},
	}
}

// twoKinds is an interactive and a batch class, with a fixed limit and no reserve.
func twoKinds(limit int) Config {
	return Config{Limit: limit, Classes: []ClassConfig{
		{MaxWaiting: 1000, MaxWait: time.Second},
		{MaxWaiting: 1000, MaxWait: 30 * time.Second, Floor: 500},
	}}
}

// toldNothing is the same for a gateway that knows nothing of the app.
func toldNothing(objective time.Duration) Config {
	cfg := twoKinds(16)
	cfg.Adaptive = &AdaptiveConfig{Min: 2, Max: 512}
	cfg.Classes[0].Objective, cfg.Classes[0].AutoReserve = objective, true
	return cfg
}

// settled returns when the limit was last further than a quarter away from the
// number of workers, up to until, and how many of the samples after that were.
func (s *simulation) settled(workers func(time.Duration) int, from, until time.Duration) (at time.Duration, outside, of int) {
	at = from
	for _, l := range s.limits {
		n := float64(workers(l.at))
		away := math.Abs(float64(l.limit)-n) > 0.25*n
		switch {
		case l.at < from:
		case l.at <= until:
			if away {
				at = l.at
			}
		default:
			of++
			if away {
				outside++
			}
		}
	}
	return at, outside, of
}

// S10: from a cold start under twice the load, the limit comes within a quarter of
// the number of workers in 5 s and stays there.
func TestAdaptiveLimitFindsWorkers(t *testing.T) {
	for _, workers := range []int{4, 8, 16, 64} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%d, seed %d", workers, seed), func(t *testing.T) {
				t.Parallel()
				s := newSimulation(toldNothing(10*time.Millisecond), appModel{workers: workers}, withBatch(workers, 2), seed)
				s.run(5*time.Second, *simulated)
				constant := func(time.Duration) int { return workers }
				at, outside, of := s.settled(constant, 0, 5*time.Second)
				t.Logf("%d workers: within a quarter after %v", workers, at)
				if at >= 5*time.Second || outside > 0 {
					t.Errorf("%d of %d samples are further than a quarter away after 5 s", outside, of)
				}
			})
		}
	}
}

// S10: when the number of workers changes, the limit follows in 5 s.
func TestAdaptiveLimitFollowsWorkers(t *testing.T) {
	for _, before := range []int{8, 16, 64} {
		for _, after := range []int{before / 2, before * 2} {
			t.Run(fmt.Sprintf("%d to %d", before, after), func(t *testing.T) {
				t.Parallel()
				const change = 20 * time.Second
				workers := func(at time.Duration) int {
					if at < change {
						return before
					}
					return after
				}
				over := 2 * max(1, float64(after)/float64(before))
				s := newSimulation(toldNothing(10*time.Millisecond), appModel{workers: before, change: workers}, withBatch(before, over), 1)
				s.run(change, change+40*time.Second)
				at, outside, of := s.settled(workers, change, change+5*time.Second)
				t.Logf("%d workers become %d: within a quarter %v after the change", before, after, at-change)
				if at-change >= 5*time.Second || outside > 0 {
					t.Errorf("%d of %d samples are further than a quarter away 5 s after the change", outside, of)
				}
			})
		}
	}
}

// S10: work that the app can do is never refused, also right after the start and
// when service times vary.
func TestAdaptiveLimitRefusesNothingBelowCapacity(t *testing.T) {
	for _, workers := range []int{4, 8, 16, 64} {
		for _, exponential := range []bool{false, true} {
			loads := withBatch(workers, 0.75)
			cfg := toldNothing(10 * time.Millisecond)
			cfg.Classes[0].AutoReserve = false // whose slots are not the limit's
			s := newSimulation(cfg, appModel{workers: workers, exponential: exponential}, loads, 1)
			s.run(0, 60*time.Second)
			if s.shed[0]+s.shed[1] > 0 {
				t.Errorf("%d workers, exponential %t: %d refused of %d", workers, exponential, s.shed[0]+s.shed[1], s.done[0]+s.done[1])
			}
			if got, want := float64(s.done[1])/60, loads[1].perSecond; got < 0.9*want {
				t.Errorf("%d workers, exponential %t: %.0f batch/s done, %.0f came", workers, exponential, got, want)
			}
		}
	}
}

// S10: a limit that is not met does not drift, up or down.
func TestAdaptiveLimitDoesNotDrift(t *testing.T) {
	s := newSimulation(toldNothing(10*time.Millisecond), appModel{workers: 8}, withBatch(8, 2), 1)
	s.run(0, 20*time.Second)
	found := s.core.limit
	s.loads[1].perSecond = 10 // from twice the load to less than a quarter of it
	s.run(0, 10*time.Minute)
	if s.core.limit != found {
		t.Errorf("the limit went from %d to %d under light load", found, s.core.limit)
	}
}

// S10: what is no sample changes nothing.
func TestAdaptiveLimitIgnoresUnmeasured(t *testing.T) {
	c := newCore(toldNothing(10 * time.Millisecond))
	now := time.Hour
	for range 10_000 {
		id, ok := c.startNow(1, 0, nil, now)
		if !ok {
			t.Fatal("no slot free")
		}
		now += time.Minute // a stream
		c.release(id, Unmeasured, now)
	}
	if c.limit != 16 {
		t.Errorf("limit %d, want 16 as at the start", c.limit)
	}
}

// A server that comes back starts low again, and is loaded by its own limit.
func TestRecoveredServerRamps(t *testing.T) {
	cfg := toldNothing(10 * time.Millisecond)
	cfg.Servers = 2
	s := newSimulation(cfg, appModel{workers: 128}, withBatch(128, 2), 1)
	s.run(0, 20*time.Second)
	if low := s.core.servers[1].limit; low <= 32 {
		t.Fatalf("limit %d, too low to tell a ramp", low)
	}
	s.core.setDown(1, true)
	s.run(0, 25*time.Second)
	if n := s.core.servers[1].running; n > 0 {
		t.Errorf("%d run on the server that is down", n)
	}
	s.core.setDown(1, false)
	if got := s.core.servers[1].limit; got != 16 {
		t.Errorf("the recovered server starts with %d slots, want 16", got)
	}
	s.run(0, 35*time.Second)
	if got := s.core.servers[1].limit; got <= 16 {
		t.Errorf("the recovered server has %d slots after 10 s", got)
	}
}

// A probe ends in time, also when nothing that it could measure comes.
func TestProbeEndsInTime(t *testing.T) {
	c := newCore(toldNothing(10 * time.Millisecond))
	now := time.Hour
	c.tick(now)
	var held []slotID
	for range 8 {
		id, _ := c.startNow(1, 0, nil, now)
		held = append(held, id)
	}
	l := c.servers[0].limiter
	l.main = 1
	l.beginProbe(now)
	c.follow(0)
	if _, ok := c.startNow(1, 0, nil, now); ok {
		t.Error("the probe holds nothing back")
	}
	for range 10 { // whatever ends is no sample
		now += shortestProbe / 10
		c.release(held[0], Unmeasured, now)
		held = held[1:]
		c.tick(now)
		if id, ok := c.startNow(1, 0, nil, now); ok {
			held = append(held, id)
			continue
		}
		id, _ := c.startNow(0, 0, nil, now)
		held = append(held, id)
	}
	if l.probing || c.prober >= 0 {
		t.Errorf("after %v the probe goes on", shortestProbe)
	}
	if _, ok := c.startNow(1, 0, nil, now); !ok {
		t.Error("after the probe, work is held back")
	}
}

// A server that goes down takes its probe with it.
func TestDownServerIsNotProbed(t *testing.T) {
	cfg := toldNothing(10 * time.Millisecond)
	cfg.Servers = 2
	c := newCore(cfg)
	c.servers[1].limiter.beginProbe(time.Hour)
	c.follow(1)
	if c.prober != 1 {
		t.Fatalf("server %d is probed, want 1", c.prober)
	}
	c.setDown(1, true)
	if c.prober >= 0 || c.servers[1].limiter.probing {
		t.Errorf("server %d is probed, and is down", c.prober)
	}
	c.setDown(1, false)
	for range 32 {
		if _, ok := c.startNow(1, 0, nil, time.Hour); !ok {
			t.Fatal("two servers have less than 16 slots each")
		}
	}
}

// Work that takes seconds gets its slots like any other: a probe that measures it
// is long, and so is the time until the next.
func TestAdaptiveLimitOfLongWork(t *testing.T) {
	for _, service := range []time.Duration{500 * time.Millisecond, 2 * time.Second, 5 * time.Second} {
		cfg := toldNothing(10 * time.Millisecond)
		cfg.Limit = 4
		cfg.Classes[1].MaxWait = 0
		loads := withBatch(8, 2)
		loads[0].perSecond = 2
		loads[1] = load{perSecond: 16 / service.Seconds(), service: service}
		s := newSimulation(cfg, appModel{workers: 8}, loads, 1)
		s.run(time.Minute, 11*time.Minute)
		if part := float64(s.done[1]) * service.Seconds() / 8 / 600; part < 0.85 {
			t.Errorf("work of %v: %.2f of what the app can do, limit %d", service, part, s.core.limit)
		}
	}
}

// When work becomes much shorter, what is known of it is wrong; that must not
// look like a server that can do more.
func TestAdaptiveLimitWhenWorkBecomesShort(t *testing.T) {
	for _, workers := range []int{4, 16, 64} {
		n := float64(workers)
		loads := withBatch(workers, 2)
		loads[1] = load{perSecond: 2 * n / 0.2, service: 200 * time.Millisecond}
		s := newSimulation(toldNothing(10*time.Millisecond), appModel{workers: workers}, loads, 1)
		s.run(0, 20*time.Second)
		s.loads[1] = load{perSecond: 2 * n / 0.02, service: 20 * time.Millisecond}
		s.run(0, time.Minute)
		for _, l := range s.limits {
			if l.at > 20*time.Second && float64(l.limit) > 1.5*n {
				t.Errorf("%d workers: limit %d after %v", workers, l.limit, l.at)
			}
		}
	}
}

// A probe of one server does not keep the others from learning.
func TestEachServerFindsItsLimit(t *testing.T) {
	const servers, workers = 16, 8
	c := newCore(Config{Limit: 4, Servers: servers, Adaptive: &AdaptiveConfig{Min: 2, Max: 512}, Classes: []ClassConfig{{MaxWaiting: 1000}}})
	type piece struct {
		id   slotID
		ends time.Duration // 0: it waits in the server
	}
	inside := make([][]piece, servers)
	for now := time.Hour; now < time.Hour+time.Minute; now += 5 * time.Millisecond {
		for on := range inside {
			for i := 0; i < min(workers, len(inside[on])); {
				if p := inside[on][i]; p.ends != 0 && p.ends <= now {
					inside[on] = slices.Delete(inside[on], i, i+1)
					c.release(p.id, Done, now)
					continue
				}
				i++
			}
		}
		for c.waiting < 500 {
			c.arrive(&ticket{}, now)
		}
		c.tick(now)
		c.dispatch(now)
		for _, started := range c.decided {
			inside[started.server] = append(inside[started.server], piece{id: started.slot})
		}
		c.decided = c.decided[:0]
		for on := range inside {
			for i := range inside[on][:min(workers, len(inside[on]))] {
				if p := &inside[on][i]; p.ends == 0 {
					p.ends = now + 100*time.Millisecond
				}
			}
		}
	}
	for on := range c.servers {
		if limit := c.servers[on].limit; limit < workers || limit > workers*5/4 {
			t.Errorf("server %d has %d slots after a minute, and %d workers", on, limit, workers)
		}
	}
}

// A probe ends when there is no work left of the class that it is to measure.
func TestProbeEndsWithItsClass(t *testing.T) {
	c := newCore(toldNothing(10 * time.Millisecond))
	l := c.servers[0].limiter
	l.main = 1
	for range fewestLow {
		l.classes[1].low.take(lowSample{seconds: 10, inFlight: 1}) // 10 s each: the probe may take a while
	}
	now := time.Hour
	id, _ := c.startNow(1, 0, nil, now)
	l.beginProbe(now)
	c.follow(0)
	c.tick(now + tickEvery)
	if !l.probing {
		t.Fatal("the probe ends while its class runs")
	}
	c.release(id, Unmeasured, now+tickEvery)
	c.tick(now + 2*tickEvery)
	if l.probing || c.prober >= 0 {
		t.Error("the probe goes on without its class")
	}
}
