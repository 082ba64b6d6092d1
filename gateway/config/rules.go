package config

import (
	"net/netip"

	"overtake/classifier"
	"overtake/classifier/strictyaml"
)

// Flow names where the flow of a request is read from.
type Flow struct {
	// Header is the name of the header with the flow's key, such as X-Api-Key.
	// Default: none, and the flow is the client address.
	Header string `yaml:"header,omitempty"`
	// Ceilings are the most urgent classes that flows get, whatever a rule, a trusted
	// network or baggage says; the first that is for a flow counts. Default: none.
	Ceilings []Ceiling `yaml:"ceilings,omitempty"`
}

// Ceiling keeps flows from more urgent classes. With both keys and sources, both must
// hold; with neither, it is for all flows.
type Ceiling struct {
	// Keys are patterns for the value of the flow's header, such as free-*, one of
	// which must match: exact or with *, with regard to case; "!" is for requests
	// without the header. They need flow.header. Default: all.
	Keys []string `yaml:"keys,omitempty"`
	// Sources are the networks of the client; one of them must match. Default: all.
	Sources []netip.Prefix `yaml:"sources,omitempty"`
	// Class is the most urgent class that the flow gets. Required.
	Class string `yaml:"class,omitempty"`
}

// Rule gives a class to the requests it matches.
type Rule struct {
	// Name is the rule in metrics and explanations, at most 64 characters.
	// Default: rule-1, rule-2 and so on.
	Name string `yaml:"name,omitempty"`
	// Class is the latency class that the rule gives. Required.
	Class string `yaml:"class,omitempty"`
	// Match says which requests are meant. Default: all.
	Match Match `yaml:"match,omitempty"`
	// DryRun tests and counts the rule, and lets the next one that matches decide. A
	// file whose rules are all in dry run has the built-in ones too. Default: false.
	DryRun bool `yaml:"dry_run,omitempty"`
}

// Route sends the requests it matches to an upstream or into a queue: one of
// the two is required.
type Route struct {
	// Match says which requests are meant. Default: all.
	Match Match `yaml:"match,omitempty"`
	// Upstream is the name of the upstream that answers. Required, or a Queue.
	Upstream string `yaml:"upstream,omitempty"`
	// Queue is the name of the queue that takes the request as a message. Required,
	// or an Upstream.
	Queue string `yaml:"queue,omitempty"`
}

// Match says which requests are meant; all fields that are given must hold.
// Without any, it matches everything. docs/rules.md says how patterns and
// expressions are written.
type Match struct {
	// Hosts are the hosts, without port, such as example.com or *.example.com; one
	// of them must match. Default: any.
	Hosts []string `yaml:"hosts,omitempty"`
	// Path is a pattern for the path: * is any one segment, ** at the end any
	// number of them, as in /reports/**. Default: any.
	Path string `yaml:"path,omitempty"`
	// Methods are the request methods; one of them must match. Default: any.
	Methods []string `yaml:"methods,omitempty"`
	// Headers are patterns for header values, by header name. Default: any.
	Headers map[string]string `yaml:"headers,omitempty"`
	// Query are patterns for the values of query parameters, by name. Default:
	// any.
	Query map[string]string `yaml:"query,omitempty"`
	// Sources are the networks of the client; one of them must match. Default: any.
	Sources []netip.Prefix `yaml:"sources,omitempty"`
	// Size is the range of the request body's size. Default: any.
	Size *SizeRange `yaml:"size,omitempty"`
	// ContentType is a pattern for the media type of the request body, such as
	// application/json. Default: any.
	ContentType string `yaml:"content_type,omitempty"`
	// Expr is an expression over the request, in CEL, that must be true. Default:
	// none.
	Expr string `yaml:"expr,omitempty"`
}

// Spec returns the match in the words of package classifier.
func (m Match) Spec() classifier.Match {
	spec := classifier.Match{
		Hosts:       m.Hosts,
		Path:        m.Path,
		Methods:     m.Methods,
		Headers:     m.Headers,
		Query:       m.Query,
		Sources:     m.Sources,
		ContentType: m.ContentType,
		Expr:        m.Expr,
	}
	if m.Size != nil {
		spec.MinSize, spec.MaxSize = int64(m.Size.Min), int64(m.Size.Max)
	}
	return spec
}

// SizeRange is a range of body sizes, both ends included.
type SizeRange struct {
	// Min is the smallest size. Default: 0, no bound.
	Min strictyaml.Size `yaml:"min,omitempty"`
	// Max is the largest size. Default: 0, no bound.
	Max strictyaml.Size `yaml:"max,omitempty"`
}
