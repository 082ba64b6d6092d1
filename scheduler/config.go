package scheduler

import (
	"errors"
	"fmt"
	"time"

	"overtake/classifier"
)

// BasisPoints is a share in hundredths of a percent: 10_000 is all.
type BasisPoints int

const whole BasisPoints = 10_000

// Unlimited is a limit that is never met.
const Unlimited = 1 << 20

// Config describes one upstream's capacity and how its classes share it.
type Config struct {
	// Limit is the number of slots of each server: at most so much work runs
	// there at once. Required, 1 to Unlimited. With Adaptive it is where the
	// search begins, and should be low.
	Limit int
	// Adaptive, if it is not nil, has the scheduler find each server's limit.
	Adaptive *AdaptiveConfig
	// Servers is the number of servers that share the work. 0 is one.
	Servers int
	// Classes are the latency classes, most urgent first: 1 to
	// classifier.MaxClasses of them.
	Classes []ClassConfig
	// DryRun decides and counts, but lets everything run at once.
	DryRun bool
}

// AdaptiveConfig bounds what an adaptive limit may come to.
type AdaptiveConfig struct {
	// Min and Max bound each server's limit, 1 <= Min <= Config.Limit <= Max.
	Min, Max int
}

// ClassConfig is one class's part of the bargain.
type ClassConfig struct {
	// Objective is the wanted 99th percentile of the time spent waiting; 0 for
	// none. A class that misses it for long is overloaded and serves the newest
	// first.
	Objective time.Duration
	// KeepOrder serves the oldest first also in an overload.
	KeepOrder bool
	// Reserve is the number of slots that less urgent classes may not take.
	// Slots that the class itself is using count towards it. All reserves
	// together leave at least one slot open to everybody.
	Reserve int
	// ReserveShare is the reserve as a share of the limit, rounded up. It is
	// used where Reserve is 0.
	ReserveShare BasisPoints
	// AutoReserve sizes the reserve so that the class meets its Objective, which
	// is then required, and Reserve and ReserveShare are not used.
	AutoReserve bool
	// Floor is the least share of dispatches the class gets while it waits,
	// counted over any 10/Floor of them. To keep it the scheduler may have to
	// give a tenth more, so all floors together are at most 90 %.
	Floor BasisPoints
	// MaxWaiting bounds the number that waits; 0 means that nothing of this
	// class may wait. A class may go beyond its bounds only by pushing out as
	// much of less urgent classes.
	MaxWaiting int
	// MaxWaitingBytes bounds the sum of Work.Bytes that wait; 0 is no bound.
	MaxWaitingBytes int64
	// MaxWait is the longest wait; 0 is no bound.
	MaxWait time.Duration
}

// maxServers bounds the servers, which are looked through at each dispatch.
const maxServers = 1024

// Validate reports every problem of the configuration.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("scheduler: "+format, args...)) }
	if c.Limit < 1 || c.Limit > Unlimited {
		bad("limit %d, want 1 to %d", c.Limit, Unlimited)
	}
	if a := c.Adaptive; a != nil && (a.Min < 1 || a.Min > c.Limit || c.Limit > a.Max || a.Max > Unlimited) {
		bad("adaptive limit from %d to %d, beginning at %d: want 1 <= min <= begin <= max <= %d", a.Min, a.Max, c.Limit, Unlimited)
	}
	if c.Servers < 0 || c.Servers > maxServers {
		bad("%d servers, want at most %d", c.Servers, maxServers)
	}
	if n := len(c.Classes); n < 1 || n > classifier.MaxClasses {
		bad("%d classes, want 1 to %d", n, classifier.MaxClasses)
	}
	var floors BasisPoints
	for i, class := range c.Classes {
		if class.AutoReserve && class.Objective <= 0 {
			bad("class %d: an automatic reserve needs an objective", i)
		}
		if class.Objective < 0 {
			bad("class %d: objective %v is negative", i, class.Objective)
		}
		if class.Reserve < 0 {
			bad("class %d: reserve %d is negative", i, class.Reserve)
		}
		if class.ReserveShare < 0 || class.ReserveShare > whole {
			bad("class %d: reserve share %d, want 0 to %d", i, class.ReserveShare, whole)
		}
		if class.Floor < 0 {
			bad("class %d: floor %d is negative", i, class.Floor)
		}
		if class.MaxWaiting < 0 || class.MaxWaitingBytes < 0 || class.MaxWait < 0 {
			bad("class %d: a bound is negative", i)
		}
		floors += class.Floor
	}
	if floors > maxFloors {
		bad("floors sum to %d, want at most %d", floors, maxFloors)
	}
	return errors.Join(errs...)
}
