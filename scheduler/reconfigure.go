package scheduler

import (
	"math"
	"slices"
	"time"
)

// reconfigure has the core go on by cfg, which has as many servers and classes.
// Running work keeps its slots, and what waits its place and the longest wait that
// it came with. dispatch must follow.
func (c *core) reconfigure(cfg Config, now time.Duration) {
	c.bargain(cfg.Classes)
	for i := range c.servers {
		c.relimit(i, cfg, now)
	}
}

// bargain takes in what the classes may do. Where a floor has changed, all of them
// are counted anew, as credit by the old ones could be more than can be paid.
func (c *core) bargain(configs []ClassConfig) {
	anew := !slices.EqualFunc(configs, c.configs, func(a, b ClassConfig) bool { return a.Floor == b.Floor })
	c.configs = slices.Clone(configs)
	c.maxWaiting, c.maxBytes, c.anyFloor, c.anyAuto = 0, 0, false, false
	for i := range configs {
		class := &c.classes[i]
		class.bargain(&configs[i])
		if anew {
			class.credit = 0
		}
		c.maxWaiting += class.maxWaiting
		c.maxBytes += class.maxBytes
		c.anyFloor = c.anyFloor || class.floor > 0
		c.anyAuto = c.anyAuto || class.auto != nil
	}
	c.share()
}

func (c *classState) bargain(cfg *ClassConfig) {
	c.floor = cfg.Floor
	c.maxWaiting = min(cfg.MaxWaiting, math.MaxInt32)
	c.keeps = shareOf(c.maxWaiting, c.floor)
	c.maxBytes = min(cfg.MaxWaitingBytes, unbounded)
	if c.maxBytes == 0 {
		c.maxBytes = unbounded
	}
	c.maxWait = min(cfg.MaxWait, forever)
	objective := cfg.Objective
	if cfg.KeepOrder {
		objective = 0
	}
	if c.overload.objective != objective {
		c.overload = overload{objective: objective}
	}
	switch {
	case !cfg.AutoReserve:
		c.auto = nil
	case c.auto == nil:
		c.auto = &autoReserve{objective: cfg.Objective, most: 2}
	default:
		c.auto.objective = cfg.Objective
	}
}

// relimit gives a server the limit of cfg. An adaptive one goes on from where it is,
// within its new bounds.
func (c *core) relimit(i int, cfg Config, now time.Duration) {
	s := &c.servers[i]
	if cfg.Adaptive == nil {
		s.limiter = nil
		if c.prober == i {
			c.prober, c.probesAll = -1, false
		}
		c.resize(i, cfg.Limit, cfg.Limit)
		return
	}
	if s.limiter == nil {
		s.limiter = newLimiter(cfg.Limit, cfg.Adaptive.Min, cfg.Adaptive.Max, len(cfg.Classes))
		s.limiter.inFlight = s.running
	} else {
		s.limiter.bound(cfg.Limit, cfg.Adaptive.Min, cfg.Adaptive.Max, now)
	}
	c.follow(i)
}
