package socket

import (
	"fmt"
	"math"
	"time"
)

// Options are what the kernel is told about a class's packets. A nil or zero field
// is not named by the class.
type Options struct {
	// Priority is SO_PRIORITY, 0 to 15: in which band or class of the device's
	// queue packets wait. Above 6 it takes CAP_NET_ADMIN.
	Priority *int
	// DSCP is the code point in the packets, 0 to 63, for queues on other hosts.
	DSCP *int
	// Mark is SO_MARK, by which this host's routing, filters and queues know the
	// packets. It takes CAP_NET_ADMIN or CAP_NET_RAW.
	Mark *uint32
	// Congestion is the name of a TCP congestion control.
	Congestion string
	// NotSentLowat is TCP_NOTSENT_LOWAT: how many bytes that have not been sent the
	// kernel takes before a write waits.
	NotSentLowat int
	// MaxPacingRate is SO_MAX_PACING_RATE: bytes per second of each connection.
	MaxPacingRate uint64
	// UserTimeout is TCP_USER_TIMEOUT: for how long sent bytes may stay
	// unacknowledged before the connection is given up, in whole milliseconds.
	UserTimeout time.Duration
}

// An option is one of the kernel's, numbered in the order in which they are set:
// IP_TOS writes the priority, so that comes after it.
type option int

const (
	dscp option = iota
	priority
	mark
	congestion
	notSentLowat
	maxPacingRate
	userTimeout
	optionCount
)

// String returns the option's name in the configuration.
func (o option) String() string {
	return [...]string{"dscp", "priority", "mark", "congestion", "notsent_lowat", "max_pacing_rate", "user_timeout"}[o]
}

// A value is what an option is set to: a number, or a name for congestion.
type value struct {
	named  bool // by the class
	number uint64
	name   string
}

// String formats the value for people.
func (v value) String() string {
	if v.name != "" {
		return v.name
	}
	return fmt.Sprint(v.number)
}

// is reports whether two values are the same to the kernel.
func (v value) is(other value) bool { return v.number == other.number && v.name == other.name }

// values has a value for each option.
type values [optionCount]value

// values returns what o names.
func (o Options) values() (v values) {
	number := func(i option, n uint64) { v[i] = value{named: true, number: n} }
	if o.DSCP != nil {
		number(dscp, uint64(*o.DSCP))
	}
	if o.Priority != nil {
		number(priority, uint64(*o.Priority))
	}
	if o.Mark != nil {
		number(mark, uint64(*o.Mark))
	}
	if o.Congestion != "" {
		v[congestion] = value{named: true, name: o.Congestion}
	}
	if o.NotSentLowat != 0 {
		number(notSentLowat, uint64(o.NotSentLowat))
	}
	if o.MaxPacingRate != 0 {
		number(maxPacingRate, o.MaxPacingRate)
	}
	if o.UserTimeout != 0 {
		number(userTimeout, uint64(o.UserTimeout.Milliseconds()))
	}
	return v
}

// defaults are what a socket has that nobody told anything. 0 bytes that are not
// sent stand for the system's own bound, and a user timeout of 0 for retrying as
// often as the system says. system is the name of its congestion control.
func defaults(system string) values {
	return values{congestion: {name: system}, maxPacingRate: {number: math.MaxUint}}
}

// complete fills in what other classes name, and reports which options are set at
// all: a connection that was another class's must not keep anything of it.
func complete(classes []values, std values) (filled []values, set []option) {
	filled = append(filled, classes...)
	for i := range optionCount {
		wanted := false
		for _, c := range classes {
			// IP_TOS leaves a priority behind that nobody asked for.
			wanted = wanted || c[i].named || i == priority && c[dscp].named
		}
		if !wanted {
			continue
		}
		set = append(set, i)
		for c := range filled {
			if !filled[c][i].named {
				filled[c][i] = std[i]
			}
		}
	}
	return filled, set
}
