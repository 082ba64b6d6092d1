//go:build e2e

package main

import (
	"flag"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"overtake/loadgen"
	"overtake/loadgen/arrival"
	"overtake/loadgen/content"
)

var loadTime = flag.Duration("load", 20*time.Second, "of the generator's memory test: for how long requests are sent")

// runLoadgen runs the generator on one processor.
func runLoadgen(t *testing.T, cpu string, args ...string) (loadgen.RunResult, result) {
	t.Helper()
	dir := t.TempDir()
	r := runTool(t, nil, nil, "taskset", append([]string{"-c", cpu, binary, "loadgen", "--out", dir}, args...)...)
	return readReport(t, dir).Runs[0], r
}

// A generator that shares its processor with a busy loop says that it was short of it.
// Alone on the processor it does well with the same load; where the machine has no
// quiet moment for that, it still waits for the processor less.
func TestE2ELoadgenStarved(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Fatal("this takes two processors: one is for the generator, another for the server")
	}
	for _, rate := range []int{200, 3000} {
		t.Run(fmt.Sprintf("%d a second", rate), func(t *testing.T) {
			url := startKnown(t, otherCPU)
			args := []string{"--target", url, "--class", fmt.Sprintf("soon=%d:/soon", rate), "--duration", "3s"}
			free, r := runLoadgen(t, proxyCPU, args...)
			for try := 1; free.Verdict.State != loadgen.Valid && try < loadTries; try++ {
				t.Logf("try %d of %d: %s", try, loadTries, free.Verdict)
				free, r = runLoadgen(t, proxyCPU, args...)
			}
			if valid := free.Verdict.State == loadgen.Valid; valid != (r.code == exitOK) {
				t.Errorf("alone it exited with %d: %s", r.code, free.Verdict)
			}
			spinner := startTool(t, nil, "taskset", "-c", proxyCPU, "sh", "-c", "while :; do :; done")
			starved, r := runLoadgen(t, proxyCPU, args...)
			spinner.kill(t)
			if r.code != exitFailed || starved.Verdict.State != loadgen.GeneratorBound {
				t.Errorf("beside a busy loop it exited with %d: %s", r.code, starved.Verdict)
			}
			if alone, beside := free.Generator.CPUWaitMean, starved.Generator.CPUWaitMean; alone >= beside {
				t.Errorf("alone it waited %v ms for the processor each time, beside a busy loop %v ms", alone, beside)
			}
			for name, run := range map[string]loadgen.RunResult{"alone": free, "starved": starved} {
				c := run.Classes[0]
				t.Logf("%s: %s; usage %+v\nlatency %+v\nservice %+v\nlag %+v", name, run.Verdict, run.Generator, c.Latency, c.Service, c.Lag)
			}
		})
	}
}

// However long it runs, the generator needs no more memory: neither what its heap
// holds grows, nor what the process takes. The heap is judged by the least that
// garbage collections left over in each third of the time, as a pause of the machine
// makes requests, and with them memory, for a moment.
func TestE2ELoadgenMemory(t *testing.T) {
	const rate = 5000
	url := startKnown(t)
	dir := t.TempDir()
	p := startTool(t, []string{"GODEBUG=gctrace=1"}, binary,
		"loadgen", "--target", url, "--class", fmt.Sprintf("all=%d:/now", rate), "--duration", loadTime.String(), "--out", dir)
	var samples []float64
	ticks := time.NewTicker(*loadTime / 100)
	defer ticks.Stop()
	for len(samples) < 99 {
		<-ticks.C
		samples = append(samples, float64(p.memory(t, "VmRSS")))
	}
	p.checkRSS(t)
	first, last := medianOf(samples[10:20]), medianOf(samples[89:])
	t.Logf("the process: %.0f KiB after a tenth of the time, %.0f KiB at its end, at %d requests a second for %v", first, last, rate, *loadTime)
	if last > 1.5*first {
		t.Errorf("it needed %.0f KiB after a tenth of the time and %.0f KiB at its end, want half as much again at the most", first, last)
	}
	p.wait(t)      // with an error if it was late
	var live []int // MiB that are in use after each collection
	for _, m := range regexp.MustCompile(`->(\d+) MB, \d+ MB goal`).FindAllStringSubmatch(p.text(), -1) {
		n, _ := strconv.Atoi(m[1])
		live = append(live, n)
	}
	third := len(live) / 3
	if third == 0 {
		t.Fatalf("%d garbage collections", len(live))
	}
	before, after := slices.Min(live[:third]), slices.Min(live[2*third:])
	t.Logf("its heap: %d MiB in use in the first third of %d collections, %d MiB in the last", before, len(live), after)
	if after > before+2 { // whole MiB are told
		t.Errorf("its heap grew from %d MiB to %d MiB", before, after)
	}
	all := stream(t, readReport(t, dir).Runs[0], "all")
	if want := 0.9 * rate * loadTime.Seconds(); float64(all.OK) < want {
		t.Errorf("%d of %d requests were answered, want %.0f at least", all.OK, all.Intended, want)
	}
}

// The same seed sends the same requests, in the same order and at the same times, and
// another one sends others.
func TestE2ELoadgenReplays(t *testing.T) {
	url := startKnown(t)
	sent := func(seed uint64) map[string][]seenRequest {
		notes(t, url)
		_, err := loadgen.Run(t.Context(), loadgen.Scenario{
			Target: url, Duration: 3 * time.Second, Seed: seed,
			Classes: []loadgen.Class{
				{Name: "often", Arrivals: arrival.Steady(300), Request: content.Spec{Path: "/replay/often/{{zipf 1.1 500}}"}},
				{Name: "seldom", Arrivals: arrival.Steady(50), Request: content.Spec{Path: "/replay/seldom?page={{int 1 1000}}"}},
			},
		}, loadgen.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return byClass(t, notes(t, url).Seen)
	}
	first, again, other := sent(7), sent(7), sent(8)
	for _, class := range []string{"often", "seldom"} {
		if !slices.Equal(targets(first[class]), targets(again[class])) {
			t.Errorf("%s: the same seed sent %d and %d requests, which differ", class, len(first[class]), len(again[class]))
			continue
		}
		if slices.Equal(targets(first[class]), targets(other[class])) || len(slices.Compact(slices.Sorted(slices.Values(targets(first[class]))))) < 20 {
			t.Errorf("%s: the requests are not drawn: %q", class, targets(first[class])[:10])
		}
		same, different := apart(first[class], again[class]), apart(first[class], other[class])
		t.Logf("%s: %d requests; in the middle they were %v apart, with another seed %v", class, len(first[class]), same, different)
		if same > different/5 {
			t.Errorf("%s: in the middle requests were %v apart with the same seed, %v with another one", class, same, different)
		}
	}
}

// byClass puts requests in the order of their numbers.
func byClass(t *testing.T, seen []seenRequest) map[string][]seenRequest {
	t.Helper()
	number := func(s seenRequest) int64 {
		_, digits, _ := strings.Cut(s.ID, "/")
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			t.Fatalf("a request came with the ID %q, want CLASS/NUMBER", s.ID)
		}
		return n
	}
	classes := make(map[string][]seenRequest)
	for _, s := range seen {
		class, _, _ := strings.Cut(s.ID, "/")
		classes[class] = append(classes[class], s)
	}
	for _, c := range classes {
		slices.SortFunc(c, func(a, b seenRequest) int { return int(number(a) - number(b)) })
	}
	return classes
}

func targets(seen []seenRequest) (all []string) {
	for _, s := range seen {
		all = append(all, s.Target)
	}
	return all
}

// apart returns the median of how far the requests of two runs are apart, when the
// begin of the second is put so that they are as close as can be.
func apart(these, those []seenRequest) time.Duration {
	n := min(len(these), len(those))
	var shifts []time.Duration
	for i := range n {
		shifts = append(shifts, those[i].At-these[i].At)
	}
	slices.Sort(shifts)
	middle := shifts[n/2]
	for i := range shifts {
		shifts[i] = (shifts[i] - middle).Abs()
	}
	slices.Sort(shifts)
	return shifts[n/2]
}
