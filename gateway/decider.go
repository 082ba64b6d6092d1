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
	// callClass is that of an app's call of which nothing is known: the default
	// class, but not the most urgent one.
	callClass classifier.Class
	hosts     []routeHosts // of the routes, by position
}

// routeHosts are what matters of a route to an outbound listener.
type routeHosts struct {
	named bool                // it names hosts
	queue *classifier.Matcher // the hosts alone, for a route to a queue
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
	d.callClass = min(max(d.defaultClass, 1), classifier.Class(d.classes.Len()-1))
	for i, r := range cfg.Routes {
		matcher, err := classifier.Compile(r.Match.Spec())
		if err != nil {
			return nil, fmt.Errorf("gateway: routes[%d]: %w", i, err)
		}
		d.routes = append(d.routes, matcher)
		hosts := routeHosts{named: len(r.Match.Hosts) > 0}
		if hosts.named && r.Queue != "" {
			if hosts.queue, err = classifier.Compile(classifier.Match{Hosts: r.Match.Hosts}); err != nil {
				return nil, fmt.Errorf("gateway: routes[%d]: %w", i, err)
			}
		}
		d.hosts = append(d.hosts, hosts)
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

// routeCall is route for an app's call: only routes that name hosts count.
func (d *decider) routeCall(view *classifier.Request) int {
	for i, matcher := range d.routes {
		if d.hosts[i].named && matcher.Matches(view) {
			return i
		}
	}
	return -1
}

// keepsJobsOf reports whether a call is for a host whose calls are put into a
// queue here, so that its jobs are asked for here.
func (d *decider) keepsJobsOf(view *classifier.Request) bool {
	for _, h := range d.hosts {
		if h.queue != nil && h.queue.Matches(view) {
			return true
		}
	}
	return false
}

// decideCall gives an app's call the class of the request that it is made for, if
// that was found. The app may ask for a less urgent class, never for a more urgent.
func (d *decider) decideCall(claim classifier.Claim, origin classifier.Class, found bool) classifier.Decision {
	decision := classifier.Decision{Class: d.callClass, Rule: classifier.RuleDefault}
	if found {
		decision = classifier.Decision{Class: origin, Rule: classifier.RuleProvenance}
	}
	if claim.Present && claim.Class > decision.Class {
		decision.Class, decision.Lowered = claim.Class, true
	}
	return decision
}

// ownPrefix is where the gateway itself answers.
const ownPrefix = "/_overtake/"
