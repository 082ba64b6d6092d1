package jaegerquery

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"overtake/tracing"
)

// ClassKey is the attribute with the class of a span.
const ClassKey = "overtake.class"

// ownPrefix begins the names of Overtake's own spans and attributes.
const ownPrefix = "overtake."

// Trace is a trace as Jaeger has it: in no order, perhaps not complete.
type Trace struct {
	ID    tracing.TraceID
	Spans []Span
}

// Span is a span with the process that it is from. Jaeger keeps whole
// microseconds.
type Span struct {
	tracing.Span
	// Service is the service.name, Instance what tells its processes apart: the
	// service.instance.id, else the host; "" when neither is known.
	Service, Instance string
}

// Text returns an attribute as text, "" if there is none.
func (s *Span) Text(key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			return fmt.Sprint(a.Value)
		}
	}
	return ""
}

// Own reports whether the span has an attribute of Overtake.
func (s *Span) Own() bool {
	for _, a := range s.Attributes {
		if strings.HasPrefix(a.Key, ownPrefix) {
			return true
		}
	}
	return false
}

// The JSON of Jaeger's answers: internal/uimodel/model.go of its source.
type (
	errorJSON struct {
		Code int    `json:"code"` // as a status of HTTP
		Msg  string `json:"msg"`
	}
	traceJSON struct {
		TraceID   string                 `json:"traceID"`
		Spans     []spanJSON             `json:"spans"`
		Processes map[string]processJSON `json:"processes"`
	}
	spanJSON struct {
		TraceID    string          `json:"traceID"`
		SpanID     string          `json:"spanID"`
		Name       string          `json:"operationName"`
		References []referenceJSON `json:"references"`
		Start      uint64          `json:"startTime"` // microseconds since 1970
		Duration   uint64          `json:"duration"`  // microseconds
		Tags       []tagJSON       `json:"tags"`
		Logs       []logJSON       `json:"logs"`
		Process    string          `json:"processID"`
	}
	referenceJSON struct {
		Type    string `json:"refType"`
		TraceID string `json:"traceID"`
		SpanID  string `json:"spanID"`
	}
	processJSON struct {
		Service string    `json:"serviceName"`
		Tags    []tagJSON `json:"tags"`
	}
	logJSON struct {
		Time   uint64    `json:"timestamp"` // microseconds since 1970
		Fields []tagJSON `json:"fields"`
	}
	tagJSON struct {
		Key   string `json:"key"`
		Value any    `json:"value"`
	}
)

// No clock shows more than these. Jaeger sends it for spans that were recorded with
// an end before their start, or with no time at all; one such span of any software
// must not hide a whole answer, so they count as nothing.
const (
	lastMicro    = 1 << 52 // in the year 2112
	longestMicro = 1 << 50 // 35 years
)

// micros is n microseconds, or 0 if that is more than most.
func micros(n, most uint64) int64 {
	if n > most {
		return 0
	}
	return int64(n)
}

// errOtherJSON is the error of an answer of other software: it has JSON, too, but
// no list as data.
var errOtherJSON = errors.New("it answered with other JSON")

// readList reads an answer as a stream, calls add for each element of its data, and
// returns what Jaeger complains about, which may come beside data. Jaeger sends null
// for an empty list.
func readList[T any](body io.Reader, add func(T)) (complaints []errorJSON, err error) {
	d := json.NewDecoder(body)
	d.UseNumber()
	switch begin, err := d.Token(); {
	case err != nil:
		return nil, fmt.Errorf("it answered with something else than its JSON: %w", err)
	case begin != json.Delim('{'):
		return nil, errOtherJSON
	}
	found := false
	for d.More() {
		var skipped json.RawMessage
		key, err := d.Token()
		switch {
		case err != nil:
		case key == "data":
			found, err = true, readElements(d, add)
		case key == "errors":
			err = d.Decode(&complaints)
		default:
			err = d.Decode(&skipped)
		}
		if err != nil {
			return nil, fmt.Errorf("it answered with other JSON: %w", err)
		}
	}
	if _, err := d.Token(); err != nil { // the end of the object
		return nil, fmt.Errorf("it answered with something else than its JSON: %w", err)
	}
	if !found {
		return nil, errOtherJSON
	}
	return complaints, nil
}

// readElements calls add for each element of a list.
func readElements[T any](d *json.Decoder, add func(T)) error {
	switch begin, err := d.Token(); {
	case err != nil:
		return err
	case begin == nil:
		return nil
	case begin != json.Delim('['):
		return errors.New("its data is not a list")
	}
	for d.More() {
		var element T
		if err := d.Decode(&element); err != nil {
			return err
		}
		add(element)
	}
	_, err := d.Token()
	return err
}

// printable keeps what comes from outside from steering the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}

// trace is the trace, or none: Jaeger takes spans without ids, too, which are in no
// trace.
func (j *traceJSON) trace() (Trace, bool) {
	id, err := ParseID(j.TraceID)
	if err != nil {
		return Trace{}, false
	}
	return Trace{ID: id, Spans: j.spans(id)}, true
}

func (j *traceJSON) spans(id tracing.TraceID) []Span {
	spans := make([]Span, 0, len(j.Spans))
	for i := range j.Spans {
		s := j.Spans[i].span(id)
		process := j.Processes[j.Spans[i].Process]
		s.Service, s.Instance = process.Service, process.instance()
		spans = append(spans, s)
	}
	return spans
}

func (j *processJSON) instance() (instance string) {
	for _, tag := range j.Tags {
		switch tag.Key {
		case "service.instance.id":
			return fmt.Sprint(tag.Value)
		case "hostname", "host.name":
			instance = fmt.Sprint(tag.Value)
		}
	}
	return instance
}

// kinds are the values of the tag span.kind.
var kinds = map[any]tracing.Kind{
	"server": tracing.Server, "client": tracing.Client, "producer": tracing.Producer, "consumer": tracing.Consumer,
}

func (j *spanJSON) span(trace tracing.TraceID) (s Span) {
	s.ID = parseSpanID(j.SpanID)
	s.TraceID, s.Name = trace, j.Name
	s.Start = time.UnixMicro(micros(j.Start, lastMicro))
	s.End = s.Start.Add(time.Duration(micros(j.Duration, longestMicro)) * time.Microsecond)
	s.Parent = j.parent(trace, s.ID)
	s.Attributes = attributes(j.Tags)
	failed, description := false, ""
	for _, a := range s.Attributes {
		switch a.Key {
		case "span.kind":
			s.Kind = kinds[a.Value]
		case "error":
			failed = a.Value == true || a.Value == "true"
		case "otel.status_description":
			description = fmt.Sprint(a.Value)
		}
	}
	if failed {
		s.Failure = cmp.Or(description, s.Text("error.type"), "failed")
	}
	for _, l := range j.Logs {
		e := tracing.Event{Time: time.UnixMicro(micros(l.Time, lastMicro)), Attributes: attributes(l.Fields)}
		for _, a := range e.Attributes {
			if a.Key == "event" {
				e.Name = fmt.Sprint(a.Value)
			}
		}
		s.Events = append(s.Events, e)
	}
	return s
}

// parent is the first reference to another span of the same trace; a child comes
// before what follows. Links to other traces are references, too.
func (j *spanJSON) parent(trace tracing.TraceID, own tracing.SpanID) (parent tracing.SpanID) {
	for _, r := range j.References {
		if id, err := ParseID(r.TraceID); err != nil || id != trace {
			continue
		}
		id := parseSpanID(r.SpanID)
		if id == own {
			continue
		}
		if r.Type == "CHILD_OF" {
			return id
		}
		if parent == (tracing.SpanID{}) {
			parent = id
		}
	}
	return parent
}

// decodeID reads hexadecimal digits, from which Jaeger may drop leading zeros.
func decodeID(id []byte, text string) error {
	if len(text) > 2*len(id) {
		return hex.ErrLength
	}
	_, err := hex.Decode(id, []byte(strings.Repeat("0", 2*len(id)-len(text))+text))
	return err
}

// parseSpanID returns the zero id for what is none.
func parseSpanID(text string) (id tracing.SpanID) {
	if err := decodeID(id[:], text); err != nil {
		return tracing.SpanID{}
	}
	return id
}

// attributes keeps texts, numbers and truth values.
func attributes(tags []tagJSON) []tracing.Attribute {
	list := make([]tracing.Attribute, 0, len(tags))
	for _, tag := range tags {
		value := tag.Value
		if n, ok := value.(json.Number); ok {
			if i, err := n.Int64(); err == nil {
				value = i
			} else if f, err := n.Float64(); err == nil {
				value = f
			}
		}
		switch value.(type) {
		case string, bool, int64, float64:
			list = append(list, tracing.Attribute{Key: tag.Key, Value: value})
		}
	}
	return list
}
