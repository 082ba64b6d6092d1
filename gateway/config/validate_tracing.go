package config

import (
	"net/url"
	"strings"
	"unicode"

	"overtake/classifier/strictyaml"
)

func (v validator) validateTracing() {
	t := v.Tracing
	v.oneOf("tracing.exporter", t.Exporter, "an exporter", "otlp", "jaeger", "none")
	if t.Sample < 0 || t.Sample > 1 {
		v.Problem("tracing.sample", "write 0.01 for one in a hundred", "%v is out of range; want 0 to 1", t.Sample)
	}
	for i, format := range t.Propagate {
		v.oneOf(strictyaml.Item("tracing.propagate", i), format, "a format of trace context", "b3", "b3multi", "jaeger")
	}
	if len(t.Service) > 255 || strings.ContainsFunc(t.Service, func(c rune) bool { return !unicode.IsPrint(c) }) {
		v.Wrong("tracing.service", t.Service, "is not the name of a service", "want 1 to 255 bytes, printable")
	}
	v.validateEndpoint(t)
	v.validateQuery(t.Query)
	switch {
	case t.Exporter == "otlp":
		v.oneOf("tracing.protocol", t.Protocol, "a protocol of OTLP", "http", "grpc")
	case v.Given("tracing.protocol"):
		v.Warn("tracing.protocol", "has no effect: only the exporter otlp has a choice")
	}
}

// validateQuery does not allow credentials: the console is shown to whoever reaches it.
func (v validator) validateQuery(query string) {
	const hint = "write http://127.0.0.1:16686"
	u, err := url.Parse(query)
	switch {
	case query == "":
		if v.Given("tracing.query") {
			v.Problem("tracing.query", hint, "no URL")
		}
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		v.Problem("tracing.query", hint, "not a URL")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		v.Problem("tracing.query", hint, "has more than a scheme, a host, a port and a path")
	case u.Port() != "" && (!validPort(u.Port()) || only(u.Port(), "0")):
		v.Problem("tracing.query", hint, "the port is not one from 1 to 65535")
	}
}

func (v validator) validateEndpoint(t Tracing) {
	example := "http://127.0.0.1:4318"
	switch {
	case t.Exporter == "jaeger":
		example = "http://127.0.0.1:14268"
	case t.Protocol == "grpc":
		example = "http://127.0.0.1:4317"
	}
	u, err := url.Parse(t.Endpoint)
	switch {
	case t.Endpoint == "" && t.Exporter != "none":
		v.Problem("tracing.endpoint", "write "+example, "no endpoint")
	case t.Endpoint == "":
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		v.Problem("tracing.endpoint", "write "+example, "not a URL")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		v.Problem("tracing.endpoint", "write "+example, "has more than a scheme, a host, a port and a path")
	case u.Port() != "" && (!validPort(u.Port()) || only(u.Port(), "0")):
		v.Problem("tracing.endpoint", "write "+example, "the port is not one from 1 to 65535")
	case t.Protocol == "grpc" && u.Path != "" && u.Path != "/":
		v.Problem("tracing.endpoint", "write "+example, "has a path, which OTLP over gRPC has no use for")
	case t.Exporter == "none":
		v.Warn("tracing.endpoint", "has no effect: the exporter is none")
	}
}
