package socket

import (
	"log/slog"
	"slices"
	"sync/atomic"
	"syscall"
)

// Setter gives sockets the options of their class. What the kernel will not take
// is found when it is made, on sockets of its own: then it says so once per option
// and leaves the option at its default from there on. A nil Setter sets nothing.
// It may be used from several goroutines.
type Setter struct {
	log     *slog.Logger
	wanted  []option // that any class names, or needs by what it names
	options []option // of these, what the kernel takes; they are set in this order
	classes []class

	refused [optionCount]atomic.Uint64
	said    [optionCount]atomic.Bool
}

// class is what a socket of one latency class gets.
type class struct {
	named   Options
	values  values   // of all options that are set
	refused []option // that the class names and can't have
	group   int
}

// NewSetter returns the setter for classes with these options, by index.
func NewSetter(classes []Options, log *slog.Logger) *Setter {
	named := make([]values, len(classes))
	s := &Setter{log: log, classes: make([]class, len(classes))}
	for i, o := range classes {
		named[i] = o.values()
		s.classes[i].named = o
	}
	if _, wanted := complete(named, values{}); len(wanted) == 0 {
		return s
	}
	trial, err := newTrial()
	if err != nil {
		log.Warn("sockets are not marked: classes differ inside this process alone", "error", err)
		for i := range s.classes {
			s.classes[i].named = Options{}
		}
		return s
	}
	defer trial.close()
	filled, wanted := complete(named, defaults(trial.congestion))
	for i := range s.classes {
		s.classes[i].values = filled[i]
	}
	s.wanted = wanted
	for _, o := range wanted {
		s.try(trial, o)
	}
	for i := range s.classes {
		s.check(trial, i)
		s.classes[i].group = s.groupOf(i)
	}
	return s
}

// try finds out what of an option the kernel takes. Where even the default is
// refused, as of a mark without the capability for it, the option is not set.
func (s *Setter) try(t *trial, o option) {
	std := defaults(t.congestion)[o]
	err := t.set(o, std)
	usable := err == nil
	for i := range s.classes {
		c := &s.classes[i]
		if v := c.values[o]; v.named {
			if usable {
				err = t.set(o, v)
			}
			if err != nil {
				s.say(o, v, err)
				c.refused = append(c.refused, o)
				c.values[o] = std
			}
		}
	}
	if usable {
		s.options = append(s.options, o)
	}
}

// check gives the sockets of the trial all that a class gets and reads it back:
// some systems that only look like Linux take options without doing anything.
func (s *Setter) check(t *trial, i int) {
	c := &s.classes[i]
	for _, o := range s.options {
		_ = t.set(o, c.values[o]) // what fails reads back wrong
	}
	for _, o := range s.options {
		if err := t.is(o, c.values[o]); err != nil && !slices.Contains(c.refused, o) {
			s.say(o, c.values[o], err)
			c.refused = append(c.refused, o)
		}
	}
}

// groupOf returns the first class with the same values as class i.
func (s *Setter) groupOf(i int) int {
	for j := range i {
		if slices.EqualFunc(s.classes[j].values[:], s.classes[i].values[:], value.is) {
			return j
		}
	}
	return i
}

// say says that an option was refused, once.
func (s *Setter) say(o option, v value, err error) {
	if !s.said[o].Swap(true) {
		s.log.Warn("the kernel refused a socket option; requests go on without it",
			"option", o.String(), "value", v.String(), "error", err, "remedy", remedy(o, v, err))
	}
}

// Group returns the class whose sockets are no different from those of class: the
// first with the same options. A socket that was set for one class of a group need
// not be set for another.
func (s *Setter) Group(class int) int {
	if s == nil {
		return 0
	}
	return s.classes[class].group
}

// idle reports whether there is nothing to set and to count.
func (s *Setter) idle() bool { return s == nil || len(s.wanted) == 0 }

// Set gives the socket the options of class. Anything but a TCP socket is left
// alone, and so is a closed one. What is refused does not matter to the caller: it
// is said, counted, and the connection works without.
//
// The caller sees to it that nobody closes fd meanwhile, as its number may be
// another socket's right after.
func (s *Setter) Set(fd, class int) {
	if s.idle() {
		return
	}
	family, ok := tcpFamily(fd)
	if !ok {
		return
	}
	c := &s.classes[class]
	for _, o := range c.refused {
		s.refused[o].Add(1)
	}
	for _, o := range s.options {
		if err := set(o, fd, family, c.values[o]); err != nil {
			s.refused[o].Add(1)
			s.say(o, c.values[o], err)
		}
	}
}

// Taken returns what of the options of class the kernel took when the Setter was
// made.
func (s *Setter) Taken(class int) Options {
	o := s.classes[class].named
	for _, refused := range s.classes[class].refused {
		switch refused {
		case dscp:
			o.DSCP = nil
		case priority:
			o.Priority = nil
		case mark:
			o.Mark = nil
		case congestion:
			o.Congestion = ""
		case notSentLowat:
			o.NotSentLowat = 0
		case maxPacingRate:
			o.MaxPacingRate = 0
		case userTimeout:
			o.UserTimeout = 0
		}
	}
	return o
}

// Control is for a net.Dialer or net.ListenConfig: it sets the options of class
// before the first packet. It is nil where there is nothing to set.
func (s *Setter) Control(class int) func(network, address string, c syscall.RawConn) error {
	if s.idle() {
		return nil
	}
	return func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { s.Set(int(fd), class) })
	}
}

// Refused returns, by the names of the options that are wanted, how often a socket
// did not get the value of its class.
func (s *Setter) Refused() map[string]uint64 {
	counts := make(map[string]uint64)
	if s != nil {
		for _, o := range s.wanted {
			counts[o.String()] = s.refused[o].Load()
		}
	}
	return counts
}
