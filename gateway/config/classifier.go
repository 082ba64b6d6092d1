package config

import (
	"fmt"

	"overtake/classifier"
)

// Classifier returns what decides by the rules, or the built-in ones where there
// are none, and the classes that it decides between.
func (c *Config) Classifier() (*classifier.Classifier, classifier.Classes, error) {
	names := make([]string, len(c.Classes))
	for i, class := range c.Classes {
		names[i] = class.Name
	}
	classes, err := classifier.NewClasses(names...)
	if err != nil {
		return nil, classes, err
	}
	defaultClass, ok := classes.Lookup(c.DefaultClass)
	if !ok {
		return nil, classes, fmt.Errorf("config: default class %q is not among the classes", c.DefaultClass)
	}
	rules := make([]classifier.Rule, 0, len(c.Rules))
	for _, r := range c.Rules {
		class, ok := classes.Lookup(r.Class)
		if !ok {
			return nil, classes, fmt.Errorf("config: rule %q: class %q is not among the classes", r.Name, r.Class)
		}
		rules = append(rules, classifier.Rule{Name: r.Name, Class: class, Match: r.Match.Spec()})
	}
	if len(rules) == 0 {
		rules = classifier.Builtin(classes)
	}
	made, err := classifier.New(classifier.Config{Classes: classes, Default: defaultClass, Rules: rules})
	return made, classes, err
}
