package config

import (
	"maps"
	"slices"
	"strings"

	"overtake/classifier"
	"overtake/classifier/strictyaml"
)

// maxFloors is what all floors together may promise. The rest keeps the order
// of urgency alive.
const maxFloors strictyaml.Percent = 9000

// validator checks a configuration whose defaults are filled in.
type validator struct {
	*Config
	*strictyaml.Source
}

func validate(c *Config, src *strictyaml.Source) {
	v := validator{c, src}
	v.validateListeners()
	v.validateRoles()
	v.validateAdmin()
	v.validateProvenance()
	v.validateClasses()
	v.validateReserves()
	v.validateRules()
	v.validateRoutes()
	for _, name := range slices.Sorted(maps.Keys(c.Upstreams)) {
		v.validateUpstream(name, c.Upstreams[name])
	}
	v.validateBrokers()
	v.validateQueues()
	v.validateRelays()
	v.validateTracing()
	v.validateAccessLog()
	v.validateFlow()
	v.oneOf("expose", c.Expose, "an audience", "all", "trusted", "none")
}

func (v validator) validateClasses() {
	if n := len(v.Classes); n > classifier.MaxClasses {
		v.Problem(strictyaml.Item("classes", classifier.MaxClasses), "", "%d classes, want at most %d", n, classifier.MaxClasses)
	}
	names := map[string]string{}
	var floors strictyaml.Percent
	for i, c := range v.Classes {
		path := strictyaml.Item("classes", i)
		v.name(path+".name", c.Name)
		v.unique(names, path+".name", path, c.Name)
		if c.Name == "dead" {
			v.Wrong(path+".name", c.Name, "is kept for the dead letters of queues", "choose another name")
		}
		if before := floors; before <= maxFloors && before+c.Floor > maxFloors {
			v.Problem(path+".floor", "lower one of them", "the floors up to here sum to %s, want at most %s", before+c.Floor, maxFloors)
		}
		floors += c.Floor
		v.within(path+".max_waiting", c.MaxWaiting, 0, 1_000_000)
		v.validateObjective(path, c)
		if i == len(v.Classes)-1 && v.Given(path+".reserve") && c.Reserve != (Reserve{}) {
			v.Warn(path+".reserve", "has no effect: no class is less urgent than this one")
		}
		v.validateSocket(path+".socket", c.Socket)
	}
	if _, found := names[v.DefaultClass]; !found && !v.AnyBroken("classes") {
		v.Wrong("default_class", v.DefaultClass, "is not a class", strictyaml.Suggest(v.DefaultClass, v.classNames()))
	}
}

// validateObjective checks what goes by the objective.
func (v validator) validateObjective(path string, c Class) {
	if c.Reserve.Auto && c.Objective == 0 && !v.Broken(path+".objective") {
		v.Problem(path+".reserve", "add objective: 25ms, or write a number of slots", "auto is sized to meet the class's objective, and there is none")
	}
	if v.Given(path+".objective") && c.MaxWait > 0 && c.Objective >= c.MaxWait {
		v.Warn(path+".objective", "has no effect: nothing waits for longer than max_wait, %s", c.MaxWait)
	}
	if !v.Given(path + ".overload") {
		return
	}
	v.oneOf(path+".overload", c.Overload, "an order", "newest_first", "fifo")
	if c.Objective == 0 && !v.Broken(path+".objective") {
		v.Warn(path+".overload", "has no effect without an objective: it is by missing it that a class is overloaded")
	}
}

// validateReserves checks that in front of every upstream a slot is left that
// everybody may take. Each class is named once, for the first upstream.
func (v validator) validateReserves() {
	reported := make([]bool, len(v.Classes))
	for _, name := range slices.Sorted(maps.Keys(v.Upstreams)) {
		u := v.Upstreams[name]
		limit := u.Limit.Max * len(u.Servers) // an adaptive one may be lower, and reserves with it
		if limit <= 0 || u.Limit.Mode == "off" {
			continue
		}
		kept := 0
		for i, c := range v.Classes[:max(0, len(v.Classes)-1)] { // there is nobody to keep them from for the last
			before := kept
			kept += min(c.Reserve.Of(limit), limit)
			if before < limit && kept >= limit && !reported[i] {
				reported[i] = true
				v.Problem(strictyaml.Item("classes", i)+".reserve", "reserve fewer",
					"the reserves up to here keep %d slots, and upstream %s has %d; want at least one left for everybody", kept, name, limit)
			}
		}
	}
}

func (v validator) isUsed(upstream string) bool {
	for _, q := range v.Queues {
		if q.Deliver != nil && q.Deliver.Upstream == upstream {
			return true
		}
	}
	return slices.ContainsFunc(v.Routes, func(r Route) bool { return r.Upstream == upstream })
}

// oneOf checks a value that has a fixed set of words.
func (v validator) oneOf(path, value, noun string, words ...string) {
	if !slices.Contains(words, value) {
		v.Wrong(path, value, "is not "+noun, strictyaml.Suggest(value, words))
	}
}

// within checks the range of a number.
func (v validator) within(path string, n, low, high int) {
	if n < low || n > high {
		v.Problem(path, "", "%d is out of range; want %d to %d", n, low, high)
	}
}

// name checks a name that becomes part of metric labels, headers and streams.
func (v validator) name(path, name string) {
	const hint = "want 1 to 32 of a-z, 0-9 and '-'"
	switch {
	case name == "":
		v.Problem(path, hint, "no name")
	case len(name) > 32 || !only(name, "abcdefghijklmnopqrstuvwxyz0123456789-"):
		v.Wrong(path, name, "is not a valid name", hint)
	}
}

// unique checks that owner is the first to use value.
func (v validator) unique(users map[string]string, path, owner, value string) {
	if first, twice := users[value]; twice && value != "" {
		v.Wrong(path, value, "is used by "+first+" already", "choose another")
		return
	}
	users[value] = owner
}

// reference checks that name is one of names, which part defines.
func (v validator) reference(path, noun, name string, names []string, part string) {
	switch {
	case slices.Contains(names, name):
	case name == "":
		v.Problem(path, strictyaml.Suggest(name, names), "no %s is named", noun)
	case v.Broken(part) || part == "classes" && v.AnyBroken(part):
		// It may be the one that could not be decoded.
	case len(names) == 0:
		v.Wrong(path, name, "is not "+article(noun), "there are no "+part)
	default:
		v.Wrong(path, name, "is not "+article(noun), strictyaml.Suggest(name, names))
	}
}

func (v validator) classNames() []string {
	names := make([]string, len(v.Classes))
	for i, c := range v.Classes {
		names[i] = c.Name
	}
	return names
}

func article(noun string) string {
	if strings.ContainsAny(noun[:1], "aeiou") {
		return "an " + noun
	}
	return "a " + noun
}

func only(text, letters string) bool { return strings.Trim(text, letters) == "" }
