package config

import (
	"fmt"
	"slices"

	"overtake/classifier"
	"overtake/classifier/strictyaml"
)

// Builtin reports whether the built-in rules apply: where no rule of the file decides.
func (c *Config) Builtin() bool {
	return !slices.ContainsFunc(c.Rules, func(r Rule) bool { return !r.DryRun })
}

// Classifier returns what decides by the rules, or the built-in ones where none of the
// file decides, and the classes that it decides between. observer may be nil.
func (c *Config) Classifier(observer classifier.Observer) (*classifier.Classifier, classifier.Classes, error) {
	names := make([]string, len(c.Classes))
	for i, class := range c.Classes {
		names[i] = class.Name
	}
	classes, err := classifier.NewClasses(names...)
	if err != nil {
		return nil, classes, err
	}
	class := func(path, name string) classifier.Class {
		class, ok := classes.Lookup(name)
		if !ok && err == nil {
			err = fmt.Errorf("config: %s: class %q is not among the classes", path, name)
		}
		return class
	}
	cfg := classifier.Config{
		Classes: classes, Default: class("default_class", c.DefaultClass), FlowHeader: c.Flow.Header, Observer: observer,
	}
	for i, r := range c.Rules {
		cfg.Rules = append(cfg.Rules, classifier.Rule{
			Name: r.Name, Class: class(strictyaml.Item("rules", i), r.Class), Match: r.Match.Spec(), DryRun: r.DryRun,
		})
	}
	if c.Builtin() {
		cfg.Rules = append(cfg.Rules, classifier.Builtin(classes)...)
	}
	for i, limit := range c.Flow.Ceilings {
		path := strictyaml.Item("flow.ceilings", i)
		cfg.Ceilings = append(cfg.Ceilings, classifier.Ceiling{
			Name: path, Class: class(path, limit.Class), Keys: limit.Keys, Sources: limit.Sources,
		})
	}
	if err != nil {
		return nil, classes, err
	}
	made, err := classifier.New(cfg)
	return made, classes, err
}
