//go:build e2e

package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// jaegerServer is a running Jaeger with its storage in memory.
type jaegerServer struct {
	*program
	otlpHTTP string // URLs: where OTLP over HTTP goes,
	otlpGRPC string // OTLP over gRPC,
	thrift   string // Jaeger's own Thrift over HTTP,
	query    string // and where the query API is

	address [5]string // of these four in this order, and of its admin server
}

// startJaeger runs Jaeger on free ports until the test ends, and waits until it
// takes spans and answers queries.
func startJaeger(t *testing.T) jaegerServer {
	t.Helper()
	var address [5]string
	for i := range address {
		address[i] = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	}
	return runJaeger(t, address)
}

// runJaeger runs Jaeger at the addresses of an earlier one. It knows nothing of
// that one's spans.
func runJaeger(t *testing.T, address [5]string) jaegerServer {
	t.Helper()
	name := filepath.Join("bin", "jaeger")
	if _, err := os.Stat(name); err != nil {
		t.Fatalf("%v: build it with: go tool -modfile=tools.mod task setup:jaeger", err)
	}
	// Jaeger would export spans of its own to a collector on the usual port.
	env := []string{"SPAN_STORAGE_TYPE=memory", "OTEL_TRACES_SAMPLER=always_off"}
	j := jaegerServer{
		program: startTool(t, env, name, "--log-level=warn",
			"--collector.otlp.enabled=true",
			"--collector.otlp.http.host-port="+address[0],
			"--collector.otlp.grpc.host-port="+address[1],
			"--collector.http-server.host-port="+address[2],
			"--collector.grpc-server.host-port=127.0.0.1:0",
			"--query.http-server.host-port="+address[3],
			"--query.grpc-server.host-port=127.0.0.1:0",
			"--admin.http.host-port="+address[4]),
		otlpHTTP: "http://" + address[0],
		otlpGRPC: "http://" + address[1],
		thrift:   "http://" + address[2] + "/api/traces",
		query:    "http://" + address[3],
		address:  address,
	}
	eventually(t, "jaeger is ready", func() bool {
		response, err := http.Get("http://" + address[4])
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return j
}
