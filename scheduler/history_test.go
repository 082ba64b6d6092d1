package scheduler

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// op is one thing that happens to a core, as data.
type op struct {
	kind  opKind
	class int
	flow  uint64
	bytes int64
	kept  bool
	avoid []bool
	until time.Duration // deadline, from now; 0 for none
	which int           // release, withdraw: the n-th of those there are, modulo
	by    time.Duration
	place place // resize
	all   bool  // resize: the probe is for all classes
	down  bool
	how   Outcome // release

	classes []ClassConfig // reconfigure
}

// place is what a test knows of a server; which is its index modulo their number.
type place struct {
	which, limit, narrow int // in effect
	down                 bool
	own, ownNarrow       int // without the share
	share                BasisPoints
}

func newPlace(which, limit int) place {
	return place{which: which, limit: limit, narrow: limit, own: limit, ownNarrow: limit, share: 10_000}
}

// book enters what o does to the server.
func (s *place) book(o op) {
	switch o.kind {
	case opResize:
		s.own, s.ownNarrow = o.place.limit, o.place.narrow
	case opShare:
		s.share = o.place.share
	case opDown:
		s.down = o.down
	}
	s.limit = int(math.Ceil(float64(s.own) * float64(s.share) / 10_000))
	s.narrow = min(s.ownNarrow, s.limit)
}

type opKind uint8

const (
	opTry opKind = iota // startNow
	opArrive
	opRelease
	opWithdraw
	opAdvance // the clock only: expired work is still there
	opExpire  // what is expired is shed, as the shell's timers do
	opResize
	opShare
	opDown
	opDrain
	opReconfigure // what the classes may do
	numOps
)

func (o op) String() string {
	switch o.kind {
	case opTry:
		return fmt.Sprintf("try class %d until %v", o.class, o.until)
	case opArrive:
		return fmt.Sprintf("arrive class %d flow %d bytes %d kept %t until %v", o.class, o.flow, o.bytes, o.kept, o.until)
	case opRelease:
		return fmt.Sprintf("release %d as %d", o.which, o.how)
	case opWithdraw:
		return fmt.Sprintf("withdraw %d", o.which)
	case opAdvance:
		return fmt.Sprintf("advance %v", o.by)
	case opExpire:
		return "expire"
	case opResize:
		return fmt.Sprintf("resize server %d to %d, probe %d, of all %t", o.place.which, o.place.limit, o.place.narrow, o.all)
	case opShare:
		return fmt.Sprintf("server %d offers %d in 10,000", o.place.which, o.place.share)
	case opReconfigure:
		return fmt.Sprintf("reconfigure to %+v", o.classes)
	case opDown:
		return fmt.Sprintf("server %d down %t", o.place.which, o.down)
	}
	return "drain"
}

// fate is what the core decided about one piece of work, which is known by the
// number of its arrival; reason is 0 when it got a slot.
type fate struct {
	id     int
	reason Reason
	wait   Wait
}

// player applies ops to a core and knows the tickets by number. It does what
// the shell does around each call, in one thread and in simulated time.
type player struct {
	core    *core
	now     time.Duration
	arrived int
	numbers map[*ticket]int
	waiting []*ticket // in order of arrival
	running []use     // in order of start
	fates   []fate    // of the last op
}

// use is a slot in use.
type use struct {
	id, class, server int
	began             time.Duration
	slot              slotID
}

func newPlayer(cfg Config) *player {
	return &player{core: newCore(cfg), now: time.Hour, numbers: make(map[*ticket]int)}
}

// apply performs o and returns the fates it decided, in order. They are valid
// until the next call.
func (p *player) apply(o op) []fate {
	p.fates = p.fates[:0]
	switch o.kind {
	case opTry:
		p.arrived++
		if id, ok := p.core.startNow(o.class, p.after(o.until), o.avoid, p.now); ok {
			p.started(p.arrived, id)
			p.fates = append(p.fates, fate{id: p.arrived, wait: p.core.factsNow(o.class)})
		}
	case opArrive:
		p.arrived++
		t := &ticket{class: o.class, flow: o.flow, bytes: o.bytes, kept: o.kept, avoid: o.avoid, due: p.after(o.until)}
		p.numbers[t] = p.arrived
		p.waiting = append(p.waiting, t)
		p.core.arrive(t, p.now)
	case opRelease:
		if n := len(p.running); n > 0 {
			i := o.which % n
			if id := p.running[i].slot; !p.core.release(id, o.how, p.now) || p.core.release(id, o.how, p.now) {
				panic("a slot must be released once, and once only")
			}
			p.running = append(p.running[:i], p.running[i+1:]...)
			p.core.dispatch(p.now)
		}
	case opWithdraw:
		if n := len(p.waiting); n > 0 {
			t := p.waiting[o.which%n]
			if !p.core.withdraw(t) {
				panic("withdraw found no waiting work")
			}
			p.forget(t)
		}
	case opAdvance:
		p.now += o.by
	case opExpire:
		for _, t := range p.waiting {
			p.core.expire(t, p.now)
		}
	case opResize:
		p.core.probesAll = o.all
		p.core.resize(o.place.which%len(p.core.servers), o.place.limit, o.place.narrow)
		p.core.dispatch(p.now)
	case opShare:
		p.core.setShare(o.place.which%len(p.core.servers), o.place.share)
		p.core.dispatch(p.now)
	case opDown:
		p.core.setDown(o.place.which%len(p.core.servers), o.down)
		p.core.dispatch(p.now)
	case opReconfigure:
		p.core.bargain(o.classes)
		p.core.dispatch(p.now)
	case opDrain:
		p.core.drain(p.now)
	}
	for _, t := range p.core.decided {
		id := p.forget(t)
		p.fates = append(p.fates, fate{id, t.reason, t.facts})
		if t.state == started {
			p.started(id, t.slot)
		}
	}
	p.core.decided = p.core.decided[:0]
	return p.fates
}

// after returns the time until from now, 0 for none.
func (p *player) after(until time.Duration) time.Duration {
	if until == 0 {
		return 0
	}
	return p.now + until
}

func (p *player) started(id int, slot slotID) {
	at, ok := p.core.slots.get(slot)
	if !ok {
		panic("started without a slot")
	}
	p.running = append(p.running, use{id, int(at.class), int(at.server), at.started, slot})
}

// forget takes t out of what waits and returns its number.
func (p *player) forget(t *ticket) int {
	for i := range p.waiting {
		if p.waiting[i] == t {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			break
		}
	}
	id := p.numbers[t]
	delete(p.numbers, t)
	return id
}

// choose returns a number from 0 to n-1. Histories are made of such choices, so
// that chance, a fuzzer's bytes and rapid's shrinking can all make them.
type choose func(n int) int

func seeded(seed uint64) choose { return rand.New(rand.NewPCG(seed, 0)).IntN }

// fromBytes chooses by data, and 0 when it is used up.
func fromBytes(data *[]byte) choose {
	next := func() int {
		if len(*data) == 0 {
			return 0
		}
		b := (*data)[0]
		*data = (*data)[1:]
		return int(b)
	}
	return func(n int) int {
		if n <= 256 {
			return next() % n
		}
		return (next()<<8 | next()) % n
	}
}

// someConfig makes a valid configuration: small, so that every bound is met.
func (pick choose) someConfig() Config {
	cfg := Config{Limit: pick.someLimit(), Classes: make([]ClassConfig, 1+pick(8))}
	if pick(2) == 1 {
		cfg.Servers = 1 + pick(4)
	}
	pick.fill(cfg.Classes)
	return cfg
}

// fill says what classes may do.
func (pick choose) fill(classes []ClassConfig) {
	withFloors, floors := pick(2) == 1, BasisPoints(0)
	boundBytes := pick(3) // nobody's, some, all
	for i := range classes {
		class := &classes[i]
		switch pick(4) {
		case 0:
			class.Reserve = pick(10)
		case 1:
			class.ReserveShare = BasisPoints(pick(6000))
		}
		if withFloors && pick(3) > 0 {
			class.Floor = min(BasisPoints(1+pick(100)*pick(50)), maxFloors-floors)
			floors += class.Floor
		}
		class.MaxWaiting = pick(13)
		if boundBytes == 2 || boundBytes == 1 && pick(2) == 1 {
			class.MaxWaitingBytes = int64(1 + pick(200))
		}
		if pick(2) == 1 {
			class.MaxWait = time.Duration(1 + pick(40))
		}
		if pick(2) == 1 {
			class.Objective = time.Duration(1 + pick(10))
			class.KeepOrder = pick(4) == 0
		}
	}
}

// someLimit is small more often than not, since that is where work waits.
func (pick choose) someLimit() int { return 1 + pick([]int{3, 8, 64}[pick(3)]) }

// someOpOrReconfigure is someOp, but now and then classes may do something else from
// then on: half of them, so that there are also some that go on.
func (pick choose) someOpOrReconfigure(classes []ClassConfig) op {
	if pick(100) < 99 {
		return pick.someOp(len(classes))
	}
	anew := make([]ClassConfig, len(classes))
	pick.fill(anew)
	floors := BasisPoints(0)
	for i := range anew {
		if pick(2) == 1 {
			anew[i] = classes[i]
		}
		anew[i].Floor = min(anew[i].Floor, maxFloors-floors)
		floors += anew[i].Floor
	}
	return op{kind: opReconfigure, classes: anew}
}

// someOp makes anything happen, arrivals and releases most often.
func (pick choose) someOp(classes int) op {
	switch n := pick(200); {
	case n < 92:
		o := op{kind: opArrive, class: pick(classes), flow: uint64(pick(4)), kept: pick(10) == 9}
		if pick(2) == 1 {
			o.bytes = int64(pick(60))
		}
		if pick(4) == 3 {
			o.until = time.Duration(pick(40) - 1)
		}
		if pick(8) == 7 {
			o.avoid = []bool{pick(2) == 1, pick(2) == 1, pick(2) == 1, pick(2) == 1}
		}
		return o
	case n < 157:
		return op{kind: opRelease, which: pick(64), how: Outcome(pick(8) / 7)}
	case n < 165:
		return op{kind: opTry, class: pick(classes), until: time.Duration(max(0, pick(40)-20))}
	case n < 173:
		return op{kind: opWithdraw, which: pick(100)}
	case n < 185:
		switch pick(40) {
		case 0:
			return op{kind: opAdvance, by: staleAfter}
		case 1, 2, 3:
			return op{kind: opAdvance, by: overloadInterval / 2}
		}
		return op{kind: opAdvance, by: time.Duration(pick(8))}
	case n < 193:
		return op{kind: opExpire}
	case n < 197:
		o := op{kind: opResize, place: place{which: pick(4), limit: pick.someLimit()}, all: pick(2) == 1}
		o.place.narrow = o.place.limit
		if pick(2) == 1 {
			o.place.narrow = 1 + pick(o.place.limit)
		}
		return o
	case n < 198:
		return op{kind: opShare, place: place{which: pick(4), share: BasisPoints(1 + pick(4)*3333)}}
	case n < 199:
		return op{kind: opDown, place: place{which: pick(4)}, down: pick(2) == 1}
	}
	if pick(10) == 9 {
		return op{kind: opDrain}
	}
	return op{kind: opExpire}
}
