package export

import (
	"fmt"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"overtake/tracing"
)

// otlpBatch makes batches of spans. They have the resource and the scope in common,
// and the memory: each is valid until the next.
type otlpBatch struct {
	resource *resourcepb.Resource
	scope    *commonpb.InstrumentationScope

	spans      pieces[tracepb.Span]
	attributes pieces[commonpb.KeyValue]
	values     pieces[commonpb.AnyValue]
	texts      pieces[commonpb.AnyValue_StringValue]
	numbers    pieces[commonpb.AnyValue_IntValue]
}

// pieces are many values in one piece of memory, which is used again: made one by
// one, they would be most of what the garbage collector has to do.
type pieces[T any] []T

// next returns a zero value. It stays where it is when the pieces grow.
func (p *pieces[T]) next() *T {
	var zero T
	*p = append(*p, zero)
	return &(*p)[len(*p)-1]
}

// forget lets go of what the values refer to.
func (p *pieces[T]) forget() {
	clear(*p)
	*p = (*p)[:0]
}

func newOTLPBatch(config *Config) *otlpBatch {
	var own otlpBatch // the resource stays
	return &otlpBatch{
		resource: &resourcepb.Resource{Attributes: own.attributesOf(config.resource())},
		scope:    &commonpb.InstrumentationScope{Name: "overtake", Version: config.Version},
	}
}

func (b *otlpBatch) of(spans []tracing.Span) *tracepb.ResourceSpans {
	out := make([]*tracepb.Span, len(spans))
	for i := range spans {
		out[i] = b.spanOf(&spans[i])
	}
	return &tracepb.ResourceSpans{
		Resource:   b.resource,
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: b.scope, Spans: out}},
	}
}

// forget ends the use of the last batch.
func (b *otlpBatch) forget() {
	b.spans.forget()
	b.attributes.forget()
	b.values.forget()
	b.texts.forget()
	b.numbers.forget()
}

func (b *otlpBatch) spanOf(s *tracing.Span) *tracepb.Span {
	out := b.spans.next()
	out.TraceId = s.TraceID[:]
	out.SpanId = s.ID[:]
	out.TraceState = s.State
	out.Name = s.Name
	out.Kind = otlpKinds[s.Kind]
	out.StartTimeUnixNano = otlpTime(s.Start)
	out.EndTimeUnixNano = otlpTime(s.End)
	out.Attributes = b.attributesOf(s.Attributes)
	if s.Parent != (tracing.SpanID{}) {
		out.ParentSpanId = s.Parent[:]
	}
	if s.Failure != "" {
		out.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: s.Failure}
	}
	for i := range s.Events {
		event := &s.Events[i]
		out.Events = append(out.Events, &tracepb.Span_Event{
			Name:         event.Name,
			TimeUnixNano: otlpTime(event.Time),
			Attributes:   b.attributesOf(event.Attributes),
		})
	}
	return out
}

var otlpKinds = [...]tracepb.Span_SpanKind{
	tracing.Internal: tracepb.Span_SPAN_KIND_INTERNAL, tracing.Server: tracepb.Span_SPAN_KIND_SERVER,
	tracing.Client: tracepb.Span_SPAN_KIND_CLIENT, tracing.Producer: tracepb.Span_SPAN_KIND_PRODUCER,
	tracing.Consumer: tracepb.Span_SPAN_KIND_CONSUMER,
}

// otlpTime returns unix nanoseconds, 0 for a time before that.
func otlpTime(t time.Time) uint64 { return uint64(max(t.UnixNano(), 0)) }

func (b *otlpBatch) attributesOf(attributes []tracing.Attribute) []*commonpb.KeyValue {
	out := make([]*commonpb.KeyValue, len(attributes))
	for i, a := range attributes {
		out[i] = b.attributes.next()
		out[i].Key, out[i].Value = a.Key, b.values.next()
		b.setValue(out[i].Value, a.Value)
	}
	return out
}

func (b *otlpBatch) setValue(out *commonpb.AnyValue, value any) {
	switch value := value.(type) {
	case string:
		text := b.texts.next()
		text.StringValue = value
		out.Value = text
	case bool:
		out.Value = &commonpb.AnyValue_BoolValue{BoolValue: value}
	case int64:
		number := b.numbers.next()
		number.IntValue = value
		out.Value = number
	case float64:
		out.Value = &commonpb.AnyValue_DoubleValue{DoubleValue: value}
	default:
		out.Value = &commonpb.AnyValue_StringValue{StringValue: fmt.Sprint(value)}
	}
}
