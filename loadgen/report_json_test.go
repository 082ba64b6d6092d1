package loadgen

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// What there is no value of is null, not the best one of all.
func TestNothingIsNull(t *testing.T) {
	dead := ClassResult{Name: "dead", Counts: Counts{Sent: 5}}
	half := ClassResult{Name: "half", Latency: Latency{Count: 3, P99: 7}}
	text, err := json.Marshal(Summarize([]RunResult{
		{Condition: "c", Classes: []ClassResult{dead, half}},
		{Condition: "c", Classes: []ClassResult{dead, {Name: "half"}}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"name":"dead","class":"","done_per_second":{"median":0,"min":0,"max":0}`, `"p99_ms":null`,
		`"queue_share":null`, `"p99_ms":{"median":7,"min":7,"max":7}`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s\nhas no %s", text, want)
		}
	}
	var read []Condition
	if err := json.Unmarshal(text, &read); err != nil || !math.IsNaN(read[0].Classes[0].P99.Median) || read[0].Classes[1].P99.Max != 7 {
		t.Errorf("read as %+v, %v", read, err)
	}
	text, err = json.Marshal(dead)
	if err != nil || !strings.Contains(string(text), `"latency":{"count":0,"mean_ms":null,"p50_ms":null,`) || strings.Contains(string(text), `"p99_ms":0`) {
		t.Errorf("%s, %v", text, err)
	}
}
