package scheduler

import (
	"math"
	"time"
)

// autoReserve sizes a class's reserve so that 99 % of its work waits no longer
// than its objective. See "The reserve" in the package comment.
type autoReserve struct {
	objective time.Duration
	slots     float64 // the reserve
	most      float64 // what the class can use of it at all

	// What the latest tick found.
	arrivals float64 // per second
	demand   float64 // arrivals x mean duration: slots in use on average
	over     float64 // share of the work that waited for longer, decaying
	arrived  int     // since then

	inTime int // in a row that waited no longer than the objective
}

const (
	// wanted is the share that waits for longer than the objective: less than
	// the one in a hundred that may, so that the objective holds in bad minutes, too.
	wanted = 0.006
	// gain is what one piece of work moves the reserve by, in slots: by
	// gain x (1 - wanted) up if it waited too long, by gain x wanted down if not.
	gain = 0.02
	// surelyInTime in a row without one that waited too long would be a rare
	// chance if as many did as may; from then on the reserve shrinks faster.
	surelyInTime = 400
	// overDecay makes over a mean of the last 1,000 or so.
	overDecay = 0.001
	// idleHalf is in how long half of the reserve is given back while nothing
	// of the class comes.
	idleHalf = time.Second
)

// waited learns from a piece of work of the class that got its slot, or was
// given up, after wait, and goes on to wait inside the server, as far as is known.
// less is whether less urgent work had slots then, which a greater reserve would
// have kept back.
func (a *autoReserve) waited(wait, inside time.Duration, less bool) {
	if wait+min(inside, a.objective/2) > a.objective {
		a.over += overDecay * (1 - a.over)
		a.inTime = 0
		if less {
			a.slots = min(a.slots+gain*(1-wanted), a.most)
		}
		return
	}
	a.over -= overDecay * a.over
	a.inTime++
	surely := max(1, float64(a.inTime)/surelyInTime)
	a.slots = max(0, a.slots-gain*wanted*surely*surely)
}

// tick measures the class's demand and bounds the reserve by it: by four
// standard deviations more than the mean of the slots in use, as if arrivals
// were a Poisson process (in M/G/∞, the number in use is Poisson as well).
func (a *autoReserve) tick(elapsed, mean time.Duration) {
	rate := float64(a.arrived) / elapsed.Seconds()
	fade := math.Exp2(-float64(elapsed) / float64(idleHalf))
	a.arrivals += (1 - fade) * (rate - a.arrivals)
	if a.arrived == 0 {
		a.slots *= fade
	}
	a.arrived = 0
	a.demand = a.arrivals * mean.Seconds()
	a.most = a.demand + 4*math.Sqrt(a.demand) + 2
	a.slots = min(a.slots, a.most)
}
