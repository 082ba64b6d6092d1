package console

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// stepTime is the time of one point of the history.
	stepTime = 5 * time.Second
	// steps is how many are kept: 15 minutes.
	steps = 180
	// stepsPerMinute is how many make a minute, for the slowest.
	stepsPerMinute = int(time.Minute / stepTime)
)

// history is what ended in the last 15 minutes. What ended is added by any goroutine
// and without a lock; the lock is for those who turn and read it.
type history struct {
	classes []classHistory

	mu    sync.Mutex
	ring  [steps]step // guarded by mu
	turns int         // how many steps are over; the last is at turns-1 in ring, modulo; guarded by mu
}

// classHistory is the present step of one class.
type classHistory struct {
	wait, latency live
	shed          atomic.Uint64
}

// step is a step that is over.
type step struct {
	end     time.Time // zero: there was none yet
	classes []classStep
}

type classStep struct {
	wait, latency sealed
	shed          uint64
	point         ClassPoint
}

func newHistory(classes int) *history { return &history{classes: make([]classHistory, classes)} }

// turn ends the present step, which took took.
func (h *history) turn(now time.Time, took time.Duration) {
	h.mu.Lock() // before anything is taken: who reads finds it in the present step, or here
	defer h.mu.Unlock()
	over := step{end: now, classes: make([]classStep, len(h.classes))}
	for i := range h.classes {
		c, s := &h.classes[i], &over.classes[i]
		s.wait, s.latency, s.shed = c.wait.take(), c.latency.take(), c.shed.Swap(0)
		var wait, latency sum
		wait.addSealed(&s.wait)
		latency.addSealed(&s.latency)
		s.point = ClassPoint{
			Rate:    math.Round(float64(latency.n+s.shed)/took.Seconds()*1000) / 1000,
			WaitP50: wait.quantile(0.5), WaitP99: wait.quantile(0.99),
			LatencyP50: latency.quantile(0.5), LatencyP99: latency.quantile(0.99), Shed: s.shed,
		}
	}
	h.ring[h.turns%steps] = over
	h.turns++
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
		p := Point{T: s.end.UnixMilli(), Classes: make([]ClassPoint, len(s.classes))}
		for c := range s.classes {
			p.Classes[c] = s.classes[c].point
		}
		points = append(points, p)
	}
	return points, h.turns
}

// window returns all that is kept, with what the present step has so far.
func (h *history) window(classes []Class) []Window {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]Window, len(classes))
	for c := range classes {
		var wait, latency sum
		shed := h.classes[c].shed.Load()
		wait.addLive(&h.classes[c].wait)
		latency.addLive(&h.classes[c].latency)
		for i := range h.ring {
			if s := &h.ring[i]; !s.end.IsZero() {
				wait.addSealed(&s.classes[c].wait)
				latency.addSealed(&s.classes[c].latency)
				shed += s.classes[c].shed
			}
		}
		all[c] = Window{
			Class: classes[c].Name, Requests: latency.n + shed, Shed: shed,
			WaitP50: wait.quantile(0.5), WaitP99: wait.quantile(0.99), WaitMax: wait.largest(),
			LatencyP50: latency.quantile(0.5), LatencyP99: latency.quantile(0.99), LatencyMax: latency.largest(),
		}
	}
	return all
}
