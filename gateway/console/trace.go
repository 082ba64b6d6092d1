package console

// Trace is what /console/trace answers: the spans of one trace, whoever made them.
type Trace struct {
	TraceID string `json:"trace_id"`
	// Link is the address of its page at Jaeger.
	Link        string  `json:"link"`
	Start       int64   `json:"start"` // of the first span
	TotalMillis float64 `json:"total_ms"`
	// Hops are in the order of their begins.
	Hops []TraceHop `json:"hops"`
	// Left is how many hops more there are.
	Left int `json:"left,omitempty"`
}

// TraceHop is one span.
type TraceHop struct {
	Service     string  `json:"service"`
	Name        string  `json:"name"`
	Class       string  `json:"class,omitempty"`
	Depth       int     `json:"depth"`    // how many spans it is below
	StartMillis float64 `json:"start_ms"` // from the begin of the first
	Millis      float64 `json:"ms"`
	Error       string  `json:"error,omitempty"`
}
