package classifier

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Ceiling is the most urgent class that some flows get, whatever else says more. All
// fields that are set must hold; without any, it is for all flows.
type Ceiling struct {
	// Name is shown in decisions.
	Name  string
	Class Class
	// Keys are patterns for the flow's key, one of which must match: as those for the
	// value of a query parameter, which have a case. Where the header has several
	// values, each is a flow's key, and the least urgent of their ceilings counts.
	Keys []string
	// Sources are the client's networks.
	Sources []netip.Prefix
}

// ceiling is a compiled [Ceiling]. The zero ceiling allows everything.
type ceiling struct {
	name    string
	class   Class
	keys    []valuePattern
	sources *Matcher
}

// limit lowers a decision to the ceiling.
func (c *ceiling) limit(d Decision) Decision {
	if d.Class < c.class {
		d.Class, d.Ceiling = c.class, c.name
	}
	return d
}

// holds reports whether the ceiling is for a request with this key.
func (c *ceiling) holds(r *Request, key string, ok bool) bool {
	if !c.sources.Matches(r) {
		return false
	}
	for i := range c.keys {
		if c.keys[i].matches(key, ok) {
			return true
		}
	}
	return len(c.keys) == 0
}

// ceilings are those of a configuration, in their order.
type ceilings struct {
	header string
	list   []ceiling
	least  *ceiling // the one of the least urgent class
}

// maxKeys is how many values of the flow's header are looked at; more get the least
// urgent class of all ceilings.
const maxKeys = 16

// unlimited is the ceiling of flows that none is for.
var unlimited ceiling

func newCeilings(cfg Config) (ceilings, error) {
	all := ceilings{header: cfg.FlowHeader, least: &unlimited}
	var errs []error
	for _, c := range cfg.Ceilings {
		fail := func(err error) { errs = append(errs, fmt.Errorf("classifier: ceiling %q: %w", c.Name, err)) }
		compiled := ceiling{name: c.Name, class: c.Class}
		if !cfg.Classes.has(c.Class) {
			fail(fmt.Errorf("class %d of %d classes", c.Class, cfg.Classes.Len()))
		}
		if len(c.Keys) > 0 && cfg.FlowHeader == "" {
			fail(errors.New("keys are those of the flow header, and there is none"))
		}
		for _, key := range c.Keys {
			pattern, err := compileValue(cfg.FlowHeader, key, false)
			if err != nil {
				fail(fmt.Errorf("key %q: %w", key, err))
			}
			compiled.keys = append(compiled.keys, pattern)
		}
		var err error
		if compiled.sources, err = Compile(Match{Sources: c.Sources}); err != nil {
			fail(err)
		}
		all.list = append(all.list, compiled)
	}
	for i := range all.list {
		if c := &all.list[i]; c.class > all.least.class {
			all.least = c
		}
	}
	return all, errors.Join(errs...)
}

// of returns the ceiling of a request's flow.
func (all *ceilings) of(r *Request) *ceiling {
	if len(all.list) == 0 {
		return &unlimited
	}
	keys, ok := "", false
	if all.header != "" {
		keys, ok = r.header(all.header)
	}
	top := all.first(r, keys, ok)
	if !strings.Contains(keys, ",") {
		return top
	}
	// Of several values, the app may take any for the key.
	n := 0
	for key := range strings.SplitSeq(keys, ",") {
		if n++; n > maxKeys {
			return all.least
		}
		if c := all.first(r, strings.TrimSpace(key), ok); c.class > top.class {
			top = c
		}
	}
	return top
}

// first returns the first ceiling that is for a key.
func (all *ceilings) first(r *Request, key string, ok bool) *ceiling {
	for i := range all.list {
		if c := &all.list[i]; c.holds(r, key, ok) {
			return c
		}
	}
	return &unlimited
}
