package config

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	"overtake/classifier"
	"overtake/classifier/strictyaml"
)

func (v validator) validateRules() {
	names := map[string]string{}
	var before []earlier
	for i, r := range v.Rules {
		path := strictyaml.Item("rules", i)
		if r.Name == "" || len(r.Name) > 64 || strings.ContainsFunc(r.Name, func(c rune) bool { return !unicode.IsPrint(c) }) {
			v.Wrong(path+".name", r.Name, "is not a rule name", "want 1 to 64 printable characters")
		}
		if r.Name == classifier.RuleDefault || r.Name == classifier.RuleTrusted || r.Name == classifier.RuleProvenance || strings.HasPrefix(r.Name, classifier.BuiltinPrefix) {
			v.Wrong(path+".name", r.Name, "is kept for decisions that no rule of a file makes", "choose another name")
		}
		v.unique(names, path+".name", path, r.Name)
		v.reference(path+".class", "class", r.Class, v.classNames(), "classes")
		v.validateMatch(path+".match", r.Match)
		v.believing(path, r)
		v.reachable(path, before, r.Match)
		if !r.DryRun { // which decides nothing
			before = append(before, earlier{path, r.Match})
		}
	}
	if v.Builtin() && (len(v.Rules) > 0 || !v.Given("rules")) && len(v.Classes) > 1 && len(v.Upstreams) > 0 {
		v.warnNoRules()
	}
}

// believing warns of a rule that gives everybody the class they ask for.
func (v validator) believing(path string, r Rule) {
	for name, value := range r.Match.Headers {
		if strings.EqualFold(name, "Latency-Class") && value != "!" && len(r.Match.Sources) == 0 && r.Class != v.Classes[len(v.Classes)-1].Name {
			v.Warn(strictyaml.Join(path+".match.headers", name), "everybody can send it; a class is believed from the networks of listeners[].trust, without a rule")
		}
	}
}

// warnNoRules says that other classes than the default ones leave the built-in
// rules without a meaning.
func (v validator) warnNoRules() {
	for _, d := range defaultClasses {
		if !slices.Contains(v.classNames(), d.Name) {
			v.Warn("classes", "without %s the built-in rules are off, and there are no others: every request is %s", d.Name, v.DefaultClass)
			return
		}
	}
}

func (v validator) validateRoutes() {
	upstreams, queues := slices.Sorted(maps.Keys(v.Upstreams)), slices.Sorted(maps.Keys(v.Queues))
	var before []earlier
	for i, r := range v.Routes {
		path := strictyaml.Item("routes", i)
		toUpstream := r.Upstream != "" || v.Given(path+".upstream")
		toQueue := r.Queue != "" || v.Given(path+".queue")
		switch {
		case toUpstream && toQueue:
			v.Problem(path, "keep one of them; a queue's deliver.upstream says who works on its messages", "names both an upstream and a queue")
		case !toUpstream && !toQueue:
			v.Problem(path, "add upstream: or queue:", "goes nowhere")
		}
		if toUpstream {
			v.reference(path+".upstream", "upstream", r.Upstream, upstreams, "upstreams")
		}
		if toQueue {
			v.reference(path+".queue", "queue", r.Queue, queues, "queues")
		}
		v.validateMatch(path+".match", r.Match)
		v.reachable(path, before, r.Match)
		before = append(before, earlier{path, r.Match})
	}
	if len(v.Routes) == 0 && len(v.Upstreams) > 1 && !v.Given("routes") {
		v.Problem("upstreams", "add routes:", "%d upstreams and no routes", len(v.Upstreams))
	}
	if len(v.Routes) == 0 && len(v.Upstreams) == 0 && len(v.Relays) == 0 && v.has(Ingress) {
		v.Warn("", "there is no upstream and no route, so every request is refused")
	}
	for _, name := range upstreams {
		if len(v.Routes) > 0 && !v.isUsed(name) {
			v.Warn(strictyaml.Join("upstreams", name), "is never used: no route and no queue names it")
		}
	}
}

// validateFlow checks whose requests are whose, and what they get at most.
func (v validator) validateFlow() {
	f := v.Flow
	if f.Header != "" && !classifier.IsToken(f.Header) {
		v.Wrong("flow.header", f.Header, "is not the name of a header", "write X-Api-Key")
	}
	for i, c := range f.Ceilings {
		path := strictyaml.Item("flow.ceilings", i)
		v.reference(path+".class", "class", c.Class, v.classNames(), "classes")
		if len(c.Keys) > 0 && f.Header == "" && !v.Broken("flow.header") {
			v.Problem(path+".keys", "add header: X-Api-Key to flow", "keys are values of flow.header, and there is none")
		}
		for j, key := range c.Keys {
			v.validateKey(strictyaml.Item(path+".keys", j), key)
		}
		first := slices.IndexFunc(f.Ceilings[:i], func(e Ceiling) bool {
			everybody := len(e.Keys) == 0 && len(e.Sources) == 0
			return everybody || slices.Equal(e.Keys, c.Keys) && slices.Equal(e.Sources, c.Sources)
		})
		if first >= 0 {
			v.Warn(path, "is never reached: %s is for the same flows", strictyaml.Item("flow.ceilings", first))
		} else if i == len(f.Ceilings)-1 && len(v.Classes) > 0 && c.Class == v.Classes[0].Name {
			v.Warn(path, "has no effect: no class is more urgent, and no ceiling follows that it would be an exception to")
		}
	}
}

func (v validator) validateKey(path, key string) {
	if key == "" {
		v.Problem(path, `write "!" for requests without the header`, "no key")
		return
	}
	// The patterns are those of query parameters.
	_, err := classifier.Compile(classifier.Match{Query: map[string]string{"key": key}})
	v.matchProblems(err, func(*classifier.MatchError) string { return path })
}
