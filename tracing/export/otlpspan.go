package export

import (
	"fmt"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"overtake/tracing"
)

// otlpBatch is what all batches of a process have in common.
type otlpBatch struct {
	resource *resourcepb.Resource
	scope    *commonpb.InstrumentationScope
}

func newOTLPBatch(config *Config) otlpBatch {
	return otlpBatch{
		resource: &resourcepb.Resource{Attributes: otlpAttributes(config.resource())},
		scope:    &commonpb.InstrumentationScope{Name: "overtake", Version: config.Version},
	}
}

func (b otlpBatch) of(spans []tracing.Span) *tracepb.ResourceSpans {
	out := make([]*tracepb.Span, len(spans))
	for i := range spans {
		out[i] = otlpSpan(&spans[i])
	}
	return &tracepb.ResourceSpans{
		Resource:   b.resource,
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: b.scope, Spans: out}},
	}
}

func otlpSpan(s *tracing.Span) *tracepb.Span {
	out := &tracepb.Span{
		TraceId:           s.TraceID[:],
		SpanId:            s.ID[:],
		TraceState:        s.State,
		Name:              s.Name,
		Kind:              otlpKinds[s.Kind],
		StartTimeUnixNano: otlpTime(s.Start),
		EndTimeUnixNano:   otlpTime(s.End),
		Attributes:        otlpAttributes(s.Attributes),
	}
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
			Attributes:   otlpAttributes(event.Attributes),
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

func otlpAttributes(attributes []tracing.Attribute) []*commonpb.KeyValue {
	out := make([]*commonpb.KeyValue, len(attributes))
	for i, a := range attributes {
		out[i] = &commonpb.KeyValue{Key: a.Key, Value: otlpValue(a.Value)}
	}
	return out
}

func otlpValue(value any) *commonpb.AnyValue {
	switch value := value.(type) {
	case string:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}
	case bool:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: value}}
	case int64:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: value}}
	case float64:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: value}}
	default:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: fmt.Sprint(value)}}
	}
}
