package gateway

import (
	"fmt"
	"strings"

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
	routes       *classifier.List // in the order of the configuration; the first match wins
	// callClass is that of an app's call of which nothing is known: the default
	// class, but not the most urgent one.
	callClass classifier.Class
	// For calls of the app, the routes that name hosts count, and callRoutes are
	// their positions.
	calls      *classifier.List
	callRoutes []int
	jobHosts   *classifier.List // the hosts of those that lead to a queue
}

// newDecider makes the decider of a configuration: its rules, or the built-in
// ones where it has none, and its routes. observer may be nil.
func newDecider(cfg *config.Config, observer classifier.Observer) (*decider, error) {
	d := &decider{}
	var err error
	if d.classifier, d.classes, err = cfg.Classifier(observer); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	d.defaultClass, _ = d.classes.Lookup(cfg.DefaultClass)
	d.callClass = min(max(d.defaultClass, 1), classifier.Class(d.classes.Len()-1))
	var routes, calls, jobHosts []*classifier.Matcher
	for i, r := range cfg.Routes {
		matcher, err := classifier.Compile(r.Match.Spec())
		if err != nil {
			return nil, fmt.Errorf("gateway: routes[%d]: %w", i, err)
		}
		routes = append(routes, matcher)
		if len(r.Match.Hosts) == 0 {
			continue
		}
		calls, d.callRoutes = append(calls, matcher), append(d.callRoutes, i)
		if r.Queue != "" {
			hosts, err := classifier.Compile(classifier.Match{Hosts: r.Match.Hosts})
			if err != nil {
				return nil, fmt.Errorf("gateway: routes[%d]: %w", i, err)
			}
			jobHosts = append(jobHosts, hosts)
		}
	}
	failed := func(i int) {
		if observer != nil {
			observer.ExprFailed(routeName(i))
		}
	}
	d.routes = classifier.NewList(routes, failed)
	d.calls = classifier.NewList(calls, func(i int) { failed(d.callRoutes[i]) })
	d.jobHosts = classifier.NewList(jobHosts, nil)
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
	if strings.HasPrefix(view.Path, ownPrefix) {
		return -1 // the gateway's own: see serveOwn
	}
	return d.routes.First(view)
}

// routeCall is route for an app's call: only routes that name hosts count.
func (d *decider) routeCall(view *classifier.Request) int {
	if i := d.calls.First(view); i >= 0 {
		return d.callRoutes[i]
	}
	return -1
}

// keepsJobsOf reports whether a call is for a host whose calls are put into a
// queue here, so that its jobs are asked for here.
func (d *decider) keepsJobsOf(view *classifier.Request) bool { return d.jobHosts.First(view) >= 0 }

// decideCall gives an app's call the class of the request that it is made for, if
// that was found. The app may ask for a less urgent class, never for a more urgent, and
// a flow's ceiling holds here, too.
func (d *decider) decideCall(view *classifier.Request, claim classifier.Claim, origin classifier.Class, found bool) classifier.Decision {
	decision := classifier.Decision{Class: d.callClass, Rule: classifier.RuleDefault}
	if found {
		decision = classifier.Decision{Class: origin, Rule: classifier.RuleProvenance}
	}
	if claim.Present && claim.Class > decision.Class {
		decision.Class, decision.Lowered = claim.Class, true
	}
	return d.classifier.Limit(view, decision)
}

// ownPrefix is where the gateway itself answers.
const ownPrefix = "/_overtake/"

// routeName is what a route is called that has no name.
func routeName(i int) string { return fmt.Sprintf("routes[%d]", i) }
