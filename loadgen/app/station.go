package app

import (
	"container/heap"
	"math/rand/v2"
	"sync"
	"time"
)

// station is where the app's work is done: by workers that take it first in,
// first out, or on a processor that all work shares.
type station struct {
	exponential bool
	maxQueue    int
	finish      func(*work)
	line        *Line // nil under sharing

	mu      sync.Mutex
	random  *rand.Rand
	workers int
	running int
	closed  bool

	// Under sharing, virtual time is how much work each running request has got
	// since the start. It advances at the rate workers / running, but at most 1.
	virtual time.Duration
	since   time.Time // when virtual was worked out
	ends    endHeap
	timer   *time.Timer // the next end
}

func newStation(cfg Config, finish func(*work)) *station {
	s := &station{
		exponential: cfg.Exponential, maxQueue: cfg.MaxQueue, finish: finish,
		workers: cfg.Workers, random: rand.New(rand.NewPCG(cfg.Seed, 0)),
	}
	if !cfg.Sharing {
		s.line = NewLine(cfg.Workers, cfg.MaxQueue)
	}
	return s
}

// take begins w, or lets it wait. It reports false when too many wait.
func (s *station) take(w *work) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return true // the app is shutting down, which ends w's wait
	}
	if s.exponential {
		w.hold = time.Duration(s.random.ExpFloat64() * float64(w.hold))
	}
	if s.line != nil {
		return s.line.Take(func() { time.AfterFunc(w.hold, func() { s.end(w) }) })
	}
	s.advance()
	s.running++
	w.end = s.virtual + w.hold
	heap.Push(&s.ends, w)
	s.plan()
	return true
}

// end ends work that had a worker, which then takes the next: work of one worker
// ends in order.
func (s *station) end(w *work) {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if !closed {
		s.finish(w)
	}
	s.line.Release()
}

// advance works out the virtual time. Called with mu held.
func (s *station) advance() {
	now := time.Now()
	s.virtual += time.Duration(float64(now.Sub(s.since)) * s.speed())
	s.since = now
}

// speed is the part of a worker that each running request gets.
func (s *station) speed() float64 {
	if s.running <= s.workers {
		return 1
	}
	return float64(s.workers) / float64(s.running)
}

// plan sets the timer for the next end. Called with mu held, after advance.
func (s *station) plan() {
	if len(s.ends) == 0 {
		return
	}
	wait := time.Duration(float64(s.ends[0].end-s.virtual) / s.speed())
	if s.timer == nil {
		s.timer = time.AfterFunc(wait, s.shared)
		return
	}
	s.timer.Reset(wait)
}

// shared ends what has got all its work.
func (s *station) shared() {
	s.mu.Lock()
	s.advance()
	var done []*work
	for len(s.ends) > 0 && s.ends[0].end <= s.virtual && !s.closed {
		done = append(done, heap.Pop(&s.ends).(*work))
		s.running--
	}
	if !s.closed {
		s.plan()
	}
	s.mu.Unlock()
	for _, w := range done {
		s.finish(w)
	}
}

// resize changes the number of workers. What they are doing goes on.
func (s *station) resize(workers int) {
	if s.line != nil {
		s.line.Resize(workers)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance()
	s.workers = workers
	s.plan()
}

func (s *station) stats() (workers, busy, queued int) {
	if s.line != nil {
		return s.line.Stats()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.workers, s.running, 0
}

// close abandons what is unfinished.
func (s *station) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.line != nil {
		s.line.Close()
	}
	if s.timer != nil {
		s.timer.Stop()
	}
}

// endHeap orders work by the virtual time at which it ends.
type endHeap []*work

func (h endHeap) Len() int           { return len(h) }
func (h endHeap) Less(a, b int) bool { return h[a].end < h[b].end }
func (h endHeap) Swap(a, b int)      { h[a], h[b] = h[b], h[a] }
func (h *endHeap) Push(x any)        { *h = append(*h, x.(*work)) }
func (h *endHeap) Pop() any {
	old := *h
	w := old[len(old)-1]
	*h = old[:len(old)-1]
	return w
}
