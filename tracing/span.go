package tracing

import "time"

// Kind is the part that a span has in a call, as OpenTelemetry defines it.
type Kind uint8

// The kinds of spans.
const (
	Internal Kind = iota // inside one hop
	Server               // a request, as the hop that took it sees it
	Client               // one try of a request, as the hop that sends it sees it
	Producer             // a message that is published
	Consumer             // a message that is worked on
)

// Span is one piece of a request's way, complete when it is recorded. Its strings
// must stay valid after that: an exporter reads them later.
type Span struct {
	TraceID TraceID
	ID      SpanID
	Parent  SpanID // zero: the trace begins here
	State   string // tracestate

	Kind       Kind
	Name       string // of low cardinality: never an id, a path or a client
	Start, End time.Time
	Attributes []Attribute
	Events     []Event
	// Failure says why the span failed; "" for one that did not.
	Failure string
}

// Attribute is a key with its value: a string, an int64, a float64 or a bool. Keys
// are those of OpenTelemetry's semantic conventions; ours begin with "overtake.".
type Attribute struct {
	Key   string
	Value any
}

// Event is something that happened at one moment of a span.
type Event struct {
	Name       string
	Time       time.Time
	Attributes []Attribute
}
