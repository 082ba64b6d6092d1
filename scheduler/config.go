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

// Config describes one upstream's capacity and how its classes share it.
type Config struct {
	// Limit is the number of slots: at most so much work runs at once. Required.
	Limit int
	// Classes are the latency classes, most urgent first: 1 to
	// classifier.MaxClasses of them.
	Classes []ClassConfig
}

// ClassConfig is one class's part of the bargain.
type ClassConfig struct {
	// Reserve is the number of slots that less urgent classes may not take.
	// Slots that the class itself is using count towards it. All reserves
	// together leave at least one slot open to everybody.
	Reserve int
	// ReserveShare is the reserve as a share of the limit, rounded up. It is
	// used where Reserve is 0.
	ReserveShare BasisPoints
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

// validate reports every problem of the configuration.
func (c *Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("scheduler: "+format, args...)) }
	if c.Limit < 1 {
		bad("limit %d, want at least 1", c.Limit)
	}
	if n := len(c.Classes); n < 1 || n > classifier.MaxClasses {
		bad("%d classes, want 1 to %d", n, classifier.MaxClasses)
	}
	var floors BasisPoints
	for i, class := range c.Classes {
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
