package gateway

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"overtake/classifier"
)

// The JSON of /debug/explain.
type (
	explanationState struct {
		Class string `json:"class"`
		// Rule is what gave the class: a rule, default, trusted or provenance.
		Rule string `json:"rule"`
		// Lowered is whether the request's own wish was less urgent, and counts.
		Lowered bool `json:"lowered"`
		// Ceiling is what kept the flow from a more urgent class.
		Ceiling string `json:"ceiling,omitempty"`
		// Claimed is the class that the request came with, Trusted whether it would
		// be believed.
		Claimed string `json:"claimed,omitempty"`
		Trusted bool   `json:"trusted"`
		Flow    string `json:"flow,omitempty"`
		// Route is the position of the route, -1 for none; the others say where to.
		Route    int    `json:"route"`
		Upstream string `json:"upstream,omitempty"`
		Queue    string `json:"queue,omitempty"`
		Address  string `json:"address,omitempty"`
		// Rules are those up to the one that decided. Tested is how many of them the
		// decision took; the index ruled out the others.
		Rules  []trialState `json:"rules"`
		Tested int          `json:"tested"`
	}
	trialState struct {
		Rule    string `json:"rule"`
		Class   string `json:"class"`
		Matches bool   `json:"matches"`
		DryRun  bool   `json:"dry_run,omitempty"`
		// Field is what did not hold, Seen what the request has there.
		Field string `json:"field,omitempty"`
		Seen  string `json:"seen,omitempty"`
	}
)

// explainParameters are what debugExplain reads.
var explainParameters = []string{"method", "url", "header", "source", "listener"}

// explainForm reads the parameters. It fails for what it does not know: a URL whose &
// is not escaped would be explained without its end, and the answer be believed.
func explainForm(query string) (url.Values, error) {
	const remedy = `escape each value, as in curl -G --data-urlencode 'url=/search?q=1&page=2'`
	form, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("the query can't be read: %w; %s", err, remedy)
	}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		switch {
		case !slices.Contains(explainParameters, name):
			return nil, fmt.Errorf("there is no parameter %q, want %s; if it is part of a value, %s", name, strings.Join(explainParameters, ", "), remedy)
		case len(form[name]) > 1 && name != "header":
			return nil, fmt.Errorf("the parameter %s is given %d times, want one; if it is part of a value, %s", name, len(form[name]), remedy)
		}
	}
	return form, nil
}

// debugExplain tells what would be done with a request: that of the parameters method,
// url, header (repeated), source and listener. What it does not understand is
// answered with 400.
func (g *Gateway) debugExplain(w http.ResponseWriter, r *http.Request) {
	form, err := explainForm(r.URL.RawQuery)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	q := Question{
		Method: cmp.Or(form.Get("method"), http.MethodGet), URL: cmp.Or(form.Get("url"), "/"),
		Header: form["header"], Listener: form.Get("listener"),
	}
	if source := form.Get("source"); source != "" {
		if q.Source, err = netip.ParseAddr(source); err != nil {
			http.Error(w, "source is not an IP address, want one such as 10.1.2.3", http.StatusBadRequest)
			return
		}
	}
	e, err := Explain(g.present.Load().config, q)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	state := explanationState{
		Class: e.Classes.Name(e.Class), Rule: e.Rule, Lowered: e.Lowered, Ceiling: e.Ceiling,
		Claimed: e.Claimed, Trusted: e.Trusted, Flow: e.Flow,
		Route: e.Route, Upstream: e.Upstream, Queue: e.Queue, Address: e.Address, Rules: []trialState{}, Tested: e.Tested,
	}
	for _, t := range e.Trials {
		state.Rules = append(state.Rules, trialState{
			Rule: t.Rule, Class: e.Classes.Name(t.Class), Matches: t.Matched, DryRun: t.DryRun, Field: fieldText(t), Seen: t.Seen,
		})
	}
	writeJSON(w, http.StatusOK, state)
}

// fieldText is the field that did not hold, as the configuration spells it.
func fieldText(t classifier.Trial) string {
	if t.Key != "" {
		return t.Field + "." + t.Key
	}
	return t.Field
}
