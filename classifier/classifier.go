package classifier

import (
	"errors"
	"fmt"
	"slices"
)

// Names of decisions that no rule made. Rules can't have them.
const (
	// RuleDefault is the decision for a request that no rule matches.
	RuleDefault = "default"
	// RuleTrusted is the decision to believe the class a request came with.
	RuleTrusted = "trusted"
	// RuleProvenance is the decision to give an app's own call the class of the
	// request that it is made for.
	RuleProvenance = "provenance"
)

// Rule gives a class to the requests it matches.
type Rule struct {
	// Name is shown in decisions and metrics. A rule without one is called by
	// its position: #1 is the first.
	Name  string
	Class Class
	Match Match
}

// Config is what a [Classifier] decides by.
type Config struct {
	Classes Classes
	// Default is the class of requests that no rule matches.
	Default Class
	// Rules are tested in order; the first that matches decides.
	Rules []Rule
}

// Claim is the latency class that a request came with.
type Claim struct {
	// Class is meaningful when Present is set: when the request carried a name
	// that the configuration knows.
	Class   Class
	Present bool
	// Trusted is whether the request comes from a network whose class is
	// believed.
	Trusted bool
}

// Decision is the class of a request and what gave it.
type Decision struct {
	Class Class
	// Rule is the name of the rule, or RuleDefault, or RuleTrusted.
	Rule string
	// Lowered says that the request asked for a less urgent class than the
	// rule would have given it, and got that.
	Lowered bool
}

// Classifier gives requests their class. It is immutable, apart from counting
// failed expressions, and safe for concurrent use.
type Classifier struct {
	classes      Classes
	defaultClass Class
	rules        []rule
}

type rule struct {
	name    string
	class   Class
	matcher *Matcher
}

// New returns a classifier for cfg. Its error joins all that is wrong.
func New(cfg Config) (*Classifier, error) {
	var errs []error
	fail := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("classifier: "+format, args...))
	}
	if !cfg.Classes.has(cfg.Default) {
		fail("default class %d of %d classes", cfg.Default, cfg.Classes.Len())
	}
	rules := make([]rule, 0, len(cfg.Rules))
	for i, r := range cfg.Rules {
		if r.Name == "" {
			r.Name = fmt.Sprintf("#%d", i+1)
		}
		if r.Name == RuleDefault || r.Name == RuleTrusted || r.Name == RuleProvenance {
			fail("rule %q: the name is reserved", r.Name)
		}
		if !cfg.Classes.has(r.Class) {
			fail("rule %q: class %d of %d classes", r.Name, r.Class, cfg.Classes.Len())
		}
		matcher, err := Compile(r.Match)
		if err != nil {
			fail("rule %q: %w", r.Name, err)
		}
		rules = append(rules, rule{r.Name, r.Class, matcher})
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return &Classifier{cfg.Classes, cfg.Default, slices.Clip(rules)}, nil
}

// Classify decides the class of r. It keeps nothing of r, and allocates nothing
// unless a rule with an expression is tested.
func (c *Classifier) Classify(r *Request, claim Claim) Decision {
	return c.decide(r, claim, nil)
}

// ExprErrors is how many evaluations of expressions failed so far, in all rules.
func (c *Classifier) ExprErrors() uint64 {
	var sum uint64
	for i := range c.rules {
		sum += c.rules[i].matcher.ExprErrors()
	}
	return sum
}

// decide is the one place where trust, rules and default are put in order. It
// adds the rules that were tested to trials, unless that is nil.
func (c *Classifier) decide(r *Request, claim Claim, trials *[]Trial) Decision {
	claimed := claim.Present && c.classes.has(claim.Class)
	if claimed && claim.Trusted {
		return Decision{Class: claim.Class, Rule: RuleTrusted}
	}
	d := Decision{Class: c.defaultClass, Rule: RuleDefault}
	if first := c.firstMatch(r, trials); first != nil {
		d = Decision{Class: first.class, Rule: first.name}
	}
	if claimed && claim.Class > d.Class {
		d.Class, d.Lowered = claim.Class, true
	}
	return d
}

// firstMatch returns the first rule that matches r, or nil.
func (c *Classifier) firstMatch(r *Request, trials *[]Trial) *rule {
	for i := range c.rules {
		rule := &c.rules[i]
		miss := rule.matcher.miss(r)
		if trials != nil {
			*trials = append(*trials, rule.trial(r, miss))
		}
		if miss.field == "" {
			return rule
		}
	}
	return nil
}

func (c Classes) has(class Class) bool { return int(class) < c.Len() }
