package scheduler

import (
	"math"
	"time"
)

// rate is how many of a class were dispatched lately.
type rate struct {
	counted   uint64 // of those dispatched
	perSecond float64
}

// rateMemory is in how long the past loses half of its weight.
const rateMemory = 2 * time.Second

func (r *rate) tick(dispatched uint64, elapsed time.Duration) {
	fade := math.Exp2(-float64(elapsed) / float64(rateMemory))
	now := float64(dispatched-r.counted) / elapsed.Seconds()
	r.perSecond += (1 - fade) * (now - r.perSecond)
	r.counted = dispatched
}

const (
	soonest = time.Second
	latest  = 10 * time.Minute
	// later is how much longer, at least, a class is sent away than the more
	// urgent one before it: longer than the jitter that is added, so that the
	// order is sure.
	later = 1.5
)

// retryAfter estimates when new work of the class would find no queue: what waits
// before it, each for as long as work of its class lately took, in the slots that
// more urgent classes leave.
func (c *core) retryAfter(class int) time.Duration {
	var estimate time.Duration
	slots := float64(c.limit)
	ahead, taken := 0.0, 0.0 // in slots times seconds, and in slots
	for i := range class + 1 {
		mean := c.classes[i].durations.mean().Seconds()
		ahead += float64(c.classes[i].waiting.n+1) * mean
		drained := min(ahead/max(slots-taken, slots/20), latest.Seconds())
		estimate = max(seconds(drained), soonest, time.Duration(later*float64(estimate)))
		taken += c.classes[i].rate.perSecond * mean
	}
	return estimate
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
