package gateway

import (
	"fmt"

	"overtake/classifier"
	"overtake/gateway/config"
	"overtake/tracing"
)

// decider decides about requests by their header alone: which class, which
// route. Serving and explaining use the same one.
type decider struct {
	classes      classifier.Classes
	defaultClass classifier.Class
	classifier   *classifier.Classifier
	routes       []*classifier.Matcher // in the order of the configuration; the first match wins
}

// newDecider makes the decider of a configuration: its rules, or the built-in
// ones where it has none, and its routes.
func newDecider(cfg *config.Config) (*decider, error) {
	d := &decider{}
	var err error
	if d.classifier, d.classes, err = cfg.Classifier(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	d.defaultClass, _ = d.classes.Lookup(cfg.DefaultClass)
	for i, r := range cfg.Routes {
		matcher, err := classifier.Compile(r.Match.Spec())
		if err != nil {
			return nil, fmt.Errorf("gateway: routes[%d]: %w", i, err)
		}
		d.routes = append(d.routes, matcher)
	}
	return d, nil
}

// claim is the class that a trail came with.
func (d *decider) claim(trail *tracing.Trail, trusted bool) classifier.Claim {
	claim := classifier.Claim{Trusted: trusted}
	claim.Class, claim.Present = d.classes.Lookup(trail.Class)
	return claim
}

// route returns the position of the request's route, or -1 for none.
func (d *decider) route(view *classifier.Request) int {
	if len(view.Path) > len(ownPrefix) && view.Path[:len(ownPrefix)] == ownPrefix {
		return -1 // the gateway's own: see serveOwn
	}
	for i, matcher := range d.routes {
		if matcher.Matches(view) {
			return i
		}
	}
	return -1
}

// ownPrefix is where the gateway itself answers.
const ownPrefix = "/_overtake/"
