//go:build e2e

package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"overtake/loadgen"
	"overtake/loadgen/arrival"
	"overtake/loadgen/content"
)

// What recording one request in a hundred may cost in the processor, and a collector
// in the p99.
const (
	goalSampled   = 1.03
	goalCollector = 1.05
)

// tracedSide is one gateway of a comparison, with what was measured of it, round by
// round.
type tracedSide struct {
	Name    string    `json:"name"`
	PerSec  []float64 `json:"requests_per_second,omitempty"`
	CPU     []float64 `json:"cpu_us_per_request,omitempty"`
	P50     []float64 `json:"p50_ms,omitempty"`
	P99     []float64 `json:"p99_ms,omitempty"`
	Trouble []string  `json:"trouble,omitempty"` // why a round is no result
	Spans   [3]int    `json:"spans"`             // exported, dropped, failed
	Peak    int       `json:"peak_kib"`          // of memory
	gateway gatewayProgram
}

// tracingResults are the parts of the benchmark.
type tracingResults struct {
	Cost  []*tracedSide `json:"cost,omitempty"`
	Fault []*tracedSide `json:"collector,omitempty"`
	Shed  []*tracedSide `json:"shed,omitempty"`
}

// TestBenchTracing measures what spans cost, and what a collector that fails does to
// requests. All gateways of a part run; each has its turn in every round.
func TestBenchTracing(t *testing.T) {
	var r tracingResults
	var b strings.Builder
	t.Run("cost", func(t *testing.T) {
		r.Cost = benchSpanCost(t)
		b.WriteString(costTable(r.Cost, "request", "no exporter", "sample 0"))
	})
	t.Run("collector", func(t *testing.T) {
		r.Fault = benchCollectors(t)
		b.WriteString(collectorTable(r.Fault))
	})
	t.Run("shed", func(t *testing.T) {
		r.Shed = benchShed(t)
		b.WriteString(costTable(r.Shed, "refused request", "no exporter"))
	})
	fmt.Print("\n" + b.String())
	saveBench(t, "tracing", b.String(), r)
}

// untraced is tracedConfig without an exporter.
func untraced(app string) string {
	return fmt.Sprintf("upstreams: {app: {servers: [%q], limit: {max: 64}}}\n", app)
}

func benchSpanCost(t *testing.T) []*tracedSide {
	app := startApp(t, 8)
	url := startCollector(t, takeSpans).URL
	var sides []*tracedSide
	for _, side := range []struct{ name, config string }{
		{"no exporter", untraced(app)},
		{"no exporter, another process", untraced(app)},
		{"sample 0", tracedConfig(app, "otlp", "http", url, 0)},
		{"sample 0.01", tracedConfig(app, "otlp", "http", url, 0.01)},
		{"sample 1, OTLP over HTTP", tracedConfig(app, "otlp", "http", url, 1)},
		{"sample 1, OTLP over gRPC", tracedConfig(app, "otlp", "grpc", url, 1)},
		{"sample 1, Thrift over HTTP", tracedConfig(app, "jaeger", "", url, 1)},
	} {
		sides = append(sides, &tracedSide{Name: side.name, gateway: startGateway(t, side.config)})
	}
	inTurns(t, sides, "/healthz")
	return sides
}

// inTurns drives each side in each round as fast as 32 clients get answers.
func inTurns(t *testing.T, sides []*tracedSide, path string) {
	t.Helper()
	for _, s := range sides {
		drive(t, s, path, time.Second) // warm
		s.PerSec, s.CPU = nil, nil
	}
	for round := range *benchRounds {
		for _, s := range sides {
			drive(t, s, path, *benchTurn)
			fmt.Printf("round %d of %d: %s: %.0f/s, %.1f us each\n", round+1, *benchRounds, s.Name, s.PerSec[round], s.CPU[round])
		}
	}
	for _, s := range sides {
		s.ended(t)
	}
}

func drive(t *testing.T, s *tracedSide, path string, turn time.Duration) {
	t.Helper()
	before := s.gateway.cpu(t)
	out, _ := tool(t, "wrk", "-t1", "-c32", fmt.Sprintf("-d%ds", int(turn.Seconds())), s.gateway.url+path)
	used := s.gateway.cpu(t) - before
	m := regexp.MustCompile(`(\d+) requests in `).FindStringSubmatch(out)
	if m == nil || strings.Contains(out, "Socket errors") {
		t.Fatalf("wrk says\n%s", out)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	s.PerSec = append(s.PerSec, n/turn.Seconds())
	s.CPU = append(s.CPU, used.Seconds()*1e6/n)
}

// cpu returns the processor time that the process has used.
func (p *program) cpu(t *testing.T) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every machine that runs Go
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	ticks := 0
	for _, field := range fields[11:13] { // utime and stime: 14 and 15, counted from the pid
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick
}

// ended notes what the gateway says of its spans, and the memory it has had.
func (s *tracedSide) ended(t *testing.T) {
	t.Helper()
	s.Spans[0], s.Spans[1], s.Spans[2] = s.gateway.spans(t)
	s.Peak = s.gateway.peakRSS(t)
}

// ratios returns the quotients to another side in the same rounds.
func ratios(these, those []float64) []float64 {
	all := make([]float64, len(these))
	for i := range these {
		all[i] = these[i] / those[i]
	}
	return all
}

func ratioCell(all []float64, goal float64) string {
	cell := fmt.Sprintf("**%.3f** (%.3f to %.3f)", medianOf(all), slices.Min(all), slices.Max(all))
	if goal > 0 {
		cell += verdictOf(medianOf(all) <= goal)
	}
	return cell
}

// costTable shows what a request takes of the gateway's processor time, and how that
// compares with the sides named.
func costTable(sides []*tracedSide, what string, references ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| gateway | requests/s | us per %s |", what)
	for _, name := range references {
		fmt.Fprintf(&b, " to %s |", name)
	}
	b.WriteString(" spans exported, dropped, failed | peak MiB |\n| --- | --- | --- |" + strings.Repeat(" --- |", len(references)) + " --- | --- |\n")
	for _, s := range sides {
		fmt.Fprintf(&b, "| %s | %.0f | %.1f |", s.Name, medianOf(s.PerSec), medianOf(s.CPU))
		for _, name := range references {
			goal := 0.0
			if s.Name == "sample 0.01" {
				goal = goalSampled
			}
			fmt.Fprintf(&b, " %s |", ratioCell(ratios(s.CPU, sideNamed(sides, name).CPU), goal))
		}
		fmt.Fprintf(&b, " %d, %d, %d | %d |\n", s.Spans[0], s.Spans[1], s.Spans[2], s.Peak>>10)
	}
	fmt.Fprintf(&b, "\nMedians of %d rounds of %v; in brackets the least and the most.\n\n", *benchRounds, *benchTurn)
	return b.String()
}

func sideNamed(sides []*tracedSide, name string) *tracedSide {
	return sides[slices.IndexFunc(sides, func(s *tracedSide) bool { return s.Name == name })]
}

// benchCollectors compares the latency beside collectors that fail with that beside
// one that does not, and that without any. The load does not wait for answers.
func benchCollectors(t *testing.T) []*tracedSide {
	app := startApp(t, 16)
	healthy := startCollector(t, takeSpans).URL
	sides := []*tracedSide{
		{Name: "no exporter", gateway: startGateway(t, untraced(app))},
		{Name: "healthy", gateway: startGateway(t, tracedConfig(app, "otlp", "http", healthy, 1))},
		{Name: "killed", gateway: startGateway(t, tracedConfig(app, "otlp", "http", fmt.Sprintf("http://127.0.0.1:%d", freePort(t)), 1))},
	}
	for _, fault := range collectorFaults {
		url := startCollector(t, fault.answer).URL
		sides = append(sides, &tracedSide{Name: fault.name, gateway: startGateway(t, tracedConfig(app, "otlp", "http", url, 1))})
	}
	for round := range *benchRounds {
		for _, s := range sides {
			s.underLoad(t, round)
		}
	}
	for _, s := range sides {
		s.ended(t)
	}
	return sides
}

// underLoad measures the latency of a load that the side can well do, again if the
// generator was disturbed.
func (s *tracedSide) underLoad(t *testing.T, round int) {
	t.Helper()
	scenario := loadgen.Scenario{
		Target: s.gateway.url, Warmup: time.Second, Duration: *benchMeasure, Seed: uint64(round + 1),
		Classes: []loadgen.Class{{Name: "work", Arrivals: arrival.Steady(1000), Request: content.Spec{Path: "/work?ms=5"}}},
	}
	for try := 1; ; try++ {
		report, err := loadgen.Run(t.Context(), scenario, loadgen.Options{})
		if err != nil {
			t.Fatal(err)
		}
		work := stream(t, report.Runs[0], "work")
		fmt.Printf("round %d of %d: %s: p50 %.2f ms, p99 %.2f ms, %d of %d answered, %s\n", round+1, *benchRounds,
			s.Name, work.Latency.P50, work.Latency.P99, work.OK, work.Sent, report.Verdict)
		valid := work.OK == work.Sent && report.Verdict.State == loadgen.Valid
		if !valid && try < loadTries {
			continue
		}
		s.P50, s.P99 = append(s.P50, float64(work.Latency.P50)), append(s.P99, float64(work.Latency.P99))
		if !valid {
			s.Trouble = append(s.Trouble, fmt.Sprintf("round %d: %d of %d answered, %s", round+1, work.OK, work.Sent, report.Verdict))
		}
		return
	}
}

func collectorTable(sides []*tracedSide) string {
	var b strings.Builder
	b.WriteString("| collector | p50 / p99 ms | p99 to no exporter | p99 to healthy | spans exported, dropped, failed | peak MiB |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, s := range sides {
		fmt.Fprintf(&b, "| %s | %.2f / %.2f | %s | %s | %d, %d, %d | %d |\n", s.Name, medianOf(s.P50), medianOf(s.P99),
			ratioCell(ratios(s.P99, sideNamed(sides, "no exporter").P99), goalCollector),
			ratioCell(ratios(s.P99, sideNamed(sides, "healthy").P99), goalCollector),
			s.Spans[0], s.Spans[1], s.Spans[2], s.Peak>>10)
	}
	fmt.Fprintf(&b, "\nEvery request recorded; medians of %d rounds of %v; in brackets the least and the most.\n", *benchRounds, *benchMeasure)
	for _, s := range sides {
		for _, trouble := range s.Trouble {
			fmt.Fprintf(&b, "\nNOT A RESULT: %s, %s\n", s.Name, trouble)
		}
	}
	return b.String() + "\n"
}

// benchShed measures what refusing costs. One request takes the app and another
// waits, so that all others are refused; nothing is sampled, but each is kept.
func benchShed(t *testing.T) []*tracedSide {
	var sides []*tracedSide
	for _, side := range []struct{ name, exporter, url string }{
		{"no exporter", "none", ""},
		{"healthy", "otlp", startCollector(t, takeSpans).URL},
		{"never answering", "otlp", startCollector(t, collectorFaults[0].answer).URL},
	} {
		app := startApp(t, 1)
		tracing := fmt.Sprintf("tracing: {exporter: %s, endpoint: %q, sample: 0}\n", side.exporter, side.url)
		if side.exporter == "none" {
			tracing = ""
		}
		sides = append(sides, &tracedSide{Name: side.name, gateway: startGateway(t, fmt.Sprintf(
			"classes: [{name: standard, max_waiting: 1, max_wait: 10m}]\nupstreams: {app: {servers: [%q], timeout: 10m, limit: {max: 1}}}\n%s", app, tracing))})
	}
	inTurns(t, sides, "/work?ms=60000")
	return sides
}
