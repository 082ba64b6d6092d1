package export

import (
	"net/http"
	"testing"

	"overtake/tracing"
)

// BenchmarkExport is what a span costs besides its request: converted, encoded and
// sent. The collector is in this process: it throws away what it reads, after
// decoding it where that is gRPC's.
func BenchmarkExport(b *testing.B) {
	for _, way := range ways {
		b.Run(way, func(b *testing.B) {
			collector := startCollector(b, way)
			collector.set(fault{status: http.StatusOK})
			exporter := newExporter(b, collector.config())
			batch := benchSpans(512)
			b.ReportAllocs()
			for b.Loop() {
				if err := exporter.Export(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch)), "ns/span")
		})
	}
}

// BenchmarkConvert is the part of it that fills in the format's structures.
func BenchmarkConvert(b *testing.B) {
	span := &benchSpans(1)[0]
	b.Run("otlp", func(b *testing.B) {
		batch := newOTLPBatch(&Config{})
		b.ReportAllocs()
		for b.Loop() {
			batch.spanOf(span)
			batch.forget()
		}
	})
	b.Run("jaeger", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			jaegerSpan(span)
		}
	})
}

// benchSpans have the attributes of a typical server span.
func benchSpans(n int) []tracing.Span {
	spans := nSpans(n)
	for i := range spans {
		spans[i].Kind = tracing.Server
		for _, key := range []string{"http.request.method", "url.path", "http.route", "server.address", "client.address", "overtake.class", "overtake.rule", "overtake.listener", "overtake.role"} {
			spans[i].Attributes = append(spans[i].Attributes, tracing.Attribute{Key: key, Value: "/some/value"})
		}
		spans[i].Attributes = append(spans[i].Attributes, tracing.Attribute{Key: "http.response.status_code", Value: int64(200)})
	}
	return spans
}
