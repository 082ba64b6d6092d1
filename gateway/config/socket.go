package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"overtake/classifier/strictyaml"
	"overtake/gateway/socket"
)

// Socket is what the kernel is told about a class's packets. What any class names is
// set for all of them: those that do not name it get what a socket has by itself.
// What the kernel refuses is logged at the start, and requests go on without.
type Socket struct {
	// Priority is SO_PRIORITY, 0 to 15: the band or class of this host's queue;
	// above 6 it takes CAP_NET_ADMIN. Default: not set, or 0 where a class has a
	// DSCP.
	Priority *int `yaml:"priority,omitempty"`
	// DSCP is the code point in the packets by name: LE, DF, CS0 to CS7, AF11 to
	// AF43, VA or EF. Default: not set.
	DSCP CodePoint `yaml:"dscp,omitempty"`
	// Mark is SO_MARK, by which this host's routing and filters know the packets,
	// such as 0x10; it takes CAP_NET_ADMIN. Default: not set.
	Mark *Mark `yaml:"mark,omitempty"`
	// Congestion is a TCP congestion control that the kernel offers, such as
	// bbr. Default: not set.
	Congestion string `yaml:"congestion,omitempty"`
	// NotSentLowat is TCP_NOTSENT_LOWAT, 1KiB to 1GiB: how much the kernel takes
	// before it has sent what it has. Default: not set.
	NotSentLowat strictyaml.Size `yaml:"notsent_lowat,omitempty"`
	// MaxPacingRate is SO_MAX_PACING_RATE, 8kbit to 1tbit: what one connection
	// sends at most. Default: not set.
	MaxPacingRate Rate `yaml:"max_pacing_rate,omitempty"`
	// UserTimeout is TCP_USER_TIMEOUT, 1s to 24h: for how long the other side may
	// leave sent bytes unacknowledged. Default: not set.
	UserTimeout time.Duration `yaml:"user_timeout,omitempty"`
}

// SocketOptions returns what the kernel is told about each class's packets, by
// index.
func (c *Config) SocketOptions() []socket.Options {
	options := make([]socket.Options, len(c.Classes))
	for i, class := range c.Classes {
		s := class.Socket
		options[i] = socket.Options{
			Priority: s.Priority, Mark: (*uint32)(s.Mark), Congestion: s.Congestion, NotSentLowat: int(s.NotSentLowat),
			MaxPacingRate: uint64(s.MaxPacingRate / 8), UserTimeout: s.UserTimeout,
		}
		if code, ok := socket.CodePoint(string(s.DSCP)); ok {
			options[i].DSCP = &code
		}
	}
	return options
}

// CodePoint is a code point by name.
type CodePoint string

// UnmarshalText reads a name. Numbers are no names, but have some.
func (c *CodePoint) UnmarshalText(text []byte) error {
	name := string(text)
	if code, err := strconv.Atoi(name); err == nil {
		if known := socket.CodePointName(code); known != name {
			return strictyaml.Mistake{What: "is not the name of a DSCP", Hint: "write " + known}
		}
	}
	if _, ok := socket.CodePoint(name); !ok {
		return strictyaml.Mistake{What: "is not a DSCP", Hint: strictyaml.Suggest(name, socket.CodePoints())}
	}
	*c = CodePoint(name)
	return nil
}

// Mark is a number that packets carry inside of this host, written as such or in
// hexadecimal: 16, 0x10.
type Mark uint32

// String formats the mark as tc and ip do.
func (m Mark) String() string { return fmt.Sprintf("%#x", uint32(m)) }

// Wanted implements [strictyaml.Wanter].
func (Mark) Wanted() string { return "a mark" }

// UnmarshalText reads a mark.
func (m *Mark) UnmarshalText(text []byte) error {
	digits, base := string(text), 10
	if hex, cut := strings.CutPrefix(strings.ToLower(digits), "0x"); cut {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil {
		return strictyaml.Mistake{What: "is not a mark", Hint: "write a number from 0 to 4294967295, such as 16 or 0x10"}
	}
	*m = Mark(n)
	return nil
}

// Rate is a number of bits per second, written as tc does: 100kbit, 10mbit, 1gbit.
type Rate int64

// rateUnits are the units of a [Rate], largest first.
var rateUnits = []struct {
	name string
	bits int64
}{
	{"tbit", 1e12}, {"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}, {"bit", 1},
}

// String formats the rate in the largest unit that takes a whole number.
func (r Rate) String() string {
	for _, u := range rateUnits {
		if r != 0 && int64(r)%u.bits == 0 {
			return strconv.FormatInt(int64(r)/u.bits, 10) + u.name
		}
	}
	return "0bit"
}

// ParseRate reads a rate that is more than 0.
func ParseRate(text string) (r Rate, err error) {
	err = r.UnmarshalText([]byte(text))
	if err == nil && r == 0 {
		err = strictyaml.Mistake{What: "is nothing", Hint: "write what there is, such as 100mbit or 1gbit"}
	}
	var m strictyaml.Mistake
	if errors.As(err, &m) {
		return 0, fmt.Errorf("%q %s; %s", text, m.What, m.Hint)
	}
	return r, err
}

// Wanted implements [strictyaml.Wanter].
func (Rate) Wanted() string { return "a rate" }

// UnmarshalText reads a whole number with a unit, in any case.
func (r *Rate) UnmarshalText(text []byte) error {
	number := strings.TrimRight(string(text), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit := strings.ToLower(strings.TrimSpace(string(text[len(number):])))
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil {
		return strictyaml.Mistake{What: "is not a rate", Hint: "write a whole number of bits per second with a unit, such as 500kbit, 10mbit or 1gbit"}
	}
	for _, u := range rateUnits {
		if u.name != unit {
			continue
		}
		if n > uint64(math.MaxInt64/u.bits) {
			return strictyaml.Mistake{What: "is too large", Hint: "write 1tbit or less"}
		}
		*r = Rate(int64(n) * u.bits)
		return nil
	}
	if unit == "" {
		return strictyaml.Mistake{What: "has no unit", Hint: fmt.Sprintf("write %dmbit or %dbit", n, n)}
	}
	names := make([]string, len(rateUnits))
	for i, u := range rateUnits {
		names[i] = u.name
		if unit == strings.TrimSuffix(u.name, "it")+"ps" && n <= math.MaxInt64/8 { // what most write for bits is bytes to tc
			return strictyaml.Mistake{What: "may mean bits or bytes", Hint: fmt.Sprintf("write %d%s, or %d%s if these are bytes", n, u.name, 8*n, u.name)}
		}
	}
	return strictyaml.Mistake{What: "has an unknown unit", Hint: strictyaml.Suggest(unit, names)}
}
