package loadgen

import (
	"fmt"
	"strings"
	"time"
)

// The generator's own limits. Above any of them a run says more about the
// generator than about the target.
const (
	// maxLagP99 is absolute, because lag is part of every latency: 5 ms is
	// below what class order is expected to win anywhere.
	maxLagP99       = 5 * time.Millisecond
	maxSkippedShare = 0.001
	// A generator on one core is near its end here: below, what its use of the core
	// adds shows as lag, because schedules and readers take turns.
	maxCPUShare = 0.95
	maxCPUWait  = 500 * time.Microsecond
)

// VerdictState is whether a run can be believed.
type VerdictState string

// The figures are the target's, or say more about the generator.
const (
	Valid          VerdictState = "VALID"
	GeneratorBound VerdictState = "GENERATOR-BOUND"
)

// Verdict is what the generator says about itself.
type Verdict struct {
	State   VerdictState `json:"state"`
	Reasons []string     `json:"reasons"` // empty if valid
}

// String returns "VALID" or "GENERATOR-BOUND: reason; reason".
func (v Verdict) String() string {
	if len(v.Reasons) == 0 {
		return string(v.State)
	}
	return string(v.State) + ": " + strings.Join(v.Reasons, "; ")
}

func newVerdict(reasons []string) Verdict {
	if len(reasons) == 0 {
		return Verdict{State: Valid, Reasons: []string{}}
	}
	return Verdict{State: GeneratorBound, Reasons: reasons}
}

// judge decides whether the generator kept up.
func judge(u GeneratorUsage) Verdict {
	var reasons []string
	add := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	if u.LagP99.Duration() > maxLagP99 {
		add("requests started up to %.1f ms late (p99; limit %d ms): lower the rate, or give this process more cores",
			float64(u.LagP99), maxLagP99.Milliseconds())
	}
	if u.SkippedShare > maxSkippedShare {
		add("%.2f %% of the requests were skipped (limit %.1f %%): lower the rate, or allow more outstanding requests",
			u.SkippedShare*100, maxSkippedShare*100)
	}
	if u.SocketFailures > 0 {
		add("%d requests found no free port or descriptor here: keep connections open, or raise ulimit -n", u.SocketFailures)
	}
	if u.CPUShare > maxCPUShare {
		add("this process used %.0f %% of its cores (limit %.0f %%): lower the rate, or give it more cores",
			u.CPUShare*100, maxCPUShare*100)
	}
	if u.CPUWaitMean.Duration() > maxCPUWait {
		add("this process waited %.2f ms for a core each time it had work (limit %.1f ms), which is in the latencies:"+
			" stop what else runs on its cores, or give it others", float64(u.CPUWaitMean), float64(millis(maxCPUWait)))
	}
	if u.LostCompletions > 0 {
		add("%d completions were forgotten by the app before they were read: lower the rate of the jobs", u.LostCompletions)
	}
	return newVerdict(reasons)
}

// mergeVerdicts is valid if that of each run is. Its reasons name the run where
// there are several.
func mergeVerdicts(runs []RunResult) Verdict {
	var reasons []string
	repeated := make(map[string]bool) // by the condition
	for _, r := range runs {
		if r.Repeat > 1 {
			repeated[r.Condition] = true
		}
	}
	for _, r := range runs {
		for _, reason := range r.Verdict.Reasons {
			switch {
			case repeated[r.Condition]:
				reason = fmt.Sprintf("%s, run %d: %s", r.Condition, r.Repeat, reason)
			case len(runs) > 1:
				reason = r.Condition + ": " + reason
			}
			reasons = append(reasons, reason)
		}
	}
	return newVerdict(reasons)
}
