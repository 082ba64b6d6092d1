package main

import (
	"testing"

	"overtake/gateway"
	"overtake/gateway/config"
	"overtake/loadgen/scenario"
)

// The gateway's configuration beside each built-in scenario gives the requests of
// each class the class that the scenario means, and sends them somewhere.
func TestScenariosSuitTheirGateways(t *testing.T) {
	none := func(string) (string, bool) { return "", false }
	for _, name := range scenario.Names() {
		s, err := scenario.Open(name, scenario.Changes{}, none)
		if err != nil {
			t.Fatal(err)
		}
		_, text, _ := scenario.Text(name)
		cfg, err := config.Parse(name+".gateway.yaml", text, none)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if len(cfg.Warnings) > 0 {
			t.Errorf("%s: %v", name, cfg.Warnings)
		}
		if cfg.Expose != "all" {
			t.Errorf("%s: expose is %s: no report can have a queue share", name, cfg.Expose)
		}
		flows := make(map[string]bool)
		for _, class := range s.Classes {
			requests, err := class.Request.Open(s.Seed, class.Name)
			if err != nil {
				t.Fatal(err)
			}
			for range 50 {
				r := requests.Next()
				q := gateway.Question{Method: r.Method, URL: "http://shop.example" + r.Target}
				for _, f := range r.Fields {
					q.Header = append(q.Header, f.Name+": "+f.Value)
				}
				e, err := gateway.Explain(cfg, q)
				if err != nil {
					t.Fatalf("%s: class %s: %v", name, class.Name, err)
				}
				if got := e.Classes.Name(e.Decision.Class); got != class.Class || e.Route < 0 {
					t.Fatalf("%s: class %s: %s %s gets class %s and route %d, want class %s", name, class.Name, r.Method, r.Target, got, e.Route, class.Class)
				}
				if class.Job != (cfg.Routes[e.Route].Queue != "") {
					t.Fatalf("%s: class %s: %s %s: route %d", name, class.Name, r.Method, r.Target, e.Route)
				}
				flows[e.Flow] = true
			}
		}
		if name == "noisy-tenant" && len(flows) < 20 {
			t.Errorf("%s has %d flows", name, len(flows))
		}
	}
}
