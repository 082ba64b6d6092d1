package classifier

// Explanation is a decision and the way to it.
type Explanation struct {
	Decision
	// Trials are the rules that were tested, in order. The last one matched,
	// unless the default class was taken. There are none for a trusted claim.
	Trials []Trial
}

// Trial is the outcome of one rule.
type Trial struct {
	Rule    string
	Class   Class
	Matched bool
	// Field is the first field that did not hold, as [MatchError] names it, and
	// Key the header or query parameter; empty for a rule that matched. Fields
	// are tested from cheap to dear, not in the order of the configuration.
	Field, Key string
	// Seen is what the request had there, for people to read: strings are
	// quoted, what is not there is absent or unknown.
	Seen string
}

// Explain decides as [Classifier.Classify] does, by the same code, and tells
// how. It allocates; it is for a person who asks, not for every request.
// Failed expressions are counted here too.
func (c *Classifier) Explain(r *Request, claim Claim) Explanation {
	var e Explanation
	e.Decision = c.decide(r, claim, &e.Trials)
	return e
}

func (rule *rule) trial(r *Request, at miss) Trial {
	return Trial{
		Rule:    rule.name,
		Class:   rule.class,
		Matched: at == miss{},
		Field:   at.field,
		Key:     at.key,
		Seen:    rule.matcher.seen(r, at),
	}
}
