package loadgen

import (
	"fmt"
	"strings"
	"time"
)

// The generator's own limits. Above any of them a run says more about the
// generator than about the target.
const (
	// Lag is part of every latency, so its limit is a part of that, lagShare, but
	// not below minLagLimit, which a virtual machine with nothing else to do comes
	// near. Beside a busy loop on its core the lag was 3.4 to 3.8 ms (p99), where
	// answers of 5 ms took 8 (p90).
	//
	// Lag is also a load of another shape: what was due during it is sent together. So
	// the limit is not above usualLagLimit either, unless the class is so slow and so
	// rare that this is of no account: the lag is a small part of its median too, and
	// shorter than the time between two of its requests when they are most frequent.
	lagShare        = 0.1
	minLagLimit     = 2 * time.Millisecond
	usualLagLimit   = 5 * time.Millisecond
	maxSkippedShare = 0.001
	// Looks at jobs are planned so that the time of an end is wrong by an eighth of
	// the job's age at most, or by half of firstLook. Twice as much is too much.
	endErrorShare    = 0.25
	minEndErrorLimit = firstLook
	// What piles up while somebody else has the core is worked off with what is left of
	// it. A core of a virtual machine that was 84 % in use, at 115,000 requests a second,
	// had a lag of 2 to 3 ms (p99), and one 88 % in use, at 130,000, 20 to 40 ms. Time awake
	// for nothing does not count.
	maxCPUShare = 0.85
	// Each answer waits for a core before it is read, which no lag tells of. That
	// may be waitShare of a latency, or minWaitLimit: alone on its core a generator
	// waited for 0.01 to 0.02 ms on the average, beside a busy loop for 0.08 ms at
	// 8000 requests a second, and for 0.2 ms at fewer than 3000.
	waitShare    = 0.02
	minWaitLimit = 100 * time.Microsecond
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

// lateness is how late the requests of one class were, and what they got.
type lateness struct {
	class  string
	lag    time.Duration // p99
	peak   int64         // most requests in a second
	median time.Duration // of the latency; 0 if nothing succeeded, like p99
	p99    time.Duration

	// Of jobs that are followed by Location.
	lookLag  time.Duration // p99
	endError time.Duration // p99
	overdue  int64
}

// limit is the largest lag that leaves the latency worth reading.
func (l lateness) limit() time.Duration {
	if l.p99 == 0 {
		return usualLagLimit
	}
	most := usualLagLimit
	if l.peak > 0 {
		most = max(most, min(time.Duration(float64(l.median)*lagShare), time.Second/time.Duration(l.peak)))
	}
	return min(max(time.Duration(float64(l.p99)*lagShare), minLagLimit), most)
}

// endErrorLimit is the largest error of the ends of jobs that leaves their latency worth
// reading.
func (l lateness) endErrorLimit() time.Duration {
	return max(time.Duration(float64(l.p99)*endErrorShare), minEndErrorLimit)
}

// exceeds is by what factor the lag is above its limit.
func (l lateness) exceeds() float64 { return float64(l.lag) / float64(l.limit()) }

// judge decides whether the generator kept up.
func judge(u GeneratorUsage, classes []lateness) Verdict {
	var reasons []string
	add := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	var worst lateness
	var fastest time.Duration // median
	for _, l := range classes {
		if l.exceeds() > worst.exceeds() {
			worst = l
		}
		if l.median > 0 && (fastest == 0 || l.median < fastest) {
			fastest = l.median
		}
	}
	if worst.exceeds() > 1 {
		add("requests of class %s started up to %.1f ms late (p99; limit %.1f ms): %s",
			worst.class, float64(millis(worst.lag)), float64(millis(worst.limit())), u.remedy("lower the rate, or give this process more cores"))
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
	if u.BusyShare > maxCPUShare && u.CPUShare <= maxCPUShare {
		add("a class was busy for %.0f %% of the time (limit %.0f %%), and takes one core at most: lower its rate, or split it in two",
			u.BusyShare*100, maxCPUShare*100)
	}
	waitLimit := max(time.Duration(float64(fastest)*waitShare), minWaitLimit)
	if u.CPUWaitMean.Duration() > waitLimit {
		add("this process waited %.2f ms for a core each time it had work (limit %.1f ms), which is in the latencies: %s",
			float64(u.CPUWaitMean), float64(millis(waitLimit)), u.remedy("stop what else runs on its cores, or give it others"))
	}
	for _, l := range classes {
		reasons = append(reasons, l.judgeLooks()...)
	}
	if u.LostCompletions > 0 {
		add("%d completions were forgotten by the app before they were read: lower the rate of the jobs", u.LostCompletions)
	}
	if u.MistimedCompletions > 0 {
		add("%d completions have a time before their post or in the future: set the clock of the app to that of this machine", u.MistimedCompletions)
	}
	return newVerdict(reasons)
}

// remedy says what helps a process that gets no core: usual, unless the machine is known
// to have more to do than it can.
func (u GeneratorUsage) remedy(usual string) string {
	if u.Processors == 0 || u.LoadAverage <= float64(u.Processors) {
		return usual
	}
	return fmt.Sprintf("stop what else runs (load average %.3g on %d processors)", u.LoadAverage, u.Processors)
}

// judgeLooks returns why the latencies of jobs that were looked at are not exact.
func (l lateness) judgeLooks() (reasons []string) {
	const remedy = `have their resource answer sooner, or say "finished" by a clock that is right, or lower their rate`
	if limit := l.endErrorLimit(); l.endError > limit {
		reasons = append(reasons, fmt.Sprintf("when jobs of class %s were done is only known to within %.0f ms (p99; limit %.0f ms), as looks at them came late or took long (begun %.0f ms late, p99): %s",
			l.class, float64(millis(l.endError)), float64(millis(limit)), float64(millis(l.lookLag)), remedy))
	}
	if l.overdue > 0 {
		reasons = append(reasons, fmt.Sprintf("%d jobs of class %s count as unfinished because looks at them were late at the end: lower the rate of the jobs, or give --completions",
			l.overdue, l.class))
	}
	return reasons
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
