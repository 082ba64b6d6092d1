package export

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/uber/jaeger-client-go/thrift"
	thriftjaeger "github.com/uber/jaeger-client-go/thrift-gen/jaeger"

	"overtake/tracing"
)

// jaeger exports as Jaeger's own clients did. Their library is archived, and its
// sender knows neither contexts nor ids that others have made: only its Thrift
// types are used.
type jaeger struct {
	url       string
	transport *http.Transport
	client    *http.Client
	process   *thriftjaeger.Process
}

func newJaeger(config Config, endpoint *url.URL) *jaeger {
	if strings.Trim(endpoint.Path, "/") == "" {
		endpoint.Path = "/api/traces"
	}
	transport := newTransport()
	resource := config.resource()
	return &jaeger{
		url:       endpoint.String(),
		transport: transport,
		client:    newClient(transport),
		// The first attribute has a field of its own.
		process: &thriftjaeger.Process{ServiceName: config.Service, Tags: jaegerTags(resource[1:])},
	}
}

func (j *jaeger) Export(ctx context.Context, spans []tracing.Span) error {
	batch := &thriftjaeger.Batch{Process: j.process, Spans: make([]*thriftjaeger.Span, len(spans))}
	for i := range spans {
		batch.Spans[i] = jaegerSpan(&spans[i])
	}
	body := thrift.NewTMemoryBuffer()
	if err := batch.Write(ctx, thrift.NewTBinaryProtocolConf(body, &thrift.TConfiguration{})); err != nil {
		return fmt.Errorf("tracing/export: jaeger: encoding %d spans: %w", len(spans), err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, j.url, bytes.NewReader(body.Bytes()))
	if err != nil {
		return fmt.Errorf("tracing/export: jaeger: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-thrift")
	response, err := j.client.Do(request)
	if err != nil {
		return fmt.Errorf("tracing/export: jaeger: %w", err)
	}
	defer response.Body.Close()
	// The rest of a longer answer is not waited for; its connection is closed.
	text, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("tracing/export: jaeger: %s answered %s: %s", request.URL.Redacted(), response.Status, text)
	}
	if err != nil {
		return fmt.Errorf("tracing/export: jaeger: reading the answer: %w", err)
	}
	return nil
}

func (j *jaeger) Close(context.Context) error {
	j.transport.CloseIdleConnections()
	return nil
}

// jaegerSpan writes a span as OpenTelemetry's mapping to Jaeger asks for, so that
// it looks the same in Jaeger whichever way it came.
func jaegerSpan(s *tracing.Span) *thriftjaeger.Span {
	const sampled = 1
	out := &thriftjaeger.Span{
		TraceIdHigh:   int64(binary.BigEndian.Uint64(s.TraceID[:8])),
		TraceIdLow:    int64(binary.BigEndian.Uint64(s.TraceID[8:])),
		SpanId:        int64(binary.BigEndian.Uint64(s.ID[:])),
		ParentSpanId:  int64(binary.BigEndian.Uint64(s.Parent[:])),
		OperationName: s.Name,
		Flags:         sampled,
		StartTime:     s.Start.UnixMicro(),
		Duration:      int64(s.End.Sub(s.Start) / time.Microsecond),
		Tags:          jaegerTags(s.Attributes),
	}
	mapped := []tracing.Attribute{{Key: "span.kind", Value: kindNames[s.Kind]}}
	if s.State != "" {
		mapped = append(mapped, tracing.Attribute{Key: "w3c.tracestate", Value: s.State})
	}
	if s.Failure != "" {
		mapped = append(mapped,
			tracing.Attribute{Key: "error", Value: true},
			tracing.Attribute{Key: "otel.status_code", Value: "ERROR"},
			tracing.Attribute{Key: "otel.status_description", Value: s.Failure})
	}
	out.Tags = append(out.Tags, jaegerTags(mapped)...)
	for i := range s.Events {
		event := &s.Events[i]
		name := []tracing.Attribute{{Key: "event", Value: event.Name}}
		out.Logs = append(out.Logs, &thriftjaeger.Log{
			Timestamp: event.Time.UnixMicro(),
			Fields:    append(jaegerTags(name), jaegerTags(event.Attributes)...),
		})
	}
	return out
}

var kindNames = [...]string{
	tracing.Internal: "internal", tracing.Server: "server", tracing.Client: "client",
	tracing.Producer: "producer", tracing.Consumer: "consumer",
}

func jaegerTags(attributes []tracing.Attribute) []*thriftjaeger.Tag {
	tags := make([]*thriftjaeger.Tag, len(attributes))
	for i, a := range attributes {
		tag := &thriftjaeger.Tag{Key: a.Key}
		switch value := a.Value.(type) {
		case string:
			tag.VType, tag.VStr = thriftjaeger.TagType_STRING, &value
		case bool:
			tag.VType, tag.VBool = thriftjaeger.TagType_BOOL, &value
		case int64:
			tag.VType, tag.VLong = thriftjaeger.TagType_LONG, &value
		case float64:
			tag.VType, tag.VDouble = thriftjaeger.TagType_DOUBLE, &value
		default:
			text := fmt.Sprint(value)
			tag.VType, tag.VStr = thriftjaeger.TagType_STRING, &text
		}
		tags[i] = tag
	}
	return tags
}
