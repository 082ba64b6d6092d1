package qdisc

import (
	"fmt"
	"strings"
)

// Settings say what tree to build.
type Settings struct {
	Classes []Class
	// Rate is what the device sends, in bytes per second; 0 is what it says itself.
	Rate uint64
	// Force replaces queues that somebody else made. They are not brought back when
	// the tree is removed.
	Force bool
}

// A Change is what has to be done on a device, and why. The zero value of its
// commands is nothing.
type Change struct {
	Present, Wanted Tree
	// Clear is whether a tree of ours has to go first.
	Clear bool
	// Build is whether Wanted has to be built.
	Build bool
}

// UseError is about what can't be done on a device, now or later: what was asked
// for is wrong.
type UseError struct{ error }

// Unwrap returns the error inside.
func (e *UseError) Unwrap() error { return e.error }

// changeTo compares what is there with what is wanted.
func changeTo(present, wanted Tree, force bool) (Change, error) {
	c := Change{Present: present, Wanted: wanted}
	if present.same(wanted) {
		return c, nil
	}
	if foreign := present.Foreign(); foreign != "" && !force {
		return c, fmt.Errorf("qdisc: %s has %s, which somebody else made; --force replaces it, for good", present.Device, foreign)
	}
	c.Clear, c.Build = present.Ours(), true
	return c, nil
}

// removal is the change that removes a tree of ours: with nothing of others in it.
func removal(present Tree) (Change, error) {
	if foreign := present.Foreign(); foreign != "" && present.Ours() {
		return Change{}, fmt.Errorf("qdisc: %s has %s in Overtake's queues, which somebody else made; remove that first, with tc, or all of it: %s",
			present.Device, foreign, present.RemoveCommand())
	}
	return Change{Present: present, Clear: present.Ours()}, nil
}

// Commands returns the tc commands for the change, for a shell; none if there is
// nothing to do.
func (c Change) Commands() []string {
	var commands []string
	if c.Clear {
		commands = append(commands, c.Present.RemoveCommand())
	}
	if c.Build {
		commands = append(commands, c.Wanted.Commands()...)
	}
	return commands
}

// Done says in one line what the change did.
func (c Change) Done() string {
	device := c.Present.Device
	switch {
	case c.Build && c.Clear:
		return device + ": replaced Overtake's queues with those for these classes"
	case c.Build && c.Present.Foreign() != "":
		return fmt.Sprintf("%s: built queues for the classes in place of %s", device, c.Present.Foreign())
	case c.Build:
		return device + ": built queues for the classes"
	case c.Clear:
		return device + ": removed Overtake's queues; the kernel's default is back"
	case c.Present.Ours():
		return device + ": nothing to do: the queues for these classes are there"
	case c.Present.Foreign() != "":
		return fmt.Sprintf("%s: nothing to do: Overtake made no queues there (%s is somebody else's)", device, c.Present.Foreign())
	}
	return device + ": nothing to do: Overtake made no queues there"
}

// noSuchDevice names those that there are.
func noSuchDevice(device string, there []string) error {
	return &UseError{fmt.Errorf("qdisc: no device %q, there is %s", device, strings.Join(there, ", "))}
}
