package arrival

import (
	"testing"
	"time"
)

func TestPlanSaysOfWhatKindItIs(t *testing.T) {
	for want, plan := range map[string]Plan{
		"none":    {Rate: []Piece{{Duration: time.Second}}},
		"Poisson": Steady(20),
		"constant, at a rate that changes": {Spacing: Constant, Rate: []Piece{
			{Duration: time.Second, From: 5, To: 5}, {Duration: time.Second, From: 10, To: 10}}},
		"a burst of 7": {Bursts: Bursts{Size: 7}},
		"Poisson, at a rate that changes, and bursts of 7 every 2s, and a replay of 1, 0.5x as fast": {
			Rate: []Piece{{Duration: time.Second, From: 1, To: 5}}, Bursts: Bursts{Size: 7, Every: 2 * time.Second},
			Replay: Replay{Arrivals: make([]Arrival, 1), Speed: 0.5}},
	} {
		if got := plan.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
