package loadgen

import (
	"strings"
	"testing"
)

func TestMergeKeepsTheWorstVerdict(t *testing.T) {
	a := &Report{Runs: []RunResult{{Condition: "first come, first served", Verdict: newVerdict(nil)}}}
	b := &Report{Runs: []RunResult{{Condition: "class order", Verdict: judge(GeneratorUsage{LagP99: 6})}}}
	merged := Merge(a, b)
	if len(merged.Runs) != 2 || merged.Runs[1].Condition != "class order" {
		t.Errorf("runs %+v", merged.Runs)
	}
	want := "GENERATOR-BOUND: class order: requests started up to 6.0 ms late (p99; limit 5 ms): lower the rate, or give this process more cores"
	if got := merged.Verdict.String(); got != want {
		t.Errorf("verdict %q, want %q", got, want)
	}
}

// Among repeated runs each has its number, the first one too.
func TestVerdictNamesTheRun(t *testing.T) {
	late := judge(GeneratorUsage{LagP99: 6})
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
	if v := judge(GeneratorUsage{LagP99: 5, SkippedShare: 0.001, CPUShare: 0.95}); v.String() != "VALID" {
		t.Errorf("at the limits: %v", v)
	}
	for reason, u := range map[string]GeneratorUsage{
		"late":        {LagP99: 5.1},
		"skipped":     {SkippedShare: 0.0011},
		"cores":       {CPUShare: 0.96},
		"descriptor":  {SocketFailures: 1},
		"completions": {LostCompletions: 1},
		"waited":      {CPUWaitMean: 0.51},
	} {
		if v := judge(u); v.State != GeneratorBound || len(v.Reasons) != 1 || !strings.Contains(v.String(), reason) {
			t.Errorf("%+v: %v, want %q", u, v, reason)
		}
	}
}
