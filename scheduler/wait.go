package scheduler

import "overtake/classifier"

// Wait is how a piece of work waited: what stood before it, what passed it, and
// what it passed. Whatever waited in the scheduler counts, kept work too.
type Wait struct {
	// Ahead is how much waiting work had its turn before it when it came: all of
	// more urgent classes, and in its own class of each flow as many as of its
	// own, itself included. While the class serves the newest first, that is one of
	// each other flow. What a floor will earn a less urgent class is not in it, nor
	// what will come later.
	Ahead int
	// Overtaken is how often work that came later was dispatched while it waited.
	Overtaken int
	// Overtaking is how much waiting work that had come earlier it was dispatched
	// before; 0 for work that was shed.
	Overtaking int
	// Limit is the number of slots of all servers in use when it came, and Reserve
	// the part that was kept for its class from less urgent ones.
	Limit   int
	Reserve float64
}

// factsNow returns what the wait of work that comes now begins with.
func (c *core) factsNow(class int) Wait {
	return Wait{Limit: c.limit, Reserve: float64(c.classes[class].reserve) / unit}
}

// ahead returns [Wait.Ahead] of a ticket that is about to be enqueued.
func (c *core) ahead(t *ticket) int {
	n := 0
	for i := range t.class {
		n += c.classes[i].waiting.n
	}
	class := &c.classes[t.class]
	return n + class.flows.ahead(t.flow, class.overload.newest)
}

// arrivals counts what waits by its order of arrival. Each ticket that begins to
// wait gets the next place. When there is none left, those that wait are given the
// first places anew; as that needs more arrivals than wait, it is O(1) for each.
type arrivals struct {
	waiting    fenwick // 1 at the place of each ticket that waits
	dispatched fenwick // 1 at the place of each ticket that was dispatched
	passed     int     // the sum of dispatched
	last       int     // place given away
}

// fewestPlaces is how many there are when little waits.
const fewestPlaces = 64

// number gives t, which comes after all that wait, its place.
func (c *core) number(t *ticket) {
	a := &c.arrivals
	if a.last == len(a.waiting) {
		c.renumber()
	}
	a.take(t)
}

func (a *arrivals) take(t *ticket) {
	a.last++
	t.place = a.last
	a.waiting.add(t.place, 1)
}

// leave takes t out, when it is dispatched or not.
func (a *arrivals) leave(t *ticket, dispatched bool) {
	t.facts.Overtaken += a.overtaken(t)
	a.waiting.add(t.place, -1)
	if dispatched {
		t.facts.Overtaking = a.waiting.sum(t.place)
		a.dispatched.add(t.place, 1)
		a.passed++
	}
}

// overtaken returns how often t was since it got its place.
func (a *arrivals) overtaken(t *ticket) int { return a.passed - a.dispatched.sum(t.place) }

// renumber gives all that wait the first places, in the order of arrival.
func (c *core) renumber() {
	a := &c.arrivals
	var next [classifier.MaxClasses]*ticket // of each class
	for i := range c.classes {
		next[i] = c.classes[i].waiting.head
		for t := next[i]; t != nil; t = t.inClass.next {
			t.facts.Overtaken += a.overtaken(t)
		}
	}
	a.restart(c.waiting)
	for range c.waiting {
		first := -1
		for i, t := range next {
			if t != nil && (first < 0 || t.seq < next[first].seq) {
				first = i
			}
		}
		a.take(next[first])
		next[first] = next[first].inClass.next
	}
}

// restart empties the places and has at least four for each of the tickets that
// wait, and at most 32.
func (a *arrivals) restart(tickets int) {
	size := fewestPlaces
	for size < 4*tickets {
		size *= 2
	}
	if len(a.waiting) < size || len(a.waiting) > 4*size {
		a.waiting, a.dispatched = make(fenwick, size), make(fenwick, size)
	} else {
		clear(a.waiting)
		clear(a.dispatched)
	}
	a.passed, a.last = 0, 0
}
