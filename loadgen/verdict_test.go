package loadgen

import (
	"strings"
	"testing"
	"time"
)

func TestMergeKeepsTheWorstVerdict(t *testing.T) {
	late := judge(GeneratorUsage{}, []lateness{
		{class: "a", lag: 4 * time.Millisecond, p99: time.Second}, {class: "b", lag: 3 * time.Millisecond, p99: 25 * time.Millisecond},
	})
	a := &Report{Runs: []RunResult{{Condition: "first come, first served", Verdict: newVerdict(nil)}}}
	b := &Report{Runs: []RunResult{{Condition: "class order", Verdict: late}}}
	merged := Merge(a, b)
	if len(merged.Runs) != 2 || merged.Runs[1].Condition != "class order" {
		t.Errorf("runs %+v", merged.Runs)
	}
	want := "GENERATOR-BOUND: class order: requests of class b started up to 3.0 ms late (p99; limit 2.5 ms): lower the rate, or give this process more cores"
	if got := merged.Verdict.String(); got != want {
		t.Errorf("verdict %q, want %q", got, want)
	}
}

// Among repeated runs each has its number, the first one too.
func TestVerdictNamesTheRun(t *testing.T) {
	late := newVerdict([]string{"requests started late"})
	got := mergeVerdicts([]RunResult{
		{Condition: "run", Repeat: 1, Verdict: late}, {Condition: "run", Repeat: 2, Verdict: late}, {Condition: "once", Repeat: 1, Verdict: late},
	})
	for i, want := range []string{"run, run 1: requests", "run, run 2: requests", "once: requests"} {
		if len(got.Reasons) != 3 || !strings.HasPrefix(got.Reasons[i], want) {
			t.Fatalf("reasons %q, want %q", got.Reasons, want)
		}
	}
}

func TestJudge(t *testing.T) {
	if v := judge(GeneratorUsage{SkippedShare: 0.001, CPUShare: maxCPUShare, CPUWaitMean: millis(minWaitLimit)}, []lateness{{}}); v.String() != "VALID" {
		t.Errorf("at the limits: %v", v)
	}
	for reason, u := range map[string]GeneratorUsage{
		"skipped":     {SkippedShare: 0.0011},
		"cores":       {CPUShare: maxCPUShare + 0.01},
		"descriptor":  {SocketFailures: 1},
		"completions": {LostCompletions: 1},
		"waited":      {CPUWaitMean: millis(minWaitLimit) + 0.01},
		"clock":       {MistimedCompletions: 1},
	} {
		if v := judge(u, nil); v.State != GeneratorBound || len(v.Reasons) != 1 || !strings.Contains(v.String(), reason) {
			t.Errorf("%+v: %v, want %q", u, v, reason)
		}
	}
}

// A lag of 4 ms is nothing in a latency of a second, and makes one of 5 ms useless.
func TestLagLimitGoesByLatency(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct{ latency, limit time.Duration }{
		{0, 5 * ms}, {ms, 2 * ms}, {20 * ms, 2 * ms}, {30 * ms, 3 * ms}, {50 * ms, 5 * ms}, {time.Second, 5 * ms},
	} {
		for lag, want := range map[time.Duration]VerdictState{test.limit: Valid, test.limit + ms/10: GeneratorBound} {
			if v := judge(GeneratorUsage{}, []lateness{{class: "a", lag: lag, p99: test.latency}}); v.State != want {
				t.Errorf("lag %v in %v: %v, want %s", lag, test.latency, v, want)
			}
		}
	}
}

// Of a class that is slow and rare, a lag is neither much of a latency nor a burst.
func TestLagLimitOfSlowAndRareClasses(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct {
		what        string
		median, p99 time.Duration
		peak        int64
		limit       time.Duration
	}{
		{"slow and rare", time.Second, 3 * time.Second, 20, 50 * ms},
		{"very rare", time.Second, 3 * time.Second, 1, 100 * ms},
		{"rare, but only some are slow", 40 * ms, 3 * time.Second, 20, 5 * ms},
		{"rare, and half of them rather slow", 200 * ms, 3 * time.Second, 20, 20 * ms},
		{"slow, but frequent", time.Second, 3 * time.Second, 300, 5 * ms},
		{"rare and fast", 5 * ms, 10 * ms, 1, 2 * ms},
	} {
		if got := (lateness{median: test.median, p99: test.p99, peak: test.peak}).limit(); got != test.limit {
			t.Errorf("%s: %v, want %v", test.what, got, test.limit)
		}
	}
}

// Who shares a machine with too much is told so, as the rate is not what is wrong.
func TestTheRemedyForABusyMachine(t *testing.T) {
	late := []lateness{{class: "a", lag: time.Second}}
	for want, u := range map[string]GeneratorUsage{
		"lower the rate, or give this process more cores":                                   {LoadAverage: 2, Processors: 2},
		"lower the rate, or give this process":                                              {LoadAverage: 13}, // of how many is not known
		"late (p99; limit 5.0 ms): stop what else runs (load average 13.2 on 2 processors)": {LoadAverage: 13.2, Processors: 2},
		"in the latencies: stop what else runs (load average 3.01 on 2 processors)":         {LoadAverage: 3.01, Processors: 2, CPUWaitMean: 1},
		"in the latencies: stop what else runs on its cores":                                {LoadAverage: 1, Processors: 2, CPUWaitMean: 1},
	} {
		if v := judge(u, late); !strings.Contains(v.String(), want) {
			t.Errorf("%q has no %q", v, want)
		}
	}
}

// The ends of jobs are exact enough by a part of how long they take.
func TestJudgeOfTheEndsOfJobs(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct {
		l    lateness
		want VerdictState
	}{
		{lateness{endError: 20 * ms, p99: 10 * ms}, Valid},
		{lateness{endError: 21 * ms, p99: 10 * ms}, GeneratorBound},
		{lateness{endError: 250 * ms, p99: time.Second}, Valid},
		{lateness{endError: 251 * ms, p99: time.Second}, GeneratorBound},
		{lateness{lookLag: time.Second, p99: time.Second}, Valid}, // and yet exact, as they tell
		{lateness{overdue: 1}, GeneratorBound},
	} {
		if v := judge(GeneratorUsage{}, []lateness{test.l}); v.State != test.want {
			t.Errorf("%+v: %v, want %s", test.l, v, test.want)
		}
	}
}

// The wait for a core is held to the latency of the fastest class.
func TestWaitLimitGoesByLatency(t *testing.T) {
	const ms = time.Millisecond
	u := GeneratorUsage{CPUWaitMean: 0.3}
	for want, medians := range map[VerdictState][]time.Duration{Valid: {0, 15 * ms, time.Second}, GeneratorBound: {time.Second, 14 * ms}} {
		var classes []lateness
		for _, median := range medians {
			classes = append(classes, lateness{median: median})
		}
		if v := judge(u, classes); v.State != want {
			t.Errorf("medians %v: %v, want %s", medians, v, want)
		}
	}
}
