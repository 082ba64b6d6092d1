package scheduler

import "time"

// unit is one slot in the numbers that reserves are counted in, thousandths.
const unit = 1000

// share works out each class's reserve at the present limit. The reserves of all
// classes together leave one slot open to everybody; when they ask for more, the
// most urgent are served first.
func (c *core) share() {
	left := max(0, c.limit-1) * unit
	for i := range c.classes {
		class, cfg := &c.classes[i], &c.configs[i]
		var want int
		switch {
		case class.auto != nil:
			want = int(class.auto.slots * unit)
		case cfg.Reserve > 0:
			want = min(cfg.Reserve, c.limit) * unit
		default:
			want = shareOf(c.limit, cfg.ReserveShare) * unit
		}
		class.mostReserve = left
		class.reserve = min(want, left)
		left -= class.reserve
	}
}

// shareOf returns share of limit, rounded up. It does not overflow, whatever the
// limit.
func shareOf(limit int, share BasisPoints) int {
	wholes, rest := BasisPoints(limit)/whole, BasisPoints(limit)%whole
	return int(wholes*share + (rest*share+whole-1)/whole)
}

// arrived and waited tell the class's automatic reserve, if it has one, what came
// and how long it waited.
func (c *core) arrived(class int) {
	if a := c.classes[class].auto; a != nil {
		a.arrived++
	}
}

func (c *core) waited(class int, wait, inside, now time.Duration) {
	a := c.classes[class].auto
	if a == nil {
		return
	}
	less := false
	for i := class + 1; i < len(c.classes); i++ {
		less = less || c.classes[i].running > 0
	}
	if less && wait+inside > a.objective {
		asked := c.classes[class].unfilled() - c.free*unit
		less = asked <= 0 || asked <= c.soon(class, asked, now)
	}
	a.waited(wait, inside, less)
	c.share()
}

// open reports whether a slot is free that class may take in class order.
func (c *core) open(class int, now time.Duration) bool {
	free := c.room(class)
	if free <= 0 {
		return false
	}
	spare := (free - 1) * unit
	for i := range class {
		spare -= c.keptFor(i, free)
	}
	if spare >= 0 || !c.anyAuto {
		return spare >= 0
	}
	for i := range class {
		if c.classes[i].auto != nil {
			spare += c.soon(i, c.keptFor(i, free), now)
		}
	}
	return spare >= 0
}

// keptFor is how much of so many free slots must stay free for the class: what its
// reserve is short of, less what a probe keeps free for it anyway.
func (c *core) keptFor(class, free int) int {
	return max(0, c.classes[class].unfilled()-(c.room(class)-free)*unit)
}

// unfilled is how much the class's reserve is more than what it is using.
func (c *classState) unfilled() int { return max(0, c.reserve-c.running*unit) }

// soon is how much the slots in use by less urgent work than class's will be
// free soon enough for the class's objective, and so need not be kept free; at
// most so much.
func (c *core) soon(class, most int, now time.Duration) int {
	const looked = 64 // slots per class, those held for longest
	horizon := 2 * c.classes[class].auto.objective
	sum := 0
	for i := class + 1; i < len(c.classes); i++ {
		less := &c.classes[i]
		at := less.using.oldest
		for n := 0; at >= 0 && n < looked && sum < most; n++ {
			s := &c.slots.table[at]
			sum += int(unit * less.durations.soon(now-s.started, horizon))
			at = s.newer
		}
	}
	return min(sum, most)
}
