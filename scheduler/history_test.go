package scheduler

import (
	"fmt"
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
	until time.Duration // deadline, from now; 0 for none
	which int           // release, withdraw: the n-th of those there are, modulo
	limit int
	by    time.Duration
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
	opDrain
	numOps
)

func (o op) String() string {
	switch o.kind {
	case opTry:
		return fmt.Sprintf("try class %d", o.class)
	case opArrive:
		return fmt.Sprintf("arrive class %d flow %d bytes %d kept %t until %v", o.class, o.flow, o.bytes, o.kept, o.until)
	case opRelease:
		return fmt.Sprintf("release %d", o.which)
	case opWithdraw:
		return fmt.Sprintf("withdraw %d", o.which)
	case opAdvance:
		return fmt.Sprintf("advance %v", o.by)
	case opExpire:
		return "expire"
	case opResize:
		return fmt.Sprintf("resize %d", o.limit)
	}
	return "drain"
}

// fate is what the core decided about one piece of work, which is known by the
// number of its arrival; reason is 0 when it got a slot.
type fate struct {
	id     int
	reason Reason
}

// player applies ops to a core and knows the tickets by number. It does what
// the shell does around each call, in one thread and in simulated time.
type player struct {
	core    *core
	now     time.Duration
	arrived int
	numbers map[*ticket]int
	waiting []*ticket // in order of arrival
	running []slot    // in order of start
	fates   []fate    // of the last op
}

type slot struct{ id, class int }

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
		if p.core.startNow(o.class) {
			p.running = append(p.running, slot{p.arrived, o.class})
			p.fates = append(p.fates, fate{id: p.arrived})
		}
	case opArrive:
		p.arrived++
		t := &ticket{class: o.class, flow: o.flow, bytes: o.bytes, kept: o.kept}
		if o.until != 0 {
			t.expires = p.now + o.until
		}
		p.numbers[t] = p.arrived
		p.waiting = append(p.waiting, t)
		p.core.arrive(t, p.now)
	case opRelease:
		if n := len(p.running); n > 0 {
			i := o.which % n
			p.core.release(p.running[i].class)
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
		p.core.resize(o.limit)
		p.core.dispatch(p.now)
	case opDrain:
		p.core.drain(p.now)
	}
	for _, t := range p.core.decided {
		id := p.forget(t)
		p.fates = append(p.fates, fate{id, t.reason})
		if t.state == started {
			p.running = append(p.running, slot{id, t.class})
		}
	}
	p.core.decided = p.core.decided[:0]
	return p.fates
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
	withFloors, floors := pick(2) == 1, BasisPoints(0)
	boundBytes := pick(3) // nobody's, some, all
	for i := range cfg.Classes {
		class := &cfg.Classes[i]
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
	}
	return cfg
}

// someLimit is small more often than not, since that is where work waits.
func (pick choose) someLimit() int { return 1 + pick([]int{3, 8, 64}[pick(3)]) }

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
		return o
	case n < 157:
		return op{kind: opRelease, which: pick(64)}
	case n < 165:
		return op{kind: opTry, class: pick(classes)}
	case n < 173:
		return op{kind: opWithdraw, which: pick(100)}
	case n < 185:
		return op{kind: opAdvance, by: time.Duration(pick(8))}
	case n < 193:
		return op{kind: opExpire}
	case n < 199:
		return op{kind: opResize, limit: pick.someLimit()}
	}
	if pick(10) == 9 {
		return op{kind: opDrain}
	}
	return op{kind: opExpire}
}
