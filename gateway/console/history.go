package console

import (
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"overtake/gateway/keyed"
)

const (
	// stepTime is the time of one point of the history.
	stepTime = 5 * time.Second
	// steps is how many are kept: 15 minutes.
	steps = 180
	// stepsPerMinute is how many make a minute.
	stepsPerMinute = int(time.Minute / stepTime)
)

// history is what ended in the last 15 minutes. What ended is added by any goroutine
// and without a lock; the lock is for those who turn and read it.
type history struct {
	classes []classHistory
	tries   keyed.Values[string, *triesHistory] // by upstream

	mu    sync.Mutex
	ring  [steps]step // guarded by mu
	turns int         // how many steps are over; the last is at turns-1 in ring, modulo; guarded by mu
}

// classHistory is the present step of one class.
type classHistory struct {
	wait, latency live
	unserved      atomic.Uint64 // of which latency has none
	shed, failed  atomic.Uint64
}

// step is a step that is over.
type step struct {
	end       time.Time
	classes   []classStep
	upstreams []UpstreamPoint
}

type classStep struct {
	wait, latency          sealed
	unserved, shed, failed uint64
	point                  ClassPoint
}

// took counts how long a server of an upstream took. The first time it allocates.
func (h *history) took(upstream string, d time.Duration) {
	h.tries.Of(upstream, func(string) *triesHistory { return new(triesHistory) }).present.add(d)
}

func newHistory(classes int) *history { return &history{classes: make([]classHistory, classes)} }

// turn ends the present step, which took took. limits are those of the upstreams.
func (h *history) turn(now time.Time, took time.Duration, limits map[string]int) {
	h.mu.Lock() // before anything is taken: who reads finds it in the present step, or here
	defer h.mu.Unlock()
	over := step{end: now, classes: make([]classStep, len(h.classes))}
	for i := range h.classes {
		c, s := &h.classes[i], &over.classes[i]
		s.wait, s.latency = c.wait.take(), c.latency.take()
		s.unserved, s.shed, s.failed = c.unserved.Swap(0), c.shed.Swap(0), c.failed.Swap(0)
		var wait, latency sum
		wait.addSealed(&s.wait)
		latency.addSealed(&s.latency)
		s.point = ClassPoint{
			Rate:    math.Round(float64(latency.n+s.unserved)/took.Seconds()*1000) / 1000,
			WaitP50: wait.quantile(0.5), WaitP99: wait.quantile(0.99),
			LatencyP50: latency.quantile(0.5), LatencyP99: latency.quantile(0.99), Shed: s.shed, Failed: s.failed,
		}
	}
	over.upstreams = h.turnTriesLocked(limits)
	h.ring[h.turns%steps] = over
	h.turns++
}

// turnTriesLocked is turn for the upstreams, of which limits has those that there are.
func (h *history) turnTriesLocked(limits map[string]int) []UpstreamPoint {
	tries := h.tries.All() // once: what is new is in the next step
	for _, t := range tries {
		t.ring[h.turns%steps] = t.present.take()
	}
	points := []UpstreamPoint{}
	for _, upstream := range slices.Sorted(maps.Keys(limits)) {
		p := UpstreamPoint{Name: upstream, Limit: limits[upstream]}
		if t, ok := tries[upstream]; ok {
			var took sum
			took.addSealed(&t.ring[h.turns%steps])
			p.P50, p.P99 = took.quantile(0.5), took.quantile(0.99)
		}
		points = append(points, p)
	}
	return points
}

// over returns how many steps are over.
func (h *history) over() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.turns
}

// points returns the points behind the first so many, as far as they are kept, the
// oldest first, and how many steps are over. It does not go by their times: a clock can
// be set back.
func (h *history) points(behind int) ([]Point, int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	points := []Point{}
	for i := max(behind, h.turns-steps); i < h.turns; i++ {
		s := &h.ring[i%steps]
		p := Point{T: s.end.UnixMilli(), Classes: make([]ClassPoint, len(s.classes)), Upstreams: s.upstreams}
		for c := range s.classes {
			p.Classes[c] = s.classes[c].point
		}
		points = append(points, p)
	}
	return points, h.turns
}

// window returns the last so many steps in one, with what the present step has so far.
func (h *history) window(classes []Class, last int) []Window {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]Window, len(classes))
	for c := range classes {
		present := &h.classes[c]
		var wait, latency sum
		unserved, shed, failed := present.unserved.Load(), present.shed.Load(), present.failed.Load()
		wait.addLive(&present.wait)
		latency.addLive(&present.latency)
		for i := max(0, h.turns-last); i < h.turns; i++ {
			s := &h.ring[i%steps].classes[c]
			wait.addSealed(&s.wait)
			latency.addSealed(&s.latency)
			unserved, shed, failed = unserved+s.unserved, shed+s.shed, failed+s.failed
		}
		all[c] = Window{
			Class: classes[c].Name, Requests: latency.n + unserved, Shed: shed, Failed: failed,
			WaitP50: wait.quantile(0.5), WaitP99: wait.quantile(0.99), WaitMax: wait.largest(),
			LatencyP50: latency.quantile(0.5), LatencyP99: latency.quantile(0.99), LatencyMax: latency.largest(),
		}
	}
	return all
}

// triesHistory is how long the servers of one upstream took. Its ring is that of the
// history.
type triesHistory struct {
	present live
	ring    [steps]sealed // guarded by history.mu
}

// triesOf returns how long the servers of an upstream took in the last so many steps,
// the present one included.
func (h *history) triesOf(upstream string, last int) Tries {
	t, ok := h.tries.All()[upstream]
	if !ok {
		return Tries{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var took sum
	took.addLive(&t.present)
	for i := max(0, h.turns-last); i < h.turns; i++ {
		took.addSealed(&t.ring[i%steps])
	}
	return Tries{Count: took.n, P50: took.quantile(0.5), P99: took.quantile(0.99)}
}
