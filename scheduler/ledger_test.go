package scheduler

import (
	"fmt"
	"slices"
	"time"
)

// ledger books a core's history from what a user sees, the operations and the
// fates, so that the promises can be checked without asking the core.
type ledger struct {
	cfg      Config
	servers  []place
	all      bool // a probe is for all classes
	reserves []int
	now      time.Duration
	waiting  []*entry // in order of arrival
	running  []int    // slots in use, per class
	on       []int    // slots in use, per server
	final    map[int]string
	arrivals int
	player   *player
	checks   checks
}

// entry is one piece of work that waits.
type entry struct {
	op
	id       int
	arrived  time.Duration
	deadline time.Duration // 0 for none
	longest  time.Duration // when max wait ends it; 0 for never
}

// checks are called at every event, before it is booked unless they say
// otherwise; nil ones are skipped.
type checks struct {
	dispatched func(e *entry) error
	shed       func(e *entry, reason Reason) error
	left       func(e *entry)   // it has just ceased to wait, in whatever way
	before     func(o op)       // before each operation
	after      func(o op) error // when all its fates are booked
}

func newLedger(cfg Config) *ledger {
	l := &ledger{
		cfg: cfg, player: newPlayer(cfg), now: time.Hour,
		running: make([]int, len(cfg.Classes)), final: make(map[int]string),
	}
	for i := range max(cfg.Servers, 1) {
		l.servers = append(l.servers, newPlace(i, cfg.Limit))
	}
	l.on = make([]int, len(l.servers))
	l.share()
	return l
}

// used reports whether work goes to s.
func (l *ledger) used(s place) bool {
	return !s.down || !slices.ContainsFunc(l.servers, func(s place) bool { return !s.down })
}

// share works out the reserves as ClassConfig says.
func (l *ledger) share() {
	limit := 0
	for _, s := range l.servers {
		if l.used(s) {
			limit += s.limit
		}
	}
	l.reserves = nil
	open := limit
	for _, class := range l.cfg.Classes {
		reserve := class.Reserve
		if reserve == 0 {
			reserve = (limit*int(class.ReserveShare) + 9_999) / 10_000
		}
		for reserve > 0 && open-reserve < 1 {
			reserve--
		}
		open -= reserve
		l.reserves = append(l.reserves, reserve)
	}
}

// apply has the core perform o, and books and checks what came of it.
func (l *ledger) apply(o op) error {
	if l.checks.before != nil {
		l.checks.before(o)
	}
	l.book(o)
	for _, f := range l.player.apply(o) {
		if err := l.settle(f); err != nil {
			return fmt.Errorf("at %v: work %d: %w", o, f.id, err)
		}
	}
	if n := len(l.waiting); o.kind == opTry && n > 0 && l.waiting[n-1].id == l.arrivals {
		l.remove(l.waiting[n-1], "not started")
	}
	if l.checks.after != nil {
		if err := l.checks.after(o); err != nil {
			return fmt.Errorf("after %v: %w", o, err)
		}
	}
	return nil
}

// book enters what is known before the core has been asked.
func (l *ledger) book(o op) {
	switch o.kind {
	case opArrive:
		l.arrivals++
		e := &entry{op: o, id: l.arrivals, arrived: l.now}
		if o.until != 0 {
			e.deadline = l.now + o.until
		}
		if wait := l.cfg.Classes[o.class].MaxWait; wait > 0 && !o.kept {
			e.longest = l.now + wait
		}
		l.waiting = append(l.waiting, e)
	case opRelease:
		if n := len(l.player.running); n > 0 {
			u := l.player.running[o.which%n]
			l.running[u.class]--
			l.on[u.server]--
		}
	case opWithdraw:
		if n := len(l.waiting); n > 0 {
			l.remove(l.waiting[o.which%n], "withdrawn")
		}
	case opAdvance:
		l.now += o.by
	case opResize:
		l.all = o.all
		fallthrough
	case opShare, opDown:
		l.servers[o.place.which%len(l.servers)].book(o)
		l.share()
	case opTry:
		l.arrivals++
		// Either it starts at once, which settle sees, or it has never been.
		l.waiting = append(l.waiting, &entry{op: o, id: l.arrivals, arrived: l.now})
	}
}

func (l *ledger) settle(f fate) error {
	i := slices.IndexFunc(l.waiting, func(e *entry) bool { return e.id == f.id })
	if i < 0 {
		return fmt.Errorf("decided, but it does not wait: %s before", l.final[f.id])
	}
	e := l.waiting[i]
	if f.reason != 0 {
		if l.checks.shed != nil {
			if err := l.checks.shed(e, f.reason); err != nil {
				return err
			}
		}
		l.remove(e, f.reason.String())
		return nil
	}
	if l.checks.dispatched != nil {
		if err := l.checks.dispatched(e); err != nil {
			return err
		}
	}
	l.remove(e, "started")
	l.running[e.class]++
	i = slices.IndexFunc(l.player.running, func(u use) bool { return u.id == f.id })
	l.on[l.player.running[i].server]++
	return nil
}

func (l *ledger) remove(e *entry, final string) {
	l.final[e.id] = final
	l.waiting = slices.DeleteFunc(l.waiting, func(other *entry) bool { return other == e })
	if l.checks.left != nil {
		l.checks.left(e)
	}
}

// mayStart is the inequality that doc.go gives for the class order.
func (l *ledger) mayStart(class int) bool {
	sum := 0
	for i := range class {
		sum += max(0, l.reserves[i]-l.running[i]-l.free(i)+l.free(class))
	}
	return l.free(class) > sum
}

// free returns the free slots that no probe keeps from the class.
func (l *ledger) free(class int) int {
	n := 0
	for i, s := range l.servers {
		limit := s.limit
		if class > 0 || l.all {
			limit = min(limit, s.narrow)
		}
		if l.used(s) {
			n += max(0, limit-l.on[i])
		}
	}
	return n
}

// inOrder reports whether class is the most urgent one that waits, and may start.
func (l *ledger) inOrder(class int) bool {
	for _, e := range l.waiting {
		if e.class < class {
			return false
		}
	}
	return l.mayStart(class)
}

func (l *ledger) waits(class int) bool {
	return slices.ContainsFunc(l.waiting, func(e *entry) bool { return e.class == class })
}

// bounded returns what counts towards the bounds of class, and its bytes.
func (l *ledger) bounded(class int) (entries []*entry, bytes int64) {
	for _, e := range l.waiting {
		if e.class == class && !e.kept {
			entries = append(entries, e)
			bytes += e.bytes
		}
	}
	return entries, bytes
}

// displaceable returns what of a class may be displaced: all but the oldest that
// make up the share of its places which is its floor.
func (l *ledger) displaceable(class int) []*entry {
	all, _ := l.bounded(class)
	cfg := l.cfg.Classes[class]
	kept := (cfg.MaxWaiting*int(cfg.Floor) + 9_999) / 10_000
	return all[min(kept, len(all)):]
}

// ofFlow returns how many of e's class and flow wait and count towards the bounds.
func (l *ledger) ofFlow(e *entry) int {
	n := 0
	for _, other := range l.waiting {
		if other.class == e.class && other.flow == e.flow && !other.kept {
			n++
		}
	}
	return n
}
