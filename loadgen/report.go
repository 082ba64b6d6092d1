package loadgen

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"time"
)

// ReportSchema is the version of the JSON form of [Report]. It rises when a
// field changes its meaning or goes; new fields may come at any time.
const ReportSchema = 1

// Report is the result of one or more runs. Its JSON form is report.json, and
// is embedded in report.html. Durations are numbers of milliseconds with µs
// resolution and have names that end in _ms.
type Report struct {
	Schema      int         `json:"schema"`
	Created     time.Time   `json:"created"`
	Target      string      `json:"target"`
	Environment Environment `json:"environment"`
	// Verdict is VALID only if that of each phase is.
	Verdict Verdict `json:"verdict"`
	// Phases are runs under different conditions, in the order they were made,
	// such as "first come, first served" and "class order".
	Phases []Phase `json:"phases"`
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

// Phase is the result of one run.
type Phase struct {
	Name            string    `json:"name"`
	Started         time.Time `json:"started"` // of the schedule, warm-up included
	WarmupSeconds   float64   `json:"warmup_seconds"`
	DurationSeconds float64   `json:"duration_seconds"` // measured, without the warm-up
	Seed            uint64    `json:"seed"`
	// Interrupted says that the run was ended early; figures cover what was.
	Interrupted bool           `json:"interrupted"`
	Verdict     Verdict        `json:"verdict"`
	Generator   GeneratorUsage `json:"generator"`
	Streams     []StreamResult `json:"streams"`
}

// GeneratorUsage is what the verdict is based on.
type GeneratorUsage struct {
	LagP99       Millis  `json:"lag_p99_ms"`    // of the worst stream
	SkippedShare float64 `json:"skipped_share"` // of the intended requests, 0 to 1
	// CPUShare is the CPU time of this process over that of all cores, 0 to 1.
	// Whatever else runs in the process, such as a demo's gateway, is in it.
	CPUShare        float64 `json:"cpu_share"`
	SocketFailures  int64   `json:"socket_failures"`
	LostCompletions uint64  `json:"lost_completions"` // of jobs, missed between two polls
}

// StreamResult is what one stream got in one phase. Requests whose intended
// start lies in the warm-up are left out of everything but DonePerSecond and
// Series.
//
// Every intended request ends up in exactly one place: intended = sent +
// skipped, and sent = ok + unfinished + the sums of shed and failed.
type StreamResult struct {
	Name     string  `json:"name"`
	Class    string  `json:"class"`
	Rate     float64 `json:"rate"` // requests per second that the schedule asked for
	Method   string  `json:"method"`
	Path     string  `json:"path"`
	Job      bool    `json:"job"`
	Intended int64   `json:"intended"`
	Sent     int64   `json:"sent"`
	OK       int64   `json:"ok"`       // answered with success; for jobs: completed
	Accepted int64   `json:"accepted"` // jobs answered with 202
	Repeated int64   `json:"repeated"` // jobs completed more than once
	// Unfinished were sent and neither answered nor completed when the run
	// ended: under overload, the backlog.
	Unfinished int64            `json:"unfinished"`
	Skipped    int64            `json:"skipped"` // not sent: too many were unanswered
	Shed       map[string]int64 `json:"shed"`    // by reason
	Failed     map[string]int64 `json:"failed"`  // by kind
	Bytes      int64            `json:"bytes"`   // of response bodies
	// DonePerSecond counts the successes that came within the measured window,
	// whenever they were sent, over its length.
	DonePerSecond float64 `json:"done_per_second"`
	Latency       Latency `json:"latency"` // of successes, from the intended start
	Service       Latency `json:"service"` // of successes, from the real start
	Lag           Latency `json:"lag"`     // real start - intended start
	// Curve are the percentiles of Latency on the HDR scale, Distribution its
	// histogram in steps of a tenth of a decade.
	Curve        []CurvePoint `json:"curve"`
	Distribution []Bucket     `json:"distribution"`
	Series       []Second     `json:"series"`
}

// Latency summarizes one histogram.
type Latency struct {
	Count int64  `json:"count"`
	Mean  Millis `json:"mean_ms"`
	P50   Millis `json:"p50_ms"`
	P90   Millis `json:"p90_ms"`
	P99   Millis `json:"p99_ms"`
	P999  Millis `json:"p99_9_ms"`
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
	Second int    `json:"second"` // 0 is the first after the warm-up
	Done   int64  `json:"done"`
	Shed   int64  `json:"shed"`
	Failed int64  `json:"failed"`
	P50    Millis `json:"p50_ms"` // 0 if nothing was done
	P99    Millis `json:"p99_ms"`
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

func round3(f float64) float64 { return math.Round(f*1000) / 1000 }

// Merge returns one report with the phases of all reports, in order. The rest
// is that of the first, but for the verdict, which is of them all.
func Merge(reports ...*Report) *Report {
	if len(reports) == 0 {
		return &Report{Schema: ReportSchema}
	}
	merged := *reports[0]
	merged.Phases = nil
	for _, r := range reports {
		merged.Phases = append(merged.Phases, r.Phases...)
	}
	merged.Verdict = mergeVerdicts(merged.Phases)
	return &merged
}

// WriteJSON writes the report as indented JSON.
func WriteJSON(w io.Writer, r *Report) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("loadgen: report: %w", err)
	}
	return nil
}

// ShedTotal returns the number of requests that were refused with a reason.
func (s StreamResult) ShedTotal() int64 { return sum(s.Shed) }

// FailedTotal returns the number of requests that failed.
func (s StreamResult) FailedTotal() int64 { return sum(s.Failed) }

// label names the stream in tables and plots.
func (s StreamResult) label() string {
	if s.Class == "" || s.Class == s.Name {
		return s.Name
	}
	return s.Name + " (" + s.Class + ")"
}

// sortedKeys returns the keys of m, the most frequent first.
func sortedKeys(m map[string]int64) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		if m[a] != m[b] {
			return int(m[b] - m[a])
		}
		if a < b {
			return -1
		}
		return 1
	})
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
