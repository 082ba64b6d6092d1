package qdisc

import (
	"fmt"
	"strings"

	"overtake/gateway/socket"
)

// Class is a latency class as the kernel sees it: what its sockets are marked
// with. Lists of classes are most urgent first, 8 at most.
type Class struct {
	Name     string
	Priority *int    // SO_PRIORITY, 0 to 15; nil is not named
	DSCP     *int    // code point, 0 to 63; nil is not named
	Mark     *uint32 // SO_MARK; nil is not named
	// Also is what else is set on its sockets, for people: no queue goes by it.
	Also string
	// Floor is the least share of the device's rate, in hundredths of a percent.
	// All together are at most 9000.
	Floor int
}

// The marks by which packets can be told apart.
const (
	byDSCP     = "dscp"
	byMark     = "mark"
	byPriority = "priority"
)

// marks are what the packets of a class carry: zero is set where a class doesn't
// name an option, as a connection that changes its class must not keep the marks
// of the one before, and IP_TOS leaves a priority behind that nobody asked for.
type marks struct {
	dscp, mark, priority uint32
}

func (m marks) of(option string) uint32 {
	switch option {
	case byDSCP:
		return m.dscp
	case byMark:
		return m.mark
	}
	return m.priority
}

// marksOf returns what the packets of each class carry.
func marksOf(classes []Class) []marks {
	all := make([]marks, len(classes))
	for i, c := range classes {
		m := &all[i]
		if c.DSCP != nil {
			m.dscp = uint32(*c.DSCP)
		}
		if c.Mark != nil {
			m.mark = *c.Mark
		}
		if c.Priority != nil {
			m.priority = uint32(*c.Priority)
		}
	}
	return all
}

// marked reports whether any queue could tell the class by its packets.
func (c Class) marked() bool { return c.Priority != nil || c.DSCP != nil || c.Mark != nil }

// Marks is what is set on the sockets of the class, such as "priority 6, dscp
// AF21".
func (c Class) Marks() string {
	var parts []string
	if c.Priority != nil {
		parts = append(parts, fmt.Sprintf("priority %d", *c.Priority))
	}
	if c.DSCP != nil {
		parts = append(parts, "dscp "+socket.CodePointName(*c.DSCP))
	}
	if c.Mark != nil {
		parts = append(parts, fmt.Sprintf("mark %#x", *c.Mark))
	}
	if c.Also != "" {
		parts = append(parts, c.Also)
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// checkClasses returns what is wrong with classes.
func checkClasses(classes []Class) error {
	if len(classes) == 0 || len(classes) > maxClasses {
		return fmt.Errorf("qdisc: %d classes, want 1 to %d", len(classes), maxClasses)
	}
	floors := 0
	for _, c := range classes {
		switch {
		case c.Priority != nil && (*c.Priority < 0 || *c.Priority > 15):
			return fmt.Errorf("qdisc: class %s: priority %d, want 0 to 15", c.Name, *c.Priority)
		case c.DSCP != nil && (*c.DSCP < 0 || *c.DSCP > 63):
			return fmt.Errorf("qdisc: class %s: dscp %d, want 0 to 63", c.Name, *c.DSCP)
		case c.Floor < 0:
			return fmt.Errorf("qdisc: class %s: floor %d, want 0 or more", c.Name, c.Floor)
		}
		floors += c.Floor
	}
	if floors > 9000 {
		return fmt.Errorf("qdisc: the floors of all classes are %.2f%%, want 90%% at most", float64(floors)/100)
	}
	return nil
}
