package rabbitmq

import "time"

// moment is the time for which a lane takes messages ahead of the calls that will
// ask for them: a few round trips to the server.
const moment = 50 * time.Millisecond

// pace counts calls.
type pace struct {
	last  time.Time // of the last call
	since time.Time // the beginning of the present moment
	now   int       // in the present moment
	then  int       // in the one before
}

func (p *pace) count(now time.Time) {
	if passed := now.Sub(p.since); passed >= moment {
		p.then = p.now
		if passed >= 2*moment {
			p.then = 0
		}
		p.since, p.now = now, 0
	}
	p.last = now
	p.now++
}

// lately returns how many calls a moment has had lately.
func (p *pace) lately(now time.Time) int {
	if now.Sub(p.last) >= moment {
		return 0
	}
	return max(p.now, p.then)
}
