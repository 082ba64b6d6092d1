package loadgen

import (
	"math"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"
)

// ReportSchema is the version of the JSON form of [Report]. It rises when a
// field changes its meaning or goes; new fields may come at any time.
const ReportSchema = 2

// Report is the result of one or more runs. Its JSON form is report.json, and
// is embedded in report.html. Durations are numbers of milliseconds with µs
// resolution and have names that end in _ms; shares are from 0 to 1, but for
// [GeneratorUsage] CPUWaitShare.
type Report struct {
	Schema      int         `json:"schema"`
	Created     time.Time   `json:"created"`
	Scenario    string      `json:"scenario"` // its name, may be empty
	Target      string      `json:"target"`
	Environment Environment `json:"environment"`
	// Jaeger is the base URL of the Jaeger in which trace ids are looked up;
	// empty if none was given.
	Jaeger string `json:"jaeger,omitempty"`
	// Verdict is VALID only if that of each run is.
	Verdict Verdict `json:"verdict"`
	// Expectations are what was asked of the figures, and whether they hold.
	Expectations []Expectation `json:"expectations,omitempty"`
	// Conditions sum up the runs that were made under the same condition.
	Conditions []Condition `json:"conditions"`
	// Runs are in the order they were made.
	Runs []RunResult `json:"runs"`
}

// Environment says where the generator ran.
type Environment struct {
	Version    string `json:"version"`
	Go         string `json:"go"`
	OS         string `json:"os"`
	Arch       string `json:"arch"`
	CPUs       int    `json:"cpus"`
	GOMAXPROCS int    `json:"gomaxprocs"`
}

// Expectation is one --expect and what came of it.
type Expectation struct {
	Text string `json:"text"` // as it was given: interactive.p99<50ms
	// Got is the figure, formatted with its unit: the worst of all runs.
	Got string `json:"got"`
	Met bool   `json:"met"`
}

// Condition sums up repeated runs under one condition, such as "classes ignored"
// and "class order".
type Condition struct {
	Name    string         `json:"name"`
	Runs    int            `json:"runs"` // without those ended early, unless all were
	Classes []ClassSummary `json:"classes"`
}

// ClassSummary is what one class got over the runs of a condition. A figure is of
// the runs that have it: latencies of those with a success, for example.
type ClassSummary struct {
	Name          string `json:"name"`
	Class         string `json:"class"`
	DonePerSecond Spread `json:"done_per_second"`
	Goodput       Spread `json:"goodput_per_second"`
	P50           Spread `json:"p50_ms"`
	P90           Spread `json:"p90_ms"`
	P99           Spread `json:"p99_ms"`
	P999          Spread `json:"p99_9_ms"`
	Max           Spread `json:"max_ms"`
	NotServed     Spread `json:"not_served_share"` // see [Counts.NotServedShare]
	QueueShare    Spread `json:"queue_share"`      // see [ClassResult.QueueShare]
}

// Spread is one figure over the runs of a condition that have it. Without any, all are
// NaN, and it is null in JSON.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// RunResult is the result of one run.
type RunResult struct {
	Condition       string    `json:"condition"`
	Repeat          int       `json:"repeat"` // 1 is the first run of its condition
	Target          string    `json:"target"`
	Started         time.Time `json:"started"` // of the schedule, warm-up included
	WarmupSeconds   float64   `json:"warmup_seconds"`
	DurationSeconds float64   `json:"duration_seconds"` // measured, without the warm-up
	Seed            uint64    `json:"seed"`
	// Interrupted says that the run was ended early; figures cover what was.
	Interrupted bool           `json:"interrupted"`
	Verdict     Verdict        `json:"verdict"`
	Generator   GeneratorUsage `json:"generator"`
	// Phases are the parts of the measured time; empty without phases.
	Phases  []PhaseSpan   `json:"phases,omitempty"`
	Classes []ClassResult `json:"classes"`
}

// PhaseSpan is when a phase was, from the end of the warm-up.
type PhaseSpan struct {
	Name         string  `json:"name"`
	StartSeconds float64 `json:"start_seconds"`
	EndSeconds   float64 `json:"end_seconds"`
}

// GeneratorUsage is what the verdict is based on.
type GeneratorUsage struct {
	LagP99       Millis  `json:"lag_p99_ms"`    // of the worst class
	SkippedShare float64 `json:"skipped_share"` // of the intended requests
	// CPU figures are of the measured part. CPUShare is the CPU time of this
	// process over that of all cores that it may use. Whatever else runs in the
	// process is in it, but not the time in which a class was awake for nothing.
	CPUShare float64 `json:"cpu_share"`
	// BusyShare is how much of the time the busiest class had something to do. A class
	// takes one core at most.
	BusyShare float64 `json:"busy_share"`
	// CPUWaitShare is the time that the threads of this process were ready to
	// run and had no core, over the time that they ran: above 1 if they waited for
	// longer than they ran. 0 where the system does not tell.
	CPUWaitShare float64 `json:"cpu_wait_share"`
	// CPUWaitMean is how long they waited each time before they ran: what every
	// answer spends in the socket before it is read, on the average.
	CPUWaitMean Millis `json:"cpu_wait_mean_ms"`
	// LoadAverage is how many threads of the whole machine ran or waited for one of its
	// Processors, about the mean of the last minute, when the schedule ended. Both are 0
	// where the system does not tell.
	LoadAverage     float64 `json:"load_average"`
	Processors      int     `json:"processors"`
	SocketFailures  int64   `json:"socket_failures"`
	LostCompletions uint64  `json:"lost_completions"` // of jobs, missed between two polls
	// MistimedCompletions are those that the app dates before their post or in the
	// future. They count as done when that became known.
	MistimedCompletions uint64 `json:"mistimed_completions"`
}

// ClassResult is what one class got in one run. Requests whose intended start
// lies in the warm-up are left out of everything but DonePerSecond, Goodput and
// Series.
//
// Every intended request ends up in exactly one place: intended = sent +
// skipped, and sent = ok + unfinished + the sums of shed and failed.
type ClassResult struct {
	Name     string  `json:"name"`
	Class    string  `json:"class"`
	Endpoint string  `json:"endpoint,omitempty"` // its name; empty is the target
	Rate     float64 `json:"rate"`               // mean requests per second that the schedule asked for
	Method   string  `json:"method"`             // as templates, before anything is drawn
	Path     string  `json:"path"`
	Arrivals string  `json:"arrivals"`   // of what kind they are, in words: Poisson
	Timeout  Millis  `json:"timeout_ms"` // of a request
	Job      bool    `json:"job"`
	// Success are the statuses of answers that are successes, such as 2xx and 304.
	// Messages have none.
	Success []string `json:"success,omitempty"`
	Counts
	Accepted int64 `json:"accepted"` // jobs answered with 202
	Repeated int64 `json:"repeated"` // jobs and messages that came more than once
	Bytes    int64 `json:"bytes"`    // of response bodies
	// DonePerSecond counts the successes that came within the measured window,
	// whenever they were sent, over its length.
	DonePerSecond float64 `json:"done_per_second"`
	// Goodput counts those of them within Objective.
	Objective Millis  `json:"objective_ms"` // 0 if the class has none
	Goodput   float64 `json:"goodput_per_second"`
	Latency   Latency `json:"latency"` // of successes, from the intended start
	Service   Latency `json:"service"` // of successes, from the real start
	Lag       Latency `json:"lag"`     // real start - intended start
	// Queue is how long successes waited in the gateway, as its Server-Timing
	// tells (queue;dur=), and QueueShare the sum of that over the sum of their
	// service times. Count is 0 where nothing told.
	Queue      Latency `json:"queue"`
	QueueShare float64 `json:"queue_share"`
	// LookLag is how late looks at the resources of jobs began, EndError by how much
	// the time at which a job was done may be wrong: half the time between the two
	// looks around it, 0 where the resource tells. Count is 0 for all else than jobs
	// that are followed by Location.
	LookLag  Latency `json:"look_lag"`
	EndError Latency `json:"end_error"`
	// OverdueLooks are jobs left unfinished that nobody looked at in the last second,
	// although that was due.
	OverdueLooks int64 `json:"overdue_looks"`
	// Curve and ServiceCurve are the percentiles of Latency and Service on the
	// HDR scale, up to 100, which is the maximum; Distribution is the histogram of
	// Latency in steps of a tenth of a decade.
	Curve        []CurvePoint `json:"curve"`
	ServiceCurve []CurvePoint `json:"service_curve"`
	Distribution []Bucket     `json:"distribution"`
	Series       []Second     `json:"series"`
	// Phases are the figures of each phase, by the intended start.
	Phases []PhaseResult `json:"phases,omitempty"`
	// Slowest are the slowest successes, the slowest first.
	Slowest []SlowRequest `json:"slowest"`
	// FirstFailures say, by the kind of failure, what the first of that kind was.
	FirstFailures map[string]string `json:"first_failures,omitempty"`
}

// Counts say what became of requests.
type Counts struct {
	Intended int64 `json:"intended"`
	Sent     int64 `json:"sent"`
	OK       int64 `json:"ok"` // answered with success; for jobs and messages: completed
	// WithinObjective are those of OK that came within the class's objective.
	WithinObjective int64 `json:"within_objective"`
	// Unfinished were sent and neither answered nor completed when the run
	// ended: under overload, the backlog.
	Unfinished int64            `json:"unfinished"`
	Skipped    int64            `json:"skipped"` // not sent: too many were unanswered, or the generator was too late
	Shed       map[string]int64 `json:"shed"`    // by reason
	Failed     map[string]int64 `json:"failed"`  // by kind
}

// PhaseResult is what a class got in one phase.
type PhaseResult struct {
	Name string `json:"name"`
	Counts
	Latency Latency `json:"latency"`
}

// SlowRequest is one of the slowest requests of a class.
type SlowRequest struct {
	TraceID string  `json:"trace_id"` // as sent in traceparent, 32 hexadecimal digits
	Sampled bool    `json:"sampled"`  // it asked to be recorded there
	URL     string  `json:"url,omitempty"`
	Request string  `json:"request"`    // method and target, or where a message was published
	At      float64 `json:"at_seconds"` // intended start, from the end of the warm-up
	Latency Millis  `json:"latency_ms"`
	Service Millis  `json:"service_ms"`
	Queue   Millis  `json:"queue_ms"` // 0 if the gateway did not tell
}

// Latency summarizes one histogram. With a count of 0, the others are 0, and null in
// JSON.
type Latency struct {
	Count int64  `json:"count"`
	Mean  Millis `json:"mean_ms"`
	P50   Millis `json:"p50_ms"`
	P75   Millis `json:"p75_ms"`
	P90   Millis `json:"p90_ms"`
	P95   Millis `json:"p95_ms"`
	P99   Millis `json:"p99_ms"`
	P999  Millis `json:"p99_9_ms"`
	P9999 Millis `json:"p99_99_ms"`
	Max   Millis `json:"max_ms"`
}

// CurvePoint says that Percentile percent of the successes took at most Latency.
type CurvePoint struct {
	Percentile float64 `json:"percentile"`
	Latency    Millis  `json:"ms"`
}

// Bucket counts the successes up to UpTo and above that of the bucket before.
type Bucket struct {
	UpTo  Millis `json:"up_to_ms"`
	Count int64  `json:"count"`
}

// Second is one second of the measured window, by the time of the answers. The
// series goes on after the window until the last answer.
type Second struct {
	Second  int    `json:"second"` // 0 is the first after the warm-up
	Sent    int64  `json:"sent"`   // by the real start
	Done    int64  `json:"done"`
	Good    int64  `json:"good"` // done within the objective
	Shed    int64  `json:"shed"`
	Failed  int64  `json:"failed"`
	Skipped int64  `json:"skipped"`
	P50     Millis `json:"p50_ms"` // 0 if nothing was done
	P99     Millis `json:"p99_ms"`
	Queue   Millis `json:"queue_mean_ms"` // in the gateway; 0 if nothing told
}

// Millis is a duration in milliseconds.
type Millis float64

func millis(d time.Duration) Millis { return Millis(float64(d.Microseconds()) / 1000) }

// Duration returns m with µs resolution.
func (m Millis) Duration() time.Duration {
	return time.Duration(math.Round(float64(m)*1000)) * time.Microsecond
}

// MarshalJSON writes m with at most 3 decimals.
func (m Millis) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, round3(float64(m)), 'f', -1, 64), nil
}

func round3(f float64) float64 { return math.Round(f*1e3) / 1e3 }
func round4(f float64) float64 { return math.Round(f*1e4) / 1e4 }

// ShedTotal returns the number of requests that were refused with a reason.
func (c Counts) ShedTotal() int64 { return sum(c.Shed) }

// FailedTotal returns the number of requests that failed.
func (c Counts) FailedTotal() int64 { return sum(c.Failed) }

// NotServed returns how many were sent and not answered with success: shed,
// failed or unfinished.
func (c Counts) NotServed() int64 { return c.ShedTotal() + c.FailedTotal() + c.Unfinished }

// NotServedShare returns the share of those sent that is [Counts.NotServed]; 0 if
// none was sent.
func (c Counts) NotServedShare() float64 { return float64(c.NotServed()) / float64(max(c.Sent, 1)) }

// Label names the class in tables and plots.
func (s ClassResult) Label() string {
	if s.Class == "" || s.Class == s.Name {
		return s.Name
	}
	return s.Name + " (" + s.Class + ")"
}

func environment(version string) Environment {
	if version == "" {
		version = "unknown"
		if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
			version = info.Main.Version
		}
	}
	return Environment{
		Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		CPUs: runtime.NumCPU(), GOMAXPROCS: runtime.GOMAXPROCS(0),
	}
}
