package scheduler

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// simulation runs a core in front of a simulated app, in simulated time.
type simulation struct {
	core    *core
	app     appModel
	random  *rand.Rand
	loads   []load
	now     time.Duration
	events  eventQueue
	seq     int
	waiting map[*ticket]*piece

	appQueue []*piece // FIFO inside the app
	busy     int
	sharing  []*piece // processor sharing: all that run
	shared   time.Duration
	version  int  // of the plan for the next end under sharing
	again    bool // the core has asked to be called again

	// What came of it.
	measured time.Duration // since when
	latency  [][]time.Duration
	waits    [][]time.Duration
	done     []int
	shed     []int
	limits   []limitAt // every 100 ms
}

type limitAt struct {
	at    time.Duration
	limit int
}

// appModel is an app: workers and one queue, or a processor that all share.
type appModel struct {
	workers     int
	exponential bool
	shares      bool
	change      func(at time.Duration) int // workers over time, nil for constant
}

// load is one class's arrivals, a Poisson process.
type load struct {
	perSecond float64
	service   time.Duration
	flows     int
	burstAt   time.Duration
	burst     int
}

type piece struct {
	ticket
	work    time.Duration // what is left of it
	index   int           // in sharing
	created time.Duration
	id      slotID
}

type event struct {
	at      time.Duration
	seq     int
	kind    int // below: class of an arrival
	piece   *piece
	version int
}

const (
	evEnd = 100 + iota
	evShared
	evAgain
	evExpire
	evSample
)

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(a, b int) bool {
	return q[a].at < q[b].at || q[a].at == q[b].at && q[a].seq < q[b].seq
}
func (q eventQueue) Swap(a, b int) { q[a], q[b] = q[b], q[a] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *eventQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}

func newSimulation(cfg Config, app appModel, loads []load, seed uint64) *simulation {
	s := &simulation{
		core: newCore(cfg), waiting: make(map[*ticket]*piece), app: app, loads: loads, random: rand.New(rand.NewPCG(seed, 1)),
		latency: make([][]time.Duration, len(loads)), waits: make([][]time.Duration, len(loads)),
		done: make([]int, len(loads)), shed: make([]int, len(loads)),
	}
	for class, l := range loads {
		if l.perSecond > 0 {
			s.plan(event{at: s.exp(1 / l.perSecond), kind: class})
		}
		if l.burst > 0 {
			for range l.burst {
				s.plan(event{at: l.burstAt, kind: class, version: -1})
			}
		}
	}
	s.plan(event{kind: evSample})
	return s
}

func (s *simulation) exp(mean float64) time.Duration {
	return time.Duration(s.random.ExpFloat64() * mean * float64(time.Second))
}

func (s *simulation) plan(e event) {
	s.seq++
	e.seq = s.seq
	heap.Push(&s.events, e)
}

// run simulates until end and measures from begin.
func (s *simulation) run(begin, end time.Duration) {
	s.measured = begin
	for s.events.Len() > 0 && s.events[0].at <= end {
		e := heap.Pop(&s.events).(event)
		s.now = e.at
		switch e.kind {
		case evEnd:
			s.busy--
			s.finish(e.piece)
		case evShared:
			if e.version == s.version {
				s.advance()
				s.finishShared()
			}
		case evAgain:
			s.again = false
			s.core.tick(s.now)
			s.core.dispatch(s.now)
		case evExpire:
			s.core.expire(&e.piece.ticket, s.now)
		case evSample:
			s.limits = append(s.limits, limitAt{s.now, s.core.limit})
			s.plan(event{at: s.now + 100*time.Millisecond, kind: evSample})
		default:
			s.arrive(e)
		}
		s.settle()
	}
}

func (s *simulation) arrive(e event) {
	l := s.loads[e.kind]
	if e.version == 0 {
		s.plan(event{at: s.now + s.exp(1/l.perSecond), kind: e.kind})
	}
	p := &piece{work: l.service, created: s.now}
	if s.app.exponential {
		p.work = s.exp(l.service.Seconds())
	}
	p.class = e.kind
	if l.flows > 0 {
		p.flow = uint64(s.random.IntN(l.flows))
	}
	if id, ok := s.core.startNow(p.class, 0, nil, s.now); ok {
		p.id = id
		s.begin(p, 0)
		return
	}
	s.waiting[&p.ticket] = p
	s.core.arrive(&p.ticket, s.now)
	if p.state == waiting && p.expires != 0 {
		s.plan(event{at: p.expires, kind: evExpire, piece: p})
	}
}

// settle books what the core has decided.
func (s *simulation) settle() {
	for _, t := range s.core.decided {
		p := s.waiting[t]
		delete(s.waiting, t)
		if t.state == started {
			p.id = t.slot
			s.begin(p, s.now-t.arrived)
		} else if s.now >= s.measured {
			s.shed[t.class]++
		}
	}
	s.core.decided = s.core.decided[:0]
	if s.core.again != 0 && !s.again {
		s.plan(event{at: s.now + s.core.again, kind: evAgain})
		s.again = true
	}
	s.startInApp()
}

// begin sends a piece of work to the app.
func (s *simulation) begin(p *piece, waited time.Duration) {
	if s.now >= s.measured {
		s.waits[p.class] = append(s.waits[p.class], waited)
	}
	if s.app.shares {
		s.advance()
		p.index = len(s.sharing)
		s.sharing = append(s.sharing, p)
		s.replan()
		return
	}
	s.appQueue = append(s.appQueue, p)
	s.startInApp()
}

func (s *simulation) startInApp() {
	workers := s.app.workers
	if s.app.change != nil {
		workers = s.app.change(s.now)
	}
	for s.busy < workers && len(s.appQueue) > 0 {
		p := s.appQueue[0]
		s.appQueue = s.appQueue[1:]
		s.busy++
		s.plan(event{at: s.now + p.work, kind: evEnd, piece: p})
	}
}

func (s *simulation) finish(p *piece) {
	s.core.release(p.id, Done, s.now)
	if s.now >= s.measured {
		s.done[p.class]++
		s.latency[p.class] = append(s.latency[p.class], s.now-p.created)
	}
	s.core.dispatch(s.now)
}

// advance lets the shared processor work until now.
func (s *simulation) advance() {
	elapsed := float64(s.now - s.shared)
	s.shared = s.now
	if len(s.sharing) == 0 {
		return
	}
	speed := min(1, float64(s.app.workers)/float64(len(s.sharing)))
	for _, p := range s.sharing {
		p.work -= time.Duration(math.Round(elapsed * speed))
	}
}

func (s *simulation) finishShared() {
	for i := len(s.sharing) - 1; i >= 0; i-- {
		if i < len(s.sharing) && s.sharing[i].work <= time.Microsecond {
			p := s.sharing[i]
			s.sharing = slices.Delete(s.sharing, i, i+1)
			s.finish(p)
			s.settle()
		}
	}
	s.replan()
}

func (s *simulation) replan() {
	if len(s.sharing) == 0 {
		return
	}
	least := s.sharing[0].work
	for _, p := range s.sharing {
		least = min(least, p.work)
	}
	slow := max(1, float64(len(s.sharing))/float64(s.app.workers))
	s.version++
	s.plan(event{at: s.now + time.Duration(math.Ceil(float64(max(least, 0))*slow)), kind: evShared, version: s.version})
}

// quantile returns the q-quantile of what was measured.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	all = slices.Clone(all)
	slices.Sort(all)
	return all[min(int(q*float64(len(all))), len(all)-1)]
}
