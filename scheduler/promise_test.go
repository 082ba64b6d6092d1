package scheduler

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestPromises checks each promise of the scheduler on histories of its own, by
// what a user can see. It knows no algorithm but the formulas that doc.go gives.
func TestPromises(t *testing.T) {
	promises := []struct {
		name  string
		watch func(*ledger) checks
	}{
		{"S1 never more than limit in use", watchLimit},
		{"S2 no slot idles while work that may use it waits", watchIdle},
		{"S3 and S6 class order and reserve, but for floors", watchOrder},
		{"S4 flows take turns", watchTurns},
		{"S5 floors hold in every window", watchFloors},
		{"S7 nothing is dispatched late", watchTime},
		{"S8 the waiting room is bounded", watchRoom},
		{"S9 nothing is lost", watchBooks},
	}
	for _, promise := range promises {
		t.Run(promise.name, func(t *testing.T) {
			for seed := range uint64(300) {
				pick := seeded(seed)
				l := newLedger(pick.someConfig())
				l.checks = promise.watch(l)
				for range 300 {
					if err := l.apply(pick.someOp(len(l.cfg.Classes))); err != nil {
						t.Fatalf("seed %d, %+v:\n%v", seed, l.cfg, err)
					}
				}
			}
			for seed := range uint64(100) {
				pick := seeded(seed)
				l := newLedger(pick.busyConfig())
				l.checks = promise.watch(l)
				busy := make([]bool, len(l.cfg.Classes))
				for range 2000 {
					if err := l.apply(pick.busyOp(l, busy)); err != nil {
						t.Fatalf("busy seed %d, %+v:\n%v", seed, l.cfg, err)
					}
				}
			}
		})
	}
}

// busyConfig has roomy bounds and floors that sum to the most there may be.
func (pick choose) busyConfig() Config {
	cfg := Config{Limit: pick.someLimit(), Classes: make([]ClassConfig, 1+pick(8))}
	left := maxFloors
	for range len(cfg.Classes) {
		class := &cfg.Classes[pick(len(cfg.Classes))]
		part := left
		if pick(4) > 0 {
			part = BasisPoints(pick(int(left) + 1))
		}
		class.Floor += part
		left -= part
	}
	for i := range cfg.Classes {
		cfg.Classes[i].MaxWaiting = 1000
		if pick(3) == 0 {
			cfg.Classes[i].Reserve = pick(3)
		}
	}
	return cfg
}

// busyOp keeps the busy classes waiting, and changes now and then which they are.
func (pick choose) busyOp(l *ledger, busy []bool) op {
	if pick(40) == 0 {
		class := pick(len(busy))
		busy[class] = !busy[class]
	}
	for class := range busy {
		if entries, _ := l.bounded(class); busy[class] && len(entries) < 3+pick(3) {
			return op{kind: opArrive, class: class, flow: uint64(pick(3))}
		}
	}
	if pick(60) == 0 {
		return op{kind: opWithdraw, which: pick(100)}
	}
	return op{kind: opRelease, which: pick(64)}
}

func watchLimit(l *ledger) checks {
	before := make([]int, len(l.servers))
	return checks{
		before: func(op) {
			copy(before, l.on)
		},
		after: func(o op) error {
			for i, s := range l.servers {
				if n := l.on[i]; n > max(s.limit, before[i]) {
					return fmt.Errorf("%d slots of server %d in use, limit %d, before it were %d", n, i, s.limit, before[i])
				}
				if n := l.on[i]; n > before[i] && !l.used(s) {
					return fmt.Errorf("server %d is down and gets work", i)
				}
			}
			return nil
		},
	}
}

func watchIdle(l *ledger) checks {
	return checks{after: func(op) error {
		for _, e := range l.waiting {
			if l.mayStart(e.class) {
				return fmt.Errorf("%d slots in use of %v, and work %d of class %d waits", l.on, l.servers, e.id, e.class)
			}
		}
		return nil
	}}
}

// watchOrder lets a class go against order and reserve no more often than its
// floor has earned it since it waits.
func watchOrder(l *ledger) checks {
	type wait struct{ dispatches, exceptions int }
	waits := make([]wait, len(l.cfg.Classes))
	return checks{
		dispatched: func(e *entry) error {
			for class := range waits {
				if l.waits(class) {
					waits[class].dispatches++
				}
			}
			if l.inOrder(e.class) {
				return nil
			}
			w := &waits[e.class]
			w.exceptions++
			earned := float64(w.dispatches) * 1.1 * float64(l.cfg.Classes[e.class].Floor) / 10_000
			if float64(w.exceptions) > earned+1e-9 {
				return fmt.Errorf("class %d goes out of order: %d times in %d dispatches, has earned %.3f",
					e.class, w.exceptions, w.dispatches, earned)
			}
			return nil
		},
		left: func(e *entry) {
			if !l.waits(e.class) {
				waits[e.class] = wait{}
			}
		},
	}
}

// watchTurns follows each two flows of a class for as long as both wait: how far
// one is ahead of the other may move by one, from its least to its most.
func watchTurns(l *ledger) checks {
	type pair struct {
		class int
		a, b  uint64
	}
	type lead struct{ now, least, most int }
	leads := make(map[pair]lead)
	return checks{
		dispatched: func(e *entry) error {
			for _, other := range l.waiting {
				if other.class != e.class {
					continue
				}
				if other.flow == e.flow && other.id < e.id && !mayTurn(l, e.class) {
					return fmt.Errorf("overtakes work %d of its own flow", other.id)
				}
			}
			for flow := range uint64(4) {
				waits := slices.ContainsFunc(l.waiting, func(o *entry) bool { return o.class == e.class && o.flow == flow })
				if flow == e.flow || !waits {
					continue
				}
				p, step := pair{e.class, e.flow, flow}, 1
				if flow < e.flow {
					p, step = pair{e.class, flow, e.flow}, -1
				}
				d := leads[p]
				d.now += step
				d.least, d.most = min(d.least, d.now), max(d.most, d.now)
				leads[p] = d
				if d.most-d.least > 1 {
					return fmt.Errorf("flows %d and %d of class %d wait, one was served %d more often", p.a, p.b, e.class, d.most-d.least)
				}
			}
			return nil
		},
		left: func(e *entry) {
			if !slices.ContainsFunc(l.waiting, func(o *entry) bool { return o.class == e.class && o.flow == e.flow }) {
				for p := range leads {
					if p.class == e.class && (p.a == e.flow || p.b == e.flow) {
						delete(leads, p)
					}
				}
			}
		},
	}
}

// mayTurn reports whether a class may serve the newest first: it has an objective,
// and what waits for longest has waited for longer than that.
func mayTurn(l *ledger, class int) bool {
	cfg := l.cfg.Classes[class]
	for _, e := range l.waiting {
		if e.class == class {
			return cfg.Objective > 0 && !cfg.KeepOrder && l.now-e.arrived > cfg.Objective
		}
	}
	return false
}

// watchFloors counts in every window of 10/f dispatches in which a class with
// floor f waits, rounded up, that it gets 10.
func watchFloors(l *ledger) checks {
	got := make([][]int, len(l.cfg.Classes)) // how many it got, after each dispatch since it waits
	return checks{
		dispatched: func(e *entry) error {
			for i, class := range l.cfg.Classes {
				if class.Floor == 0 || !l.waits(i) {
					continue
				}
				if got[i] == nil {
					got[i] = []int{0}
				}
				n := got[i][len(got[i])-1]
				if i == e.class {
					n++
				}
				got[i] = append(got[i], n)
				window := (10*10_000 + int(class.Floor) - 1) / int(class.Floor)
				if from := len(got[i]) - 1 - window; from >= 0 && n-got[i][from] < 10 {
					return fmt.Errorf("class %d got %d of %d dispatches, the last of %d", i, n-got[i][from], window, len(got[i])-1)
				}
			}
			return nil
		},
		left: func(e *entry) {
			if !l.waits(e.class) {
				got[e.class] = nil
			}
		},
	}
}

func watchTime(l *ledger) checks {
	over := func(until time.Duration) bool { return until != 0 && l.now >= until }
	took := make([][]time.Duration, len(l.cfg.Classes))
	latest := make([]time.Duration, len(l.cfg.Classes))
	// quickest is what all but few of the latest took longer than.
	quickest := func(class int) time.Duration {
		all := slices.Sorted(slices.Values(took[class][max(0, len(took[class])-keptDurations):]))
		if len(all) < fewDurations {
			return 0
		}
		return all[len(all)/10]
	}
	return checks{
		before: func(o op) {
			if n := len(l.player.running); o.kind == opRelease && o.how == Done && n > 0 {
				u := l.player.running[o.which%n]
				if l.now-latest[u.class] >= staleAfter {
					took[u.class] = nil
				}
				took[u.class], latest[u.class] = append(took[u.class], l.now-u.began), l.now
			}
		},
		dispatched: func(e *entry) error {
			if e.kind == opArrive && (over(e.deadline) || over(e.longest)) {
				return fmt.Errorf("dispatched at %v, deadline %v, max wait until %v", l.now, e.deadline, e.longest)
			}
			return nil
		},
		shed: func(e *entry, reason Reason) error {
			deadlineFirst := e.longest == 0 || e.deadline != 0 && e.deadline <= e.longest
			hopeless := reason == Deadline && e.deadline != 0 && l.now+quickest(e.class) >= e.deadline
			if hopeless {
				return nil
			}
			if reason == Deadline && !(over(e.deadline) && deadlineFirst) || reason == MaxWait && (!over(e.longest) || deadlineFirst) {
				return fmt.Errorf("shed as %v at %v, deadline %v, max wait until %v", reason, l.now, e.deadline, e.longest)
			}
			return nil
		},
		after: func(o op) error {
			for _, e := range l.waiting {
				if o.kind == opExpire && (over(e.deadline) || over(e.longest)) {
					return fmt.Errorf("work %d still waits", e.id)
				}
			}
			return nil
		},
	}
}

// watchRoom allows a class to be beyond its bounds, and all together within
// theirs, only if each arrival that found no room displaced the right work.
func watchRoom(l *ledger) checks {
	var arrival *entry
	var displaced []*entry
	tooMuch := func(e *entry) bool {
		var all, most int64
		for i, cfg := range l.cfg.Classes {
			_, held := l.bounded(i)
			if i == e.class && cfg.MaxWaitingBytes > 0 && held > cfg.MaxWaitingBytes {
				return e.bytes > 0
			}
			if cfg.MaxWaitingBytes == 0 {
				most = unbounded
			}
			all, most = all+held, most+cfg.MaxWaitingBytes
		}
		return e.bytes > 0 && all > most
	}
	full := func(class int) (count, bytes bool) {
		own, ownBytes := l.bounded(class)
		cfg := l.cfg.Classes[class]
		return len(own) > cfg.MaxWaiting, cfg.MaxWaitingBytes > 0 && ownBytes > cfg.MaxWaitingBytes
	}
	return checks{
		before: func(op) { arrival, displaced = nil, nil },
		shed: func(e *entry, reason Reason) error {
			newest := l.waiting[len(l.waiting)-1]
			switch reason {
			case Displaced:
				arrival, displaced = newest, append(displaced, e)
				if e.class <= arrival.class || e.kept {
					return fmt.Errorf("class %d, kept %t, is displaced by class %d", e.class, e.kept, arrival.class)
				}
				for i := e.class; i < len(l.cfg.Classes); i++ {
					if all := l.displaceable(i); len(all) > 0 && all[len(all)-1].id > e.id || len(all) > 0 && i > e.class {
						return fmt.Errorf("class %d is displaced though work of class %d should go first", e.class, i)
					}
				}
				if !slices.Contains(l.displaceable(e.class), e) {
					return fmt.Errorf("class %d is displaced from a place that its floor keeps", e.class)
				}
			case QueueFull, QueueBytes:
				below := 0
				for i := e.class + 1; i < len(l.cfg.Classes); i++ {
					var bytes int64
					all := l.displaceable(i)
					for _, other := range all {
						bytes += other.bytes
					}
					if bytes >= e.bytes {
						below += len(all)
					}
				}
				cfg := l.cfg.Classes[e.class]
				tooLarge := cfg.MaxWaitingBytes > 0 && e.bytes > cfg.MaxWaitingBytes
				if reason == QueueBytes && e.bytes == 0 {
					return errors.New("refused for its bytes, has none")
				}
				if e != newest && reason == QueueFull {
					if mine, its := l.ofFlow(newest), l.ofFlow(e); its <= mine || e.class != newest.class {
						return fmt.Errorf("refused for work of class %d, whose flow has %d waiting, its own has %d", newest.class, mine, its)
					}
					displaced = append(displaced, e)
					arrival = newest
					return nil
				}
				if e == newest && reason == QueueFull {
					for _, other := range l.waiting {
						if other.class == e.class && l.ofFlow(other) > l.ofFlow(e) && !other.kept && !tooMuch(e) && cfg.MaxWaiting > 0 {
							return fmt.Errorf("refused with %d of its flow waiting, flow %d has %d", l.ofFlow(e), other.flow, l.ofFlow(other))
						}
					}
				}
				if e != newest || len(displaced) > 0 || e.kept || below > 0 && cfg.MaxWaiting > 0 && !tooLarge {
					return fmt.Errorf("refused as %v: newest %t, displaced %d, could displace %d", reason, e == newest, len(displaced), below)
				}
			}
			return nil
		},
		after: func(o op) error {
			var count, maxCount int
			var bytes, maxBytes int64
			someUnbounded := false
			for i, cfg := range l.cfg.Classes {
				all, held := l.bounded(i)
				count, bytes = count+len(all), bytes+held
				maxCount, maxBytes = maxCount+cfg.MaxWaiting, maxBytes+cfg.MaxWaitingBytes
				someUnbounded = someUnbounded || cfg.MaxWaitingBytes == 0
				if cfg.MaxWaiting == 0 && len(all) > 0 {
					return fmt.Errorf("%d of class %d wait, none may", len(all), i)
				}
			}
			if count > maxCount || bytes > maxBytes && !someUnbounded {
				return fmt.Errorf("%d wait with %d bytes, bounds %d and %d", count, bytes, maxCount, maxBytes)
			}
			if len(displaced) == 0 && o.kind == opArrive && len(l.waiting) > 0 {
				e := l.waiting[len(l.waiting)-1]
				tooMany, tooMuch := full(e.class)
				if e.id == l.arrivals && !e.kept && (tooMany || tooMuch && e.bytes > 0) {
					return fmt.Errorf("class %d is beyond its bounds and displaced nothing", e.class)
				}
			}
			var freed int64
			for _, e := range displaced {
				if freed > 0 && freed >= arrival.bytes {
					return fmt.Errorf("displaced %d, fewer would have done", len(displaced))
				}
				freed += e.bytes
			}
			return nil
		},
	}
}

// watchBooks compares the core's counts with the ends that the ledger has seen.
// That nothing ends twice is checked by the ledger itself.
func watchBooks(l *ledger) checks {
	ends := make([]map[string]int, len(l.cfg.Classes))
	for i := range ends {
		ends[i] = make(map[string]int)
	}
	draining := false
	return checks{
		before: func(o op) { draining = draining || o.kind == opDrain },
		dispatched: func(*entry) error {
			if draining {
				return errors.New("dispatched after drain")
			}
			return nil
		},
		left: func(e *entry) { ends[e.class][l.final[e.id]]++ },
		after: func(op) error {
			core, waiting := l.player.core, 0
			for i := range core.classes {
				counts := core.classes[i].counts
				ok := int(counts.Dispatched) == ends[i]["started"] && int(counts.Withdrawn) == ends[i]["withdrawn"]
				for _, reason := range Reasons() {
					ok = ok && int(counts.Shed[reason]) == ends[i][reason.String()]
				}
				if !ok || core.classes[i].running != l.running[i] {
					return fmt.Errorf("class %d, %d running, counts %+v, want %d and %v", i, core.classes[i].running, counts, l.running[i], ends[i])
				}
				waiting += core.classes[i].waiting.n
			}
			if len(l.final)+waiting != l.arrivals || waiting != len(l.waiting) {
				return fmt.Errorf("%d arrived, %d ended, %d wait, want %d", l.arrivals, len(l.final), waiting, len(l.waiting))
			}
			return nil
		},
	}
}
