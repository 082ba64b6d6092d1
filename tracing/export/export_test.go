package export

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	thriftjaeger "github.com/uber/jaeger-client-go/thrift-gen/jaeger"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/grpclog"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"overtake/tracing"
)

// fullSpans are a server span with everything a span can have and a bare child.
func fullSpans() []tracing.Span {
	start := time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.UTC)
	server := tracing.Span{
		TraceID: tracing.TraceID{0x80, 2, 3, 4, 5, 6, 7, 8, 0x90, 10, 11, 12, 13, 14, 15, 16},
		ID:      tracing.SpanID{0xa1, 2, 3, 4, 5, 6, 7, 8},
		Parent:  tracing.SpanID{0xb1, 2, 3, 4, 5, 6, 7, 8},
		State:   "vendor=1",
		Kind:    tracing.Server,
		Name:    "GET /work",
		Start:   start, End: start.Add(25 * time.Millisecond),
		Attributes: []tracing.Attribute{
			{Key: "overtake.class", Value: "interactive"}, {Key: "http.response.status_code", Value: int64(503)},
			{Key: "overtake.share", Value: 0.5}, {Key: "overtake.kept", Value: true}, {Key: "other", Value: 7 * time.Second},
		},
		Events: []tracing.Event{{
			Name: "shed", Time: start.Add(time.Millisecond),
			Attributes: []tracing.Attribute{{Key: "overtake.reason", Value: "max_wait"}},
		}},
		Failure: "max_wait",
	}
	child := tracing.Span{TraceID: server.TraceID, ID: tracing.SpanID{7: 1}, Parent: server.ID, Kind: tracing.Internal, Name: "overtake.queue", Start: start, End: start}
	return []tracing.Span{server, child}
}

func TestOTLPSpans(t *testing.T) {
	text := func(s string) *commonpb.AnyValue {
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
	}
	const start = 1_772_366_400_123_456_789
	want := &coltracepb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{
			{Key: "service.name", Value: text("shop")}, {Key: "service.instance.id", Value: text("shop-1")}, {Key: "service.version", Value: text("1.2")},
		}},
		ScopeSpans: []*tracepb.ScopeSpans{{
			Scope: &commonpb.InstrumentationScope{Name: "overtake", Version: "1.2"},
			Spans: []*tracepb.Span{{
				TraceId:      []byte{0x80, 2, 3, 4, 5, 6, 7, 8, 0x90, 10, 11, 12, 13, 14, 15, 16},
				SpanId:       []byte{0xa1, 2, 3, 4, 5, 6, 7, 8},
				ParentSpanId: []byte{0xb1, 2, 3, 4, 5, 6, 7, 8},
				TraceState:   "vendor=1", Name: "GET /work", Kind: tracepb.Span_SPAN_KIND_SERVER,
				StartTimeUnixNano: start, EndTimeUnixNano: start + 25_000_000,
				Attributes: []*commonpb.KeyValue{
					{Key: "overtake.class", Value: text("interactive")},
					{Key: "http.response.status_code", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: 503}}},
					{Key: "overtake.share", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 0.5}}},
					{Key: "overtake.kept", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}},
					{Key: "other", Value: text("7s")},
				},
				Events: []*tracepb.Span_Event{{
					Name: "shed", TimeUnixNano: start + 1_000_000,
					Attributes: []*commonpb.KeyValue{{Key: "overtake.reason", Value: text("max_wait")}},
				}},
				Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "max_wait"},
			}, {
				TraceId:      []byte{0x80, 2, 3, 4, 5, 6, 7, 8, 0x90, 10, 11, 12, 13, 14, 15, 16},
				SpanId:       []byte{0, 0, 0, 0, 0, 0, 0, 1},
				ParentSpanId: []byte{0xa1, 2, 3, 4, 5, 6, 7, 8},
				Name:         "overtake.queue", Kind: tracepb.Span_SPAN_KIND_INTERNAL,
				StartTimeUnixNano: start, EndTimeUnixNano: start,
			}},
		}},
	}}}
	for _, tls := range []bool{false, true} {
		for _, way := range []string{"http", "grpc"} {
			collector := startCollectorTLS(t, way, tls)
			if err := collector.exporter(t).Export(t.Context(), fullSpans()); err != nil {
				t.Fatal(err)
			}
			got := collector.got()
			if len(got) != 1 || !proto.Equal(got[0].otlp, want) {
				t.Errorf("%s, TLS %v: %d exports, the first\n%s\nwant\n%s", way, tls, len(got), prototext.Format(got[0].otlp), prototext.Format(want))
			}
		}
	}
}

func TestJaegerSpans(t *testing.T) {
	text := func(key, value string) *thriftjaeger.Tag {
		return &thriftjaeger.Tag{Key: key, VType: thriftjaeger.TagType_STRING, VStr: &value}
	}
	status, share, yes := int64(503), 0.5, true
	ids := [...]uint64{0x8002030405060708, 0x900a0b0c0d0e0f10, 0xa102030405060708, 0xb102030405060708}
	const start = 1_772_366_400_123_456
	want := &thriftjaeger.Batch{
		Process: &thriftjaeger.Process{ServiceName: "shop", Tags: []*thriftjaeger.Tag{
			text("service.instance.id", "shop-1"), text("service.version", "1.2"),
		}},
		Spans: []*thriftjaeger.Span{{
			TraceIdHigh: int64(ids[0]), TraceIdLow: int64(ids[1]), SpanId: int64(ids[2]), ParentSpanId: int64(ids[3]),
			OperationName: "GET /work", Flags: 1, StartTime: start, Duration: 25_000,
			Tags: []*thriftjaeger.Tag{
				text("overtake.class", "interactive"),
				{Key: "http.response.status_code", VType: thriftjaeger.TagType_LONG, VLong: &status},
				{Key: "overtake.share", VType: thriftjaeger.TagType_DOUBLE, VDouble: &share},
				{Key: "overtake.kept", VType: thriftjaeger.TagType_BOOL, VBool: &yes},
				text("other", "7s"), text("span.kind", "server"), text("w3c.tracestate", "vendor=1"),
				{Key: "error", VType: thriftjaeger.TagType_BOOL, VBool: &yes},
				text("otel.status_code", "ERROR"), text("otel.status_description", "max_wait"),
			},
			Logs: []*thriftjaeger.Log{{Timestamp: start + 1000, Fields: []*thriftjaeger.Tag{text("event", "shed"), text("overtake.reason", "max_wait")}}},
		}, {
			TraceIdHigh: int64(ids[0]), TraceIdLow: int64(ids[1]), SpanId: 1, ParentSpanId: int64(ids[2]),
			OperationName: "overtake.queue", Flags: 1, StartTime: start, Tags: []*thriftjaeger.Tag{text("span.kind", "internal")},
		}},
	}
	for _, tls := range []bool{false, true} {
		collector := startCollectorTLS(t, "jaeger", tls)
		if err := collector.exporter(t).Export(t.Context(), fullSpans()); err != nil {
			t.Fatal(err)
		}
		got := collector.got()
		if len(got) != 1 || !reflect.DeepEqual(got[0].jaeger, want) || got[0].path != "/api/traces" {
			is, _ := json.MarshalIndent(got, "", " ")
			should, _ := json.MarshalIndent(want, "", " ")
			t.Errorf("TLS %v: got\n%s\nwant\n%s", tls, is, should)
		}
	}
}

// All kinds have their counterpart.
func TestKinds(t *testing.T) {
	for kind, want := range map[tracing.Kind]string{
		tracing.Internal: "INTERNAL", tracing.Server: "SERVER", tracing.Client: "CLIENT", tracing.Producer: "PRODUCER", tracing.Consumer: "CONSUMER",
	} {
		if got := new(otlpBatch).spanOf(&tracing.Span{Kind: kind}).Kind.String(); got != "SPAN_KIND_"+want {
			t.Errorf("OTLP: %s, want %s", got, want)
		}
		if got := kindNames[kind]; got != strings.ToLower(want) {
			t.Errorf("Jaeger: %s, want %s in lower case", got, want)
		}
	}
}

func TestEndpointPaths(t *testing.T) {
	for _, test := range []struct{ way, path, want string }{
		{"http", "", "/v1/traces"},
		{"http", "/", "/v1/traces"},
		{"http", "/otlp", "/otlp/v1/traces"},
		{"http", "/otlp/v1/traces", "/otlp/v1/traces"},
		{"jaeger", "/", "/api/traces"},
		{"jaeger", "/collector/traces", "/collector/traces"},
	} {
		collector := startCollector(t, test.way)
		config := collector.config()
		config.Endpoint += test.path
		if err := newExporter(t, config).Export(t.Context(), nSpans(1)); err != nil {
			t.Fatal(err)
		}
		if got := collector.got()[0].path; got != test.want {
			t.Errorf("%s %q: %q, want %q", test.way, test.path, got, test.want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, test := range []struct {
		config Config
		want   string
	}{
		{Config{Exporter: "zipkin", Endpoint: "http://host"}, `exporter "zipkin": want otlp or jaeger`},
		{Config{Exporter: "otlp", Protocol: "http/json", Endpoint: "http://host"}, `protocol "http/json": want http or grpc`},
		{Config{Exporter: "otlp", Protocol: "http"}, "want a URL such as"},
		{Config{Exporter: "otlp", Protocol: "grpc", Endpoint: "127.0.0.1:4317"}, "endpoint"},
		{Config{Exporter: "otlp", Protocol: "grpc", Endpoint: "localhost:4317"}, "want a URL such as"},
		{Config{Exporter: "otlp", Protocol: "grpc", Endpoint: "http://:4317"}, "want a URL such as"},
		{Config{Exporter: "otlp", Protocol: "http", Endpoint: "http://me:secret@host:4318"}, "OTEL_EXPORTER_OTLP_HEADERS"},
		{Config{Exporter: "otlp", Protocol: "http", Endpoint: "http://host:4318/?a=1"}, "no query"},
		{Config{Exporter: "otlp", Protocol: "grpc", Endpoint: "http://host:4317/v1/traces"}, "has no path"},
		{Config{Exporter: "jaeger", Endpoint: "udp://host:6831"}, "want a URL such as"},
	} {
		_, err := New(test.config)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v, want %q", test.config, err, test.want)
		}
	}
}

func TestResourceDefaults(t *testing.T) {
	t.Setenv("OTEL_SERVICE_NAME", "from-environment")
	for _, test := range []struct{ service, want string }{{"", "from-environment"}, {"shop", "shop"}} {
		collector := startCollector(t, "http")
		config := collector.config()
		config.Service, config.Instance, config.Version = test.service, "", ""
		if err := newExporter(t, config).Export(t.Context(), nSpans(1)); err != nil {
			t.Fatal(err)
		}
		got := collector.got()[0].otlp.ResourceSpans[0].Resource.Attributes
		if len(got) != 2 || got[0].Value.GetStringValue() != test.want || got[1].Key != "service.instance.id" || got[1].Value.GetStringValue() == "" {
			t.Errorf("service %q: %v, want %q and an instance", test.service, got, test.want)
		}
	}
}

// What the OTLP clients would take from the environment changes nothing that the
// configuration says. Headers it does not say.
func TestEnvironment(t *testing.T) {
	file := t.TempDir() + "/nothing"
	for _, name := range []string{"", "TRACES_"} {
		for key, value := range map[string]string{
			"ENDPOINT": "https://192.0.2.1:1/other", "INSECURE": "false", "PROTOCOL": "http/json", "COMPRESSION": "gzip",
			"TIMEOUT": "1", "CERTIFICATE": os.Getenv("SSL_CERT_FILE"), "CLIENT_CERTIFICATE": file, "CLIENT_KEY": file,
			"HEADERS": "authorization=Bearer%20token,x-tenant=7",
		} {
			t.Setenv("OTEL_EXPORTER_OTLP_"+name+key, value)
		}
	}
	for _, tls := range []bool{false, true} {
		for _, way := range ways {
			collector := startCollectorTLS(t, way, tls)
			config := collector.config()
			if !tls { // an address that is reached through a proxy if there is one
				config.Endpoint = strings.Replace(config.Endpoint, "127.0.0.1", "0.0.0.0", 1)
			}
			if err := newExporter(t, config).Export(t.Context(), nSpans(1)); err != nil {
				t.Fatalf("%s, TLS %v: %v", way, tls, err)
			}
			got := collector.got()[0]
			token, tenant := headerOf(got.header, "authorization"), headerOf(got.header, "x-tenant")
			if way != "jaeger" && (token != "Bearer token" || tenant != "7") {
				t.Errorf("%s, TLS %v: headers %v", way, tls, got.header)
			}
		}
	}
}

// headerOf finds a field of an HTTP header or of gRPC metadata.
func headerOf(header http.Header, name string) string {
	for key, values := range header {
		if strings.EqualFold(key, name) {
			return strings.Join(values, ",")
		}
	}
	return ""
}

// The libraries say nothing on standard error, whatever their environment and
// the collector.
func TestQuiet(t *testing.T) {
	collector := startCollector(t, "http")
	if os.Getenv("OVERTAKE_TEST_QUIET") == "" {
		command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestQuiet$")
		command.Env = append(os.Environ(), "OVERTAKE_TEST_QUIET=1", "OTEL_EXPORTER_OTLP_TIMEOUT=soon",
			"OTEL_EXPORTER_OTLP_ENDPOINT=:", "OTEL_EXPORTER_OTLP_HEADERS=%", "OTEL_EXPORTER_OTLP_CERTIFICATE=/nowhere")
		var stderr strings.Builder
		command.Stderr = &stderr
		out, err := command.Output()
		if err != nil || stderr.String() != "" {
			t.Errorf("%v\n%s\non standard error:\n%s", err, out, stderr.String())
		}
		return
	}
	grpclog.Error("as the library says when a collector gets too many pings")
	if err := collector.exporter(t).Export(t.Context(), nSpans(1)); err != nil {
		t.Error(err)
	}
	config := collector.config()
	config.Protocol = "grpc" // which this collector does not speak
	if err := newExporter(t, config).Export(expiring(t), nSpans(1)); err == nil {
		t.Error("exported to a collector of the wrong protocol")
	}
}
