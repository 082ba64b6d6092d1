package classifier

import (
	"errors"
	"fmt"
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
	// BuiltinPrefix begins the names of built-in rules, and of no others.
	BuiltinPrefix = "builtin:"
)

// Rule gives a class to the requests it matches.
type Rule struct {
	// Name is shown in decisions and metrics. A rule without one is called by
	// its position: #1 is the first.
	Name  string
	Class Class
	Match Match
	// DryRun is for trying the rule out: it decides nothing, and [Observer] is told
	// what it would have decided.
	DryRun bool
}

// Config is what a [Classifier] decides by.
type Config struct {
	Classes Classes
	// Default is the class of requests that no rule matches.
	Default Class
	// Rules are tested in order; the first that matches decides.
	Rules []Rule
	// FlowHeader is the header that holds the key of a request's flow; "" for none.
	FlowHeader string
	// Ceilings are the most urgent classes that flows get; the first that is for a
	// request's flow counts.
	Ceilings []Ceiling
	// Observer may be nil.
	Observer Observer
}

// Observer is told what a decision does not show. Its methods are called while a
// decision is made, by several goroutines, and not for an explanation.
type Observer interface {
	// DryRun is told the class that a rule in dry run would have given.
	DryRun(rule, class string)
	// ExprFailed is told the rule whose expression could not be evaluated, which
	// counts as false.
	ExprFailed(rule string)
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
	// Ceiling is the name of the ceiling that kept the request's flow from a more
	// urgent class; "" if none did.
	Ceiling string
}

// Classifier gives requests their class. It is immutable and safe for concurrent use.
type Classifier struct {
	classes      Classes
	defaultClass Class
	rules        []rule
	list         *List // of the rules' matches
	ceilings     ceilings
	observer     Observer // may be nil
}

type rule struct {
	name    string
	class   Class
	dryRun  bool
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
	c := &Classifier{classes: cfg.Classes, defaultClass: cfg.Default, observer: cfg.Observer}
	var matchers []*Matcher
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
		matchers = append(matchers, matcher)
		c.rules = append(c.rules, rule{r.Name, r.Class, r.DryRun, matcher})
	}
	var err error
	if c.ceilings, err = newCeilings(cfg); err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	c.list = NewList(matchers, c.exprFailed)
	return c, nil
}

// Classify decides the class of r. It keeps nothing of r, and allocates nothing
// unless a rule with an expression is tested.
func (c *Classifier) Classify(r *Request, claim Claim) Decision {
	s := search{list: c.list}
	d, _ := c.decide(&s, r, claim, c.observer)
	return d
}

// Limit lowers what was decided about r without rules to the ceiling of its flow.
// What Classify decides is lowered already.
func (c *Classifier) Limit(r *Request, d Decision) Decision {
	return c.ceilings.of(r).limit(d)
}

// decide is the one place where trust, rules, default and ceilings are put in order.
// It returns the position of the rule that decided as well: -1 if trust did, and the
// number of rules if none did. s is at its beginning; observer may be nil.
func (c *Classifier) decide(s *search, r *Request, claim Claim, observer Observer) (Decision, int) {
	top := c.ceilings.of(r)
	claimed := claim.Present && c.classes.has(claim.Class)
	if claimed && claim.Trusted {
		return top.limit(Decision{Class: claim.Class, Rule: RuleTrusted}), -1
	}
	weigh := func(class Class, rule string) Decision {
		d := Decision{Class: class, Rule: rule}
		if claimed && claim.Class > d.Class {
			d.Class, d.Lowered = claim.Class, true
		}
		return top.limit(d)
	}
	if observer != nil {
		s.failed = c.list.failed
	}
	for i := s.next(r); i >= 0; i = s.next(r) {
		rule := &c.rules[i]
		d := weigh(rule.class, rule.name)
		if !rule.dryRun {
			return d, i
		}
		if observer != nil {
			observer.DryRun(rule.name, c.classes.Name(d.Class))
		}
	}
	return weigh(c.defaultClass, RuleDefault), len(c.rules)
}

// exprFailed passes the failure of rule i on.
func (c *Classifier) exprFailed(i int) {
	if c.observer != nil {
		c.observer.ExprFailed(c.rules[i].name)
	}
}

func (c Classes) has(class Class) bool { return int(class) < c.Len() }
