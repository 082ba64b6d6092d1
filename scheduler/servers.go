package scheduler

// server is one of the places where work runs.
type server struct {
	limit   int // in effect: its share of own
	own     int
	share   BasisPoints
	running int
	down    bool
	limiter *limiter // nil where the limit is fixed

	// A probe of the limiter keeps the slots above narrow from the classes it
	// is for; without a probe, narrow is limit. Of the two, ownNarrow is for own.
	narrow    int
	ownNarrow int
}

// fit works out what is in effect of the server's own limit.
func (s *server) fit() {
	s.limit = shareOf(s.own, s.share)
	s.narrow = min(s.ownNarrow, s.limit)
}

func (s *server) free() int { return max(0, s.limit-s.running) }

func (s *server) freeInProbe() int { return max(0, s.narrow-s.running) }

// alter changes a server and keeps the sums over all of them.
func (c *core) alter(i int, change func(*server)) {
	c.include(i, -1)
	change(&c.servers[i])
	c.include(i, 1)
}

// include adds sign times what the server offers to the sums.
func (c *core) include(i, sign int) {
	s := &c.servers[i]
	if !c.serves(i) {
		return
	}
	c.limit += sign * s.limit
	c.free += sign * s.free()
	c.freeInProbe += sign * s.freeInProbe()
}

// resize changes a server's number of slots, and how many of them a probe leaves
// to the classes it is for. Running work keeps its slots. If anything waits,
// dispatch must follow.
func (c *core) resize(i, limit, narrow int) {
	if s := &c.servers[i]; s.own != limit || s.ownNarrow != narrow {
		c.refit(i, func(s *server) { s.own, s.ownNarrow = limit, narrow })
	}
}

// setShare changes how much of its own limit a server offers. Otherwise it is like
// resize.
func (c *core) setShare(i int, share BasisPoints) {
	if c.servers[i].share != share {
		c.refit(i, func(s *server) { s.share = share })
	}
}

func (c *core) refit(i int, change func(*server)) {
	before := c.limit
	c.alter(i, func(s *server) { change(s); s.fit() })
	if c.limit != before {
		c.share()
	}
}

// setDown takes a server out of use or back into it, with its limiter as new. If
// all servers are down, none is treated so: trying is better than waiting for
// nothing.
func (c *core) setDown(i int, down bool) {
	s := &c.servers[i]
	if s.down == down {
		return
	}
	if s.limiter != nil {
		if c.prober == i {
			c.prober, c.probesAll = -1, false
		}
		s.limiter.restart()
		s.own = s.limiter.slots()
		s.ownNarrow = s.own
		s.fit()
	}
	s.down = down
	c.limit, c.free, c.freeInProbe = 0, 0, 0
	c.allDown = true
	for j := range c.servers {
		c.allDown = c.allDown && c.servers[j].down
	}
	for j := range c.servers {
		c.include(j, 1)
	}
	c.share()
}

// serves reports whether work goes to the server.
func (c *core) serves(i int) bool { return !c.servers[i].down || c.allDown }

// room returns how many slots are free for a class that no reserve concerns.
func (c *core) room(class int) int {
	if c.exempt(class) {
		return c.free
	}
	return c.freeInProbe
}

// exempt reports whether a probe leaves the class alone. It does so with the most
// urgent one, unless that is most of the work and the probe could not do
// without it.
func (c *core) exempt(class int) bool {
	return class == 0 && !c.probesAll
}

// place returns the server on which work of the class starts: of those with a
// free slot, the one that is used least in proportion to its limit, and one to
// avoid only if there is no other. Where a probe leaves none, the class may go on
// against it.
func (c *core) place(class int, avoid []bool) int {
	if len(c.servers) == 1 {
		return 0
	}
	probed := !c.exempt(class) && c.freeInProbe > 0
	best := -1
	for n := range c.servers {
		i := (c.placed + 1 + n) % len(c.servers)
		s := &c.servers[i]
		free := s.free()
		if probed {
			free = s.freeInProbe()
		}
		if free == 0 || !c.serves(i) {
			continue
		}
		better := best < 0 || s.running*c.servers[best].limit < c.servers[best].running*s.limit
		if best >= 0 && avoid != nil && avoid[i] != avoid[best] {
			better = avoid[best]
		}
		if better {
			best = i
		}
	}
	c.placed = best
	return best
}
