package loadgen

import (
	"strings"
	"testing"
	"time"

	"overtake/loadgen/arrival"
	"overtake/loadgen/content"
)

// A run without a request is no result: it is an error before anything is sent.
func TestNothingIsDue(t *testing.T) {
	class := Class{Name: "a", Arrivals: arrival.Steady(10), Request: content.Spec{Path: "/"}}
	never := class
	never.Arrivals = arrival.Plan{Bursts: arrival.Bursts{Size: 1}}
	for name, sc := range map[string]Scenario{
		"short": {Duration: time.Nanosecond, Classes: []Class{class}},
		"slow":  {Duration: time.Hour, Classes: []Class{{Name: "a", Arrivals: arrival.Steady(1e-300), Request: class.Request}}},
		"early": {Duration: time.Hour, Warmup: time.Second, Classes: []Class{never}},
	} {
		sc.Target = "http://127.0.0.1:1"
		if err := sc.Validate(); err == nil || !strings.Contains(err.Error(), "nothing is due within the run") {
			t.Errorf("%s: %v", name, err)
		}
		sc.Duration = time.Hour
		if sc.Classes = append(sc.Classes, Class{Name: "b", Arrivals: arrival.Steady(1), Request: class.Request}); sc.Validate() != nil {
			t.Errorf("%s and one more: %v", name, sc.Validate())
		}
	}
}

// What no server could make sense of is refused before anything is sent.
func TestRequestsThatCanNotBeSent(t *testing.T) {
	fields := func(pairs ...string) content.Spec {
		spec := content.Spec{Path: "/"}
		for i := 0; i < len(pairs); i += 2 {
			spec.Fields = append(spec.Fields, content.Field{Name: pairs[i], Value: pairs[i+1]})
		}
		return spec
	}
	steady := arrival.Steady(10)
	replayed := arrival.Plan{Replay: arrival.Replay{Arrivals: []arrival.Arrival{{Method: "GET"}, {Method: "CONNECT"}}}}
	for want, class := range map[string]Class{
		"timeout 721h0m0s, want 0s to 720h":    {Timeout: 721 * time.Hour},
		"header Loadgen-Id is sent by the":     {Request: fields("loadgen-id", "mine")},
		"header Host is empty":                 {Request: fields("Host", " ")},
		"header Host is there twice":           {Request: fields("Host", "a", "host", "b")},
		"header Authorization is there twice":  {Request: fields("Authorization", "a", "authorization", "b")},
		"method CONNECT asks for a tunnel":     {Request: content.Spec{Method: "CONNECT", Path: "/"}},
		"CONNECT asks for a tunnel, which has": {Arrivals: replayed, Request: content.Spec{Path: "/"}},
		"":                                     {Timeout: 720 * time.Hour, Request: fields("Host", "a", "X", "", "Authorization", "b")},
	} {
		class.Name = "a"
		if class.Request.Path == "" {
			class.Request.Path = "/"
		}
		if class.Arrivals.Rate == nil && len(class.Arrivals.Replay.Arrivals) == 0 {
			class.Arrivals = steady
		}
		err := Scenario{Target: "http://127.0.0.1:1", Duration: time.Second, Classes: []Class{class}}.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	report, err := Run(t.Context(), Scenario{Target: "http://127.0.0.1:1", Duration: time.Second,
		Classes: []Class{{Name: "a", Arrivals: steady, Request: fields()}}}, Options{RequestTimeout: 721 * time.Hour})
	if report != nil || err == nil || !strings.Contains(err.Error(), "want at most 720h") {
		t.Errorf("report %v, %v", report, err)
	}
}
