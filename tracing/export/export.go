// Package export sends spans to collectors: by OTLP over HTTP or gRPC, or as
// Jaeger's Thrift over HTTP for collectors that know no OTLP.
//
// What an exporter can get wrong by itself is bounded here: connections are
// direct (a proxy of the environment may be the very process that exports),
// redirects are failures, answers are read up to a limit. How long an export may
// take, and what happens with spans meanwhile, is up to [tracing.Tracer].
package export

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"overtake/tracing"
)

// Config says where spans go, and whose they are.
type Config struct {
	// Exporter is "otlp" or "jaeger".
	Exporter string
	// Endpoint is an http or https URL, without user and query. OTLP over HTTP
	// adds /v1/traces unless it ends in that; OTLP over gRPC takes no path; for
	// jaeger, no path is /api/traces.
	Endpoint string
	// Protocol is "http" or "grpc", for otlp.
	Protocol string
	// Service is the resource's service.name. Default: the environment's
	// OTEL_SERVICE_NAME, or "overtake".
	Service string
	// Instance is its service.instance.id. Default: host name and process id.
	Instance string
	// Version is its service.version, "" for none.
	Version string
	// Logger is told what the libraries below complain about. Default: no log.
	Logger *slog.Logger
}

// New returns the exporter for config. It connects when there is something to
// export, and as often as it takes: a collector may come and go.
func New(config Config) (tracing.Exporter, error) {
	config.Service = cmp.Or(config.Service, os.Getenv("OTEL_SERVICE_NAME"), "overtake")
	if config.Instance == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("tracing/export: no host name for service.instance.id: %w", err)
		}
		config.Instance = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	endpoint, err := parseEndpoint(config.Endpoint)
	if err != nil {
		return nil, err
	}
	switch config.Exporter {
	case "jaeger":
		return newJaeger(config, endpoint), nil
	case "otlp":
		return newOTLP(config, endpoint)
	default:
		return nil, fmt.Errorf("tracing/export: exporter %q: want otlp or jaeger", config.Exporter)
	}
}

func parseEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("tracing/export: endpoint: %w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, fmt.Errorf("tracing/export: endpoint %q: want a URL such as http://127.0.0.1:4318", u.Redacted())
	case u.User != nil || u.RawQuery != "":
		return nil, fmt.Errorf("tracing/export: endpoint %q: no user and no query there; OTLP takes tokens from OTEL_EXPORTER_OTLP_HEADERS", u.Redacted())
	}
	return u, nil
}

// resource returns what all spans of this process have in common.
func (c *Config) resource() []tracing.Attribute {
	attributes := []tracing.Attribute{
		{Key: "service.name", Value: c.Service},
		{Key: "service.instance.id", Value: c.Instance},
	}
	if c.Version != "" {
		attributes = append(attributes, tracing.Attribute{Key: "service.version", Value: c.Version})
	}
	return attributes
}

// connectTimeout bounds one try to connect, so that there is time for another.
const connectTimeout = 3 * time.Second

// newTransport returns the transport of one exporter, which has one request at a
// time. HTTP/1.1 alone: a connection that went silent is closed with its request,
// where HTTP/2 would go on using it.
func newTransport() *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		Protocols:              &protocols,
		DialContext:            (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSHandshakeTimeout:    connectTimeout,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// newClient returns a client that takes a redirect for an answer: most clients
// follow one to a page with a GET, which loses the spans and looks like success.
func newClient(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
