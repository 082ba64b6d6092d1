package classifier

import (
	"fmt"
	"slices"
	"strings"
)

// MaxClasses is how many latency classes one configuration may define. It is
// small and fixed so that the scheduler can index arrays by class.
const MaxClasses = 8

// Class is a latency class as its rank: 0 is the most urgent. A Class means
// something only together with the [Classes] it came from.
type Class uint8

// Classes is the ordered set of latency classes of one configuration, most
// urgent first. The zero value is empty. It is immutable and safe to share.
type Classes struct {
	names []string
}

// NewClasses returns the set of the given names, most urgent first. A name is
// 1 to 32 characters of a-z, 0-9 and '-', because it becomes part of headers,
// queue names and metric labels.
func NewClasses(names ...string) (Classes, error) {
	if len(names) == 0 || len(names) > MaxClasses {
		return Classes{}, fmt.Errorf("classifier: %d classes, want 1 to %d", len(names), MaxClasses)
	}
	for i, name := range names {
		if !validName(name) {
			return Classes{}, fmt.Errorf("classifier: class name %q, want 1 to 32 of a-z, 0-9 and '-'", name)
		}
		if slices.Contains(names[:i], name) {
			return Classes{}, fmt.Errorf("classifier: class %q is defined twice", name)
		}
	}
	return Classes{names: slices.Clone(names)}, nil
}

// Len returns the number of classes.
func (c Classes) Len() int { return len(c.names) }

// Name returns the name of class, or "" for a class that is not of this set.
func (c Classes) Name(class Class) string {
	if int(class) >= len(c.names) {
		return ""
	}
	return c.names[class]
}

// Names returns all names, most urgent first. The caller must not change it.
func (c Classes) Names() []string { return c.names }

// Lookup finds a class by its name. Names are compared without regard to case,
// as header values arrive in any.
func (c Classes) Lookup(name string) (Class, bool) {
	for i, n := range c.names {
		if strings.EqualFold(n, name) {
			return Class(i), true
		}
	}
	return 0, false
}

func validName(name string) bool {
	if len(name) == 0 || len(name) > 32 {
		return false
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
			return false
		}
	}
	return true
}
