package export

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/uber/jaeger-client-go/thrift"
	thriftjaeger "github.com/uber/jaeger-client-go/thrift-gen/jaeger"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"overtake/tracing"
)

// TestMain makes the certificate of httptest's servers one that this process
// trusts, in the way its users do that, and sets a proxy that must not be used.
// Go reads both once.
func TestMain(m *testing.M) {
	server := httptest.NewTLSServer(nil)
	server.Close()
	dir, err := os.MkdirTemp("", "overtake-export-")
	if err != nil {
		panic(err)
	}
	file := filepath.Join(dir, "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		panic(err)
	}
	os.Setenv("SSL_CERT_FILE", file)
	os.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	os.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// A collector takes spans over one of the three ways, on a real socket.
type collector struct {
	way     string // http, grpc or jaeger
	tls     bool
	address string // kept when it is started again
	stop    func() // kills it with its connections

	mu       sync.Mutex
	fault    fault
	requests []received
}

// received is one export as the collector saw it.
type received struct {
	path   string
	header http.Header // or metadata
	otlp   *coltracepb.ExportTraceServiceRequest
	jaeger *thriftjaeger.Batch
	spans  int
}

// A fault is how a collector misbehaves; it has the same effect over all ways.
// The zero fault is none.
type fault struct {
	hang     bool
	status   int    // HTTP status; over gRPC, its usual translation
	body     []byte // with content type; HTTP only
	location string
	refused  int64 // by partial success; OTLP only
	reset    bool
	first    int // only that many times; 0 is always
}

var ways = []string{"http", "grpc", "jaeger"}

func startCollector(t testing.TB, way string) *collector { return startCollectorTLS(t, way, false) }

func startCollectorTLS(t testing.TB, way string, tls bool) *collector {
	t.Helper()
	c := &collector{way: way, tls: tls, address: "127.0.0.1:0"}
	c.start(t)
	t.Cleanup(func() { c.stop() })
	return c
}

func (c *collector) start(t testing.TB) {
	t.Helper()
	listener, err := net.Listen("tcp", c.address)
	if err != nil {
		t.Fatal(err)
	}
	c.address = listener.Addr().String()
	server := httptest.NewUnstartedServer(c)
	server.Listener.Close()
	server.Listener = listener
	if c.way != "grpc" {
		if c.tls {
			server.StartTLS()
		} else {
			server.Start()
		}
		c.stop = sync.OnceFunc(func() {
			server.CloseClientConnections()
			server.Close()
		})
		return
	}
	var options []grpc.ServerOption
	if c.tls {
		other := httptest.NewTLSServer(nil)
		options = append(options, grpc.Creds(credentials.NewServerTLSFromCert(&other.TLS.Certificates[0])))
		other.Close()
	}
	grpcServer := grpc.NewServer(options...)
	coltracepb.RegisterTraceServiceServer(grpcServer, &grpcCollector{collector: c})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = grpcServer.Serve(listener)
	}()
	c.stop = sync.OnceFunc(func() {
		grpcServer.Stop()
		<-done
	})
}

// config is how an exporter is configured for it.
func (c *collector) config() Config {
	scheme := "http://"
	if c.tls {
		scheme = "https://"
	}
	config := Config{Exporter: "otlp", Protocol: c.way, Endpoint: scheme + c.address, Service: "shop", Instance: "shop-1", Version: "1.2"}
	if c.way == "jaeger" {
		config.Exporter, config.Protocol = "jaeger", ""
	}
	return config
}

func (c *collector) exporter(t testing.TB) tracing.Exporter {
	t.Helper()
	return newExporter(t, c.config())
}

func newExporter(t testing.TB, config Config) tracing.Exporter {
	t.Helper()
	e, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

func (c *collector) set(f fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = f
}

// next returns the fault for one request.
func (c *collector) next() fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.fault
	if c.fault.first == 1 {
		c.fault = fault{}
	}
	c.fault.first = max(c.fault.first-1, 0)
	return f
}

func (c *collector) take(r received) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, r)
}

func (c *collector) got() []received {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]received(nil), c.requests...)
}

// spans is how many it took, of which it may have refused some.
func (c *collector) spans() (n uint64) {
	for _, r := range c.got() {
		n += uint64(r.spans)
	}
	return n
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // killed while it read
	}
	f := c.next()
	switch {
	case f.hang:
		<-r.Context().Done()
		return
	case f.reset:
		panic(http.ErrAbortHandler)
	case f.status != 0:
		if f.location != "" {
			w.Header().Set("Location", f.location)
		}
		w.WriteHeader(f.status)
		w.Write(f.body)
		return
	}
	in := received{path: r.URL.Path, header: r.Header}
	var answer []byte
	if c.way == "jaeger" {
		in.jaeger = &thriftjaeger.Batch{}
		buffer := thrift.NewTMemoryBuffer()
		buffer.Write(body)
		err = in.jaeger.Read(r.Context(), thrift.NewTBinaryProtocolConf(buffer, &thrift.TConfiguration{}))
		in.spans = len(in.jaeger.GetSpans())
	} else {
		in.otlp = &coltracepb.ExportTraceServiceRequest{}
		err = proto.Unmarshal(body, in.otlp)
		in.spans = otlpSpans(in.otlp)
		answer, _ = proto.Marshal(otlpAnswer(f))
		w.Header().Set("Content-Type", "application/x-protobuf")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.take(in)
	if f.body != nil {
		answer = f.body
	}
	w.Write(answer)
}

func otlpSpans(request *coltracepb.ExportTraceServiceRequest) (n int) {
	for _, resource := range request.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			n += len(scope.Spans)
		}
	}
	return n
}

func otlpAnswer(f fault) *coltracepb.ExportTraceServiceResponse {
	answer := &coltracepb.ExportTraceServiceResponse{}
	if f.refused != 0 {
		answer.PartialSuccess = &coltracepb.ExportTracePartialSuccess{RejectedSpans: f.refused, ErrorMessage: "too old\n(9 spans rejected)"}
	}
	return answer
}

type grpcCollector struct {
	*collector
	coltracepb.UnimplementedTraceServiceServer
}

func (c *grpcCollector) Export(ctx context.Context, request *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	f := c.next()
	switch {
	case f.hang:
		<-ctx.Done()
		return nil, ctx.Err()
	case f.status != 0:
		return otlpAnswer(f), grpcError(f)
	}
	md, _ := metadata.FromIncomingContext(ctx)
	c.take(received{header: http.Header(md), otlp: request, spans: otlpSpans(request)})
	return otlpAnswer(f), nil
}

// eventually waits until holds: what it asks happens in other goroutines, behind
// real sockets.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatal(what)
		}
	}
}

func nSpans(n int) []tracing.Span {
	spans := make([]tracing.Span, n)
	now := time.Now()
	for i := range spans {
		spans[i] = tracing.Span{
			TraceID: tracing.TraceID{1, 15: byte(i)}, ID: tracing.SpanID{byte(i), byte(i >> 8), 7: 1},
			Name: fmt.Sprint("span ", i), Start: now, End: now,
		}
	}
	return spans
}
