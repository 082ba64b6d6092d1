//go:build e2e

package main

import (
	"testing"
	"time"

	"overtake/loadgen"
	"overtake/loadgen/arrival"
	"overtake/loadgen/content"
)

// The load generator follows jobs by what the gateway tells at their Location, to
// the end of the work. The app does one job at a time, so their latency grows.
func TestE2ELoadgenFollowsJobsByLocation(t *testing.T) {
	app := startApp(t, 1)
	g := startGateway(t, jobsConfig(t, app))
	report, err := loadgen.Run(t.Context(), loadgen.Scenario{
		Target: g.url, Duration: 2 * time.Second,
		Classes: []loadgen.Class{{
			Name: "export", Class: "batch", Job: true, Arrivals: arrival.Steady(40),
			Request: content.Spec{Method: "POST", Path: "/work?ms=30", Body: []byte("a job")},
		}},
	}, loadgen.Options{Grace: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	got := report.Runs[0].Classes[0]
	if got.Sent < 40 || got.Accepted != got.Sent || got.OK != got.Sent {
		t.Errorf("sent %d, accepted %d, done %d, failed %v, shed %v", got.Sent, got.Accepted, got.OK, got.Failed, got.Shed)
	}
	backlog := loadgen.Millis(30*got.Sent - 2000)
	if got.Service.P50 < 30 || got.Latency.Max < backlog {
		t.Errorf("latency %+v of %d jobs, want %v ms at least for the last", got.Latency, got.Sent, backlog)
	}
	t.Logf("%d jobs, %+v", got.OK, got.Latency)
}
