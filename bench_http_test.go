//go:build e2e

package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"overtake/loadgen"
	"overtake/loadgen/arrival"
	"overtake/loadgen/content"
)

// How many jobs per second the gateway has to accept on the embedded broker, and
// the p99 of doing so at half of that, in milliseconds.
const (
	goalJobs    = 5000
	goalJobsP99 = 20
)

// posted is how fast jobs were accepted.
type posted struct {
	Rates   []float64 `json:"per_second"` // turn by turn
	P50     float64   `json:"p50_ms"`     // at half the goal's rate
	P99     float64   `json:"p99_ms"`
	Refused int64     `json:"refused"`
	Verdict string    `json:"verdict"`
}

// No deliveries: what they cost is the app's work, which this is not about.
const acceptConfig = `
brokers: {local: {type: nats, embedded: true, dir: %q, max_bytes: 20GiB}}
queues: {jobs: {broker: local, deliver: {upstream: app, path: /work}}}
upstreams: {app: {servers: ["http://127.0.0.1:%d"], limit: {max: 8}}}
routes: [{match: {path: "/jobs", methods: [POST]}, queue: jobs}, {match: {path: "/"}, upstream: app}]
`

// postJobs posts jobs of 256 bytes, first as fast as 64 clients get answers, then
// on a schedule.
func postJobs(t *testing.T) posted {
	t.Helper()
	g := startGateway(t, fmt.Sprintf(acceptConfig, filepath.Join(t.TempDir(), "broker"), freePort(t)))
	script := filepath.Join(t.TempDir(), "post.lua")
	lua := fmt.Sprintf("wrk.method = 'POST'\nwrk.body = string.rep('x', %d)\n", benchSize)
	if err := os.WriteFile(script, []byte(lua), 0o600); err != nil {
		t.Fatal(err)
	}
	var p posted
	for turn := range *benchTurns {
		out, _ := tool(t, "wrk", "-t1", "-c64", fmt.Sprintf("-d%ds", int(benchTurn.Seconds())), "-s", script, g.url+"/jobs")
		m := regexp.MustCompile(`Requests/sec:\s+(\S+)`).FindStringSubmatch(out)
		if m == nil || strings.Contains(out, "Non-2xx") || strings.Contains(out, "Socket errors") {
			t.Fatalf("wrk says\n%s", out)
		}
		rate, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("POST to 202, turn %d of %d: %.0f/s\n", turn+1, *benchTurns, rate)
		p.Rates = append(p.Rates, rate)
	}
	report, err := loadgen.Run(t.Context(), loadgen.Scenario{
		Target: g.url, Warmup: 2 * time.Second, Duration: *benchMeasure, Seed: 1,
		Classes: []loadgen.Class{{Name: "jobs", Arrivals: arrival.Steady(goalJobs / 2), Request: content.Spec{Method: http.MethodPost, Path: "/jobs", Body: benchBody}}},
	}, loadgen.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := stream(t, report.Runs[0], "jobs")
	p.P50, p.P99 = float64(s.Latency.P50), float64(s.Latency.P99)
	p.Refused, p.Verdict = s.ShedTotal()+s.FailedTotal(), report.Verdict.String()
	fmt.Printf("POST to 202 at %d/s: p50 %.1f ms, p99 %.1f ms, %d refused, %s\n", goalJobs/2, p.P50, p.P99, p.Refused, p.Verdict)
	g.kill(t) // nobody works on the jobs
	return p
}

func (p posted) table() string {
	rate := medianOf(p.Rates)
	var b strings.Builder
	b.WriteString("| POST to 202, embedded broker | figure | goal |\n| --- | --- | --- |\n")
	fmt.Fprintf(&b, "| 64 clients, per second | %.0f%s | %d |\n", rate, verdictOf(rate >= goalJobs), goalJobs)
	latency := "no result"
	if p.Verdict == string(loadgen.Valid) {
		latency = fmt.Sprintf("%.1f / %.1f%s", p.P50, p.P99, verdictOf(p.P99 <= goalJobsP99 && p.Refused == 0))
	}
	fmt.Fprintf(&b, "| %d per second: p50 / p99 ms | %s | %d |\n", goalJobs/2, latency, goalJobsP99)
	fmt.Fprintf(&b, "\nThe generator of the second was %s; %d were refused.\n", p.Verdict, p.Refused)
	return b.String()
}
