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
// before it, at the rate at which slots are handed out, less what more urgent
// classes take of it.
func (c *core) retryAfter(class int) time.Duration {
	var total float64
	for i := range c.classes {
		total += c.classes[i].rate.perSecond
	}
	var estimate time.Duration
	ahead, taken := 1, 0.0
	for i := range class + 1 {
		ahead += c.classes[i].waiting.n
		var drained float64 // in seconds; nothing is known before anything was dispatched
		if total > 0 {
			drained = float64(ahead) / max(total-taken, total/20)
		}
		estimate = max(seconds(min(drained, latest.Seconds())), soonest, time.Duration(later*float64(estimate)))
		taken += c.classes[i].rate.perSecond
	}
	return estimate
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
