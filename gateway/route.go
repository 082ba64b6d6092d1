package gateway

import (
	"fmt"

	"overtake/classifier"
	"overtake/gateway/config"
)

// route is where requests go: to an upstream or into a queue.
type route struct {
	matcher  *classifier.Matcher
	upstream *upstream
	queue    *queue
}

// routes are tried in order; the first match wins.
type routes []route

func (rs routes) find(view *classifier.Request) *route {
	for i := range rs {
		if rs[i].matcher.Matches(view) {
			return &rs[i]
		}
	}
	return nil
}

func newRoutes(cfg []config.Route, upstreams map[string]*upstream, queues map[string]*queue) (routes, error) {
	rs := make(routes, 0, len(cfg))
	for i, c := range cfg {
		matcher, err := classifier.Compile(c.Match.Spec())
		if err != nil {
			return nil, fmt.Errorf("gateway: routes[%d]: %w", i, err)
		}
		r := route{matcher: matcher, upstream: upstreams[c.Upstream], queue: queues[c.Queue]}
		if (r.upstream == nil) == (r.queue == nil) {
			return nil, fmt.Errorf("gateway: routes[%d]: leads to neither a known upstream nor a known queue", i)
		}
		rs = append(rs, r)
	}
	return rs, nil
}

// newClassifier makes the classifier of a configuration: its rules, or the
// built-in ones where it has none.
func newClassifier(cfg *config.Config) (classifier.Classes, *classifier.Classifier, error) {
	names := make([]string, len(cfg.Classes))
	for i, c := range cfg.Classes {
		names[i] = c.Name
	}
	classes, err := classifier.NewClasses(names...)
	if err != nil {
		return classes, nil, err
	}
	def, ok := classes.Lookup(cfg.DefaultClass)
	if !ok {
		return classes, nil, fmt.Errorf("gateway: default class %q is not among the classes", cfg.DefaultClass)
	}
	rules := make([]classifier.Rule, 0, len(cfg.Rules))
	for _, r := range cfg.Rules {
		class, ok := classes.Lookup(r.Class)
		if !ok {
			return classes, nil, fmt.Errorf("gateway: rule %q: class %q is not among the classes", r.Name, r.Class)
		}
		rules = append(rules, classifier.Rule{Name: r.Name, Class: class, Match: r.Match.Spec()})
	}
	if len(rules) == 0 {
		rules = classifier.Builtin(classes)
	}
	c, err := classifier.New(classifier.Config{Classes: classes, Default: def, Rules: rules})
	return classes, c, err
}
