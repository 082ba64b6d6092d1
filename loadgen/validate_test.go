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
