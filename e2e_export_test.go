//go:build e2e

package main

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"overtake/tracing"
	"overtake/tracing/export"
)

// exporters are the three ways to a Jaeger.
func (j *jaegerServer) exporters() map[string]export.Config {
	return map[string]export.Config{
		"OTLP over HTTP": {Exporter: "otlp", Protocol: "http", Endpoint: j.otlpHTTP},
		"OTLP over gRPC": {Exporter: "otlp", Protocol: "grpc", Endpoint: j.otlpGRPC},
		"Thrift":         {Exporter: "jaeger", Endpoint: j.thrift},
	}
}

func newTracer(t *testing.T, config export.Config) *tracing.Tracer {
	t.Helper()
	config.Service, config.Instance, config.Version = "shop", "shop-1", "1.2"
	exporter, err := export.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return tracing.NewTracer(tracing.TracerConfig{Exporter: exporter})
}

// Jaeger shows the same, whichever way spans came.
func TestE2EExport(t *testing.T) {
	jaeger := startJaeger(t)
	number := byte(0)
	for name, config := range jaeger.exporters() {
		number++
		t.Run(name, func(t *testing.T) {
			tracer := newTracer(t, config)
			spans := exportedSpans(number)
			tracer.Record(spans...)
			if err := tracer.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if got, want := tracer.Stats(), (tracing.SpanStats{Exported: uint64(len(spans))}); got != want {
				t.Errorf("stats %+v, want %+v", got, want)
			}
			checkTrace(t, jaeger.trace(t, spans[0].TraceID.String(), len(spans)), spans)
		})
	}
}

// Jaeger is killed with kill -9 and started again; spans arrive again, and each
// was counted.
func TestE2EExportToKilledJaeger(t *testing.T) {
	jaeger := startJaeger(t)
	tracers := map[string]*tracing.Tracer{}
	recorded := map[string]uint64{}
	record := func(name string, number byte) []tracing.Span {
		spans := exportedSpans(number)
		tracers[name].Record(spans...)
		recorded[name] += uint64(len(spans))
		return spans
	}
	for name, config := range jaeger.exporters() {
		tracers[name] = newTracer(t, config)
		spans := record(name, byte(len(tracers)))
		jaeger.trace(t, spans[0].TraceID.String(), len(spans))
	}
	jaeger.kill(t)
	for name := range tracers {
		record(name, 10)
	}
	for name, tracer := range tracers {
		eventually(t, name+" fails", func() bool { return tracer.Stats().Failed > 0 })
	}
	jaeger.restart(t)
	number := byte(20)
	for name, tracer := range tracers {
		number++
		spans := record(name, number)
		jaeger.trace(t, spans[0].TraceID.String(), len(spans))
		if err := tracer.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		s := tracer.Stats()
		if s.Exported+s.Failed != recorded[name] || s.Dropped != 0 {
			t.Errorf("%s: %+v, but %d were recorded", name, s, recorded[name])
		}
	}
}

// exportedSpans are a shed request that came from another hop, and a child of
// each other kind.
func exportedSpans(n byte) []tracing.Span {
	start := time.Now().Add(-time.Minute).Truncate(time.Microsecond)
	server := tracing.Span{
		TraceID: tracing.TraceID{0x80 | n, 15: n}, ID: tracing.SpanID{0xf0, 7: 1}, Parent: tracing.SpanID{0xe0, 7: 9},
		State: "vendor=1", Kind: tracing.Server, Name: "POST /work", Start: start, End: start.Add(30 * time.Millisecond),
		Attributes: []tracing.Attribute{
			{Key: "overtake.class", Value: "interactive"}, {Key: "http.response.status_code", Value: int64(503)},
			{Key: "overtake.share", Value: 0.25}, {Key: "overtake.dry_run", Value: false}, {Key: "url.path", Value: "/wörk\xff"},
		},
		Events: []tracing.Event{{
			Name: "shed", Time: start.Add(20 * time.Millisecond),
			Attributes: []tracing.Attribute{{Key: "overtake.reason", Value: "max_wait"}},
		}},
		Failure: "max_wait",
	}
	spans := []tracing.Span{server}
	for i, kind := range []tracing.Kind{tracing.Internal, tracing.Client, tracing.Producer, tracing.Consumer} {
		spans = append(spans, tracing.Span{
			TraceID: server.TraceID, ID: tracing.SpanID{1, 7: byte(i)}, Parent: server.ID, Kind: kind, Name: fmt.Sprint("child ", i),
			Start: start.Add(time.Duration(i) * time.Millisecond), End: start.Add(time.Duration(2*i) * time.Millisecond),
		})
	}
	return spans
}

func checkTrace(t *testing.T, got jaegerTrace, want []tracing.Span) {
	t.Helper()
	kinds := map[tracing.Kind]string{tracing.Internal: "internal", tracing.Server: "server", tracing.Client: "client", tracing.Producer: "producer", tracing.Consumer: "consumer"}
	byID := map[string]int{}
	for i, span := range got.Spans {
		byID[span.SpanID] = i
	}
	for _, w := range want {
		i, ok := byID[w.ID.String()]
		if !ok {
			t.Errorf("no span %s (%s)", w.ID, w.Name)
			continue
		}
		span := got.Spans[i]
		if span.TraceID != w.TraceID.String() || span.OperationName != w.Name || span.StartTime != w.Start.UnixMicro() ||
			span.Duration != w.End.Sub(w.Start).Microseconds() {
			t.Errorf("%s: %+v", w.Name, span)
		}
		if len(span.References) != 1 || span.References[0].RefType != "CHILD_OF" || span.References[0].SpanID != w.Parent.String() || span.References[0].TraceID != w.TraceID.String() {
			t.Errorf("%s: references %+v, want the parent %s", w.Name, span.References, w.Parent)
		}
		checkTags(t, w.Name, span.Tags, jaegerTag{"span.kind", "string", kinds[w.Kind]})
		process := got.Processes[span.ProcessID]
		if process.ServiceName != "shop" {
			t.Errorf("%s: service %q, want shop", w.Name, process.ServiceName)
		}
		checkTags(t, "process", process.Tags, jaegerTag{"service.instance.id", "string", "shop-1"}, jaegerTag{"service.version", "string", "1.2"})
	}
	server := got.Spans[byID[want[0].ID.String()]]
	checkTags(t, "server", server.Tags,
		jaegerTag{"overtake.class", "string", "interactive"}, jaegerTag{"http.response.status_code", "int64", 503.0},
		jaegerTag{"overtake.share", "float64", 0.25}, jaegerTag{"overtake.dry_run", "bool", false}, jaegerTag{"url.path", "string", "/wörk?"},
		jaegerTag{"w3c.tracestate", "string", "vendor=1"}, jaegerTag{"error", "bool", true},
		jaegerTag{"otel.status_description", "string", "max_wait"})
	if len(server.Logs) != 1 || server.Logs[0].Timestamp != want[0].Events[0].Time.UnixMicro() {
		t.Fatalf("logs %+v, want one event", server.Logs)
	}
	checkTags(t, "event", server.Logs[0].Fields, jaegerTag{"event", "string", "shed"}, jaegerTag{"overtake.reason", "string", "max_wait"})
}

// checkTags checks that each of want is there once.
func checkTags(t *testing.T, of string, got []jaegerTag, want ...jaegerTag) {
	t.Helper()
	for _, w := range want {
		var found []jaegerTag
		for _, tag := range got {
			if tag.Key == w.Key {
				found = append(found, tag)
			}
		}
		if !reflect.DeepEqual(found, []jaegerTag{w}) {
			t.Errorf("%s: %+v for %+v, in %+v", of, found, w, got)
		}
	}
}
