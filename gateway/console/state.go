package console

// State is what the page shows. Times are Unix milliseconds, durations milliseconds.
type State struct {
	Version  string   `json:"version"`
	Started  int64    `json:"started"`  // when the process began
	Now      int64    `json:"now"`      // when this was so
	Ready    bool     `json:"ready"`    // what /readyz says, or said a moment ago
	Problems []string `json:"problems"` // why it is not
	Draining bool     `json:"draining"`
	DryRun   bool     `json:"dry_run"` // of the whole gateway

	Config    ConfigState `json:"config"`
	Listeners []Listener  `json:"listeners"`
	Classes   []Class     `json:"classes"` // most urgent first; they never change
	Upstreams []Upstream  `json:"upstreams"`
	Queues    []Queue     `json:"queues"`
	// Failures has what is worst of late first.
	Failures []Failure `json:"failures"`
	// Rules are in their order, then the pseudo rules that have hits.
	Rules   []Rule   `json:"rules"`
	Slowest []Slow   `json:"slowest"` // the slowest first
	History History  `json:"history"`
	Window  []Window `json:"window"` // by class, the last 15 minutes in one
	Minute  []Window `json:"minute"` // the same of the last minute
}

// ConfigState is which configuration is in effect.
type ConfigState struct {
	Since  int64         `json:"since"`
	Failed *ConfigFailed `json:"failed,omitempty"` // the last reload, if it failed
}

// ConfigFailed is why a reload changed nothing.
type ConfigFailed struct {
	At    int64  `json:"at"`
	Error string `json:"error"` // may have several lines
}

// Listener is where the gateway takes connections.
type Listener struct {
	Name    string `json:"name"`
	Role    string `json:"role"`
	Address string `json:"address"` // that it is bound to
}

// Class is a latency class.
type Class struct {
	Name            string  `json:"name"`
	ObjectiveMillis float64 `json:"objective_ms,omitempty"` // of the wait; missing for none
}

// Upstream is one app with its lanes.
type Upstream struct {
	Name     string   `json:"name"`
	Limit    int      `json:"limit"` // of all servers in use
	InFlight int      `json:"in_flight"`
	Waiting  int      `json:"waiting"`
	DryRun   bool     `json:"dry_run"`
	Servers  []Server `json:"servers"`
	Classes  []Lane   `json:"classes"` // most urgent first
	// Minute and Window are how long its servers took in the last minute, and in the
	// last 15.
	Minute Tries `json:"minute"`
	Window Tries `json:"window"`
}

// Tries are how long the servers of an upstream took, from when they were sent a request
// or a message to the header of the answer, or until nobody waited any longer for it. A
// server that could not be reached took no time.
type Tries struct {
	Count uint64   `json:"count"`
	P50   *float64 `json:"p50"`
	P99   *float64 `json:"p99"`
}

// Server is one server of an upstream.
type Server struct {
	URL string `json:"url"`
	// State is up, down, ejected (for failed answers) or ramping (just back).
	State       string  `json:"state"`
	StateMillis float64 `json:"state_ms,omitempty"` // for how long; missing since the start
	Limit       int     `json:"limit"`
	InFlight    int     `json:"in_flight"`
	Probing     bool    `json:"probing"`         // the limit is being measured
	Error       string  `json:"error,omitempty"` // that led to the state
}

// Lane is a class's place in front of an upstream. Counts are since the upstream was
// configured as it is.
type Lane struct {
	Class        string  `json:"class"`
	Waiting      int     `json:"waiting"`
	InFlight     int     `json:"in_flight"`
	Reserve      float64 `json:"reserve"` // slots kept from less urgent classes
	OldestMillis float64 `json:"oldest_ms"`
	Overtakes    uint64  `json:"overtakes"`
	Dispatched   uint64  `json:"dispatched"`
	Order        string  `json:"order"` // fifo or newest_first
	// Shed has the reasons that have occurred. In a dry run nothing of it was refused.
	Shed map[string]uint64 `json:"shed"`
}

// Queue is a message queue.
type Queue struct {
	Name   string `json:"name"`
	Broker string `json:"broker"` // its name in the configuration
	// Error is why the lanes are not known; then they are what was known last.
	Error string      `json:"error,omitempty"`
	Lanes []QueueLane `json:"lanes"`
}

// QueueLane is one lane of a queue, by its class, or of the dead letters.
type QueueLane struct {
	Class   string `json:"class"`
	Waiting int    `json:"waiting"`
	// InHand is how many this gateway has taken and not settled.
	InHand int  `json:"in_hand"`
	Paused bool `json:"paused"`
}

// The kinds of failures.
const (
	Failed  = "failed"  // by the gateway or by the app, whose answer was 5xx or broke off
	Refused = "refused" // for other work to be served
	Client  = "client"  // by the client, who left, or sent what can't be served
)

// Failure is how much work of a class got no good answer, by why and where. Work that is
// only counted, as in a dry run, is not in it.
type Failure struct {
	Kind string `json:"kind"`
	// Upstream is where it was to be served, Queue where it came from or was to go to;
	// both for a delivery. Listener is where it came in that was for neither. Without any
	// of the three, it was for a destination that no route names.
	Upstream string `json:"upstream,omitempty"`
	Queue    string `json:"queue,omitempty"`
	Listener string `json:"listener,omitempty"`
	Class    string `json:"class,omitempty"`  // missing where it was not known yet
	Reason   string `json:"reason,omitempty"` // missing for the app's own answer
	Status   int    `json:"status,omitempty"` // missing where nothing was answered
	Total    uint64 `json:"total"`            // since the process began
	Recent   uint64 `json:"recent"`           // in the last 15 minutes
	Minute   uint64 `json:"minute"`           // in the last one
}

// Rule is a rule and how often it decided. Several rules of one name share the counts.
type Rule struct {
	Name    string `json:"name"`
	Class   string `json:"class,omitempty"` // missing for a pseudo rule
	Match   string `json:"match,omitempty"`
	Builtin bool   `json:"builtin"`
	DryRun  bool   `json:"dry_run"`
	Hits    uint64 `json:"hits"`
	DryHits uint64 `json:"dry_hits"` // it would have decided
}

// Slow is one of the slowest pieces of work of late.
type Slow struct {
	// ID tells it from the others of this process.
	ID      uint64 `json:"id"`
	TraceID string `json:"trace_id"` // hexadecimal
	// Recorded is whether its spans were sent to the collector.
	Recorded bool   `json:"recorded"`
	Class    string `json:"class"`
	At       int64  `json:"at"` // when it ended
	Method   string `json:"method"`
	Path     string `json:"path"` // without the query, as it was sent; cut off when it is long
	// Listener is where it came in, or Queue, from where it was delivered.
	Listener    string  `json:"listener,omitempty"`
	Queue       string  `json:"queue,omitempty"`
	Rule        string  `json:"rule,omitempty"`
	Status      int     `json:"status"` // 0 for a delivery without an answer
	Reason      string  `json:"reason,omitempty"`
	TotalMillis float64 `json:"total_ms"`
	Hops        []Hop   `json:"hops"`
}

// The kinds of hops.
const (
	Wait   = "wait"   // for a slot of an upstream
	Try    = "try"    // at a server, to the header of its answer
	Next   = "next"   // what the next hop says of its own time, by Server-Timing
	Answer = "answer" // from its header to its end
)

// Hop is one part of the way of a piece of work.
type Hop struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// StartMillis counts from the begin of the work.
	StartMillis float64 `json:"start_ms"`
	Millis      float64 `json:"ms"`
	Note        string  `json:"note,omitempty"`
}

// History is how it was in each step, the oldest first. The present step is missing
// until it is over.
type History struct {
	StepMillis int64   `json:"step_ms"`
	Points     []Point `json:"points"`
}

// Point is one step.
type Point struct {
	T         int64           `json:"t"`       // its end
	Classes   []ClassPoint    `json:"classes"` // in the order of the classes
	Upstreams []UpstreamPoint `json:"upstreams"`
}

// UpstreamPoint is one upstream in a step: its limit at the end, 0 for none, and how long
// its servers took.
type UpstreamPoint struct {
	Name  string   `json:"name"`
	Limit int      `json:"limit,omitempty"`
	P50   *float64 `json:"p50"`
	P99   *float64 `json:"p99"`
}

// ClassPoint is what ended in a step, of one class. What was shed is in Rate and Shed
// alone. The quantiles are nil without anything else.
type ClassPoint struct {
	Rate       float64  `json:"rate"` // per second
	WaitP50    *float64 `json:"wait_p50"`
	WaitP99    *float64 `json:"wait_p99"`
	LatencyP50 *float64 `json:"latency_p50"`
	LatencyP99 *float64 `json:"latency_p99"`
	Shed       uint64   `json:"shed"`
	Failed     uint64   `json:"failed"`
}

// Window is what ended of a class in some time up to now.
type Window struct {
	Class      string   `json:"class"`
	Requests   uint64   `json:"requests"` // that ended, however they did
	WaitP50    *float64 `json:"wait_p50"`
	WaitP99    *float64 `json:"wait_p99"`
	WaitMax    *float64 `json:"wait_max"`
	LatencyP50 *float64 `json:"latency_p50"`
	LatencyP99 *float64 `json:"latency_p99"`
	LatencyMax *float64 `json:"latency_max"`
	Shed       uint64   `json:"shed"`
	Failed     uint64   `json:"failed"`
}
