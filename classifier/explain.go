package classifier

// Explanation is a decision and the way to it.
type Explanation struct {
	Decision
	// Trials are the rules up to the one that decided, in order, with those in dry
	// run. There are none for a trusted claim.
	Trials []Trial
	// Tested is how many of them the decision took; the index ruled out the others.
	Tested int
}

// Trial is the outcome of one rule.
type Trial struct {
	Rule    string
	Class   Class
	Matched bool
	// DryRun says that the rule decides nothing, even if it matched.
	DryRun bool
	// Field is the first field that did not hold, as [MatchError] names it, and
	// Key the header or query parameter; empty for a rule that matched. Fields
	// are tested from cheap to dear, not in the order of the configuration.
	Field, Key string
	// Seen is what the request had there, for people to read: strings are
	// quoted, what is not there is absent or unknown.
	Seen string
}

// Explain decides as [Classifier.Classify] does, by the same code, and tells
// how. It allocates; it is for a person who asks, not for every request. The
// [Observer] is not told.
func (c *Classifier) Explain(r *Request, claim Claim) Explanation {
	var e Explanation
	var decided int
	s := search{list: c.list}
	e.Decision, decided = c.decide(&s, r, claim, nil)
	e.Tested = s.tested
	for i := range min(decided+1, len(c.rules)) {
		e.Trials = append(e.Trials, c.rules[i].trial(r))
	}
	return e
}

// trial tells what one matcher says; that of a rule which the index left out says no.
func (rule *rule) trial(r *Request) Trial {
	at := rule.matcher.miss(r)
	return Trial{
		Rule:    rule.name,
		Class:   rule.class,
		Matched: at.field == fieldNone,
		DryRun:  rule.dryRun,
		Field:   at.field.String(),
		Key:     rule.matcher.key(at),
		Seen:    rule.matcher.seen(r, at),
	}
}
