package gateway

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"

	"overtake/classifier"
	"overtake/gateway/config"
	"overtake/gateway/console"
)

// rulesForConsole are the rules in their order. Those that follow each other with one
// name and one class are shown as one, as they share the counts.
func rulesForConsole(gen *generation) []console.Rule {
	rules := []console.Rule{}
	add := func(r console.Rule) {
		if n := len(rules); n > 0 && rules[n-1].Name == r.Name && rules[n-1].Class == r.Class {
			rules[n-1].Match = cutOff(rules[n-1].Match+" or "+r.Match, mostText)
			return
		}
		r.Match = cutOff(r.Match, mostText)
		rules = append(rules, r)
	}
	for _, r := range gen.config.Rules {
		add(console.Rule{Name: r.Name, Class: r.Class, Match: matchText(r.Match.Spec()), DryRun: r.DryRun})
	}
	if gen.config.Builtin() {
		for _, r := range classifier.Builtin(gen.classes) {
			add(console.Rule{Name: r.Name, Class: gen.classes.Name(r.Class), Match: matchText(r.Match), Builtin: true})
		}
	}
	return rules
}

// rulesOfConsole returns what tells the rules of a configuration from those that are
// gone.
func rulesOfConsole(cfg *config.Config) func(rule string) bool {
	names := rulesOfMetrics(cfg)
	return func(rule string) bool {
		return slices.Contains(names, rule) || strings.HasPrefix(rule, classifier.BuiltinPrefix)
	}
}

// mostText is how long a text of others may be in the console.
const mostText = 300

// cutOff returns at most so many bytes of text, valid as UTF-8 and with a mark for
// each character that people can't see.
func cutOff(text string, most int) string {
	whole, invalid := len(text) <= most, "\uFFFD"
	if !whole {
		text, invalid = text[:most], "" // which may be a half character at the end
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) { // such as what turns the direction of the text around it
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(text, invalid))
	if !whole {
		text += "…"
	}
	return text
}

// matchText tells people what a rule is for.
func matchText(m classifier.Match) string {
	var parts []string
	add := func(what string, values ...string) {
		if text := strings.Join(values, ", "); text != "" {
			parts = append(parts, what+" "+text)
		}
	}
	add("hosts", m.Hosts...)
	add("path", m.Path)
	add("methods", m.Methods...)
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		add("header", name+": "+m.Headers[name])
	}
	for _, name := range slices.Sorted(maps.Keys(m.Query)) {
		add("query", name+"="+m.Query[name])
	}
	for _, source := range m.Sources {
		add("source", source.String())
	}
	switch open := m.MaxSize == 0 || m.MaxSize == math.MaxInt64; {
	case m.MinSize > 0 && open:
		add("size", fmt.Sprintf("from %d bytes", m.MinSize))
	case !open:
		add("size", fmt.Sprintf("%d to %d bytes", m.MinSize, m.MaxSize))
	}
	add("content type", m.ContentType)
	add("expr", m.Expr)
	if len(parts) == 0 {
		return "everything"
	}
	return strings.Join(parts, "; ")
}
