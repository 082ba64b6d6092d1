package export

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/grpclog"
	"google.golang.org/grpc/keepalive"

	"overtake/tracing"
)

// tracesPath is where traces go in OTLP over HTTP.
const tracesPath = "/v1/traces"

// How the clients try again what may succeed then. The first limit to be reached
// ends it: this one or the context's.
const (
	retryFirst = 200 * time.Millisecond
	retryMax   = time.Second
	retryFor   = 30 * time.Second
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

// gRPC prints its troubles on standard error unless it is told otherwise, which
// has to be before its first use. What matters of them are errors of exports.
func init() {
	if os.Getenv("GRPC_GO_LOG_SEVERITY_LEVEL") == "" {
		grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	}
}

// otlp exports with a client of OpenTelemetry, without its SDK.
type otlp struct {
	client otlptrace.Client
	closer func() error // closes its connections
	batch  *otlpBatch
}

func newOTLP(config Config, u *url.URL) (*otlp, error) {
	// The clients read their environment in passing, and complain to the global
	// logger about what they don't understand.
	otel.SetLogger(logr.FromSlogHandler(config.Logger.Handler()).WithName("opentelemetry"))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		config.Logger.Warn("tracing/export: opentelemetry", "error", err)
	}))
	e := &otlp{batch: newOTLPBatch(&config)}
	var err error
	switch config.Protocol {
	case "http":
		e.overHTTP(u)
	case "grpc":
		err = e.overGRPC(u)
	default:
		err = fmt.Errorf("tracing/export: protocol %q: want http or grpc", config.Protocol)
	}
	if err != nil {
		return nil, err
	}
	if err := e.client.Start(context.Background()); err != nil {
		return nil, fmt.Errorf("tracing/export: otlp: %w", errors.Join(err, e.closer()))
	}
	return e, nil
}

// overHTTP sets all that the environment (OTEL_EXPORTER_OTLP_*) could set, but
// headers, which the configuration has no place for.
func (e *otlp) overHTTP(u *url.URL) {
	target := *u
	if !strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), tracesPath) {
		target.Path = path.Join("/", u.Path, tracesPath)
	}
	transport := newTransport()
	e.client = otlptracehttp.NewClient(
		otlptracehttp.WithEndpointURL(target.String()),
		otlptracehttp.WithHTTPClient(newClient(persistent{transport})),
		otlptracehttp.WithTLSClientConfig(nil), // the one of the client counts
		otlptracehttp.WithEncoding(otlptracehttp.EncodingProtobuf),
		otlptracehttp.WithCompression(otlptracehttp.NoCompression),
		otlptracehttp.WithMaxResponseSize(maxAnswer),
		otlptracehttp.WithTimeout(0), // the context's
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
			Enabled: true, InitialInterval: retryFirst, MaxInterval: retryMax, MaxElapsedTime: retryFor,
		}),
	)
	e.closer = func() error { transport.CloseIdleConnections(); return nil }
}

// overGRPC brings a connection of its own, so that the environment sets nothing
// of it.
func (e *otlp) overGRPC(u *url.URL) error {
	if strings.Trim(u.Path, "/") != "" {
		return fmt.Errorf("tracing/export: endpoint %q: OTLP over gRPC has no path", u)
	}
	secure, port := insecure.NewCredentials(), "80"
	if u.Scheme == "https" {
		secure, port = credentials.NewTLS(nil), "443"
	}
	conn, err := grpc.NewClient(net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port)),
		grpc.WithTransportCredentials(secure),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithConnectParams(grpc.ConnectParams{
			// The default pauses up to two minutes before it tries again.
			Backoff:           backoff.Config{BaseDelay: retryFirst, Multiplier: 1.6, Jitter: 0.2, MaxDelay: retryMax},
			MinConnectTimeout: connectTimeout,
		}),
		// A connection that went silent would be used for a quarter of an hour.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
	)
	if err != nil {
		return fmt.Errorf("tracing/export: endpoint %q: %w", u, err)
	}
	e.closer = conn.Close
	e.client = otlptracegrpc.NewClient(
		otlptracegrpc.WithGRPCConn(conn),
		otlptracegrpc.WithTimeout(0), // the context's
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{
			Enabled: true, InitialInterval: retryFirst, MaxInterval: retryMax, MaxElapsedTime: retryFor,
		}),
	)
	return nil
}

func (e *otlp) Export(ctx context.Context, spans []tracing.Span) error {
	defer e.batch.forget()
	err := e.client.UploadTraces(ctx, []*tracepb.ResourceSpans{e.batch.of(spans)})
	if err == nil {
		return nil
	}
	// The clients' type for this is internal to them.
	if m := refusedSpans.FindStringSubmatch(err.Error()); m != nil {
		refused, convErr := strconv.Atoi(m[1])
		if convErr == nil {
			return &tracing.PartialError{Refused: refused, Err: fmt.Errorf("tracing/export: otlp: %w", err)}
		}
	}
	return fmt.Errorf("tracing/export: otlp: %w", err)
}

// refusedSpans is how the clients report a partial success, after the
// collector's own words.
var refusedSpans = regexp.MustCompile(`(?s)^OTLP partial success: .*\((-?\d+) spans rejected\)$`)

func (e *otlp) Close(ctx context.Context) error {
	if err := errors.Join(e.client.Stop(ctx), e.closer()); err != nil {
		return fmt.Errorf("tracing/export: otlp: %w", err)
	}
	return nil
}

// persistent lets the client try again when no answer came, as OTLP asks for.
// The client does so for errors that call themselves temporary, which a refused
// connection does not.
type persistent struct{ http.RoundTripper }

func (p persistent) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := p.RoundTripper.RoundTrip(request)
	if err != nil {
		return nil, temporaryError{err}
	}
	return response, nil
}

type temporaryError struct{ error }

func (e temporaryError) Temporary() bool { return true }
func (e temporaryError) Unwrap() error   { return e.error }
