//go:build e2e

package main

import (
	"encoding/json"
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
	query    string // where the query API is,
	ready    string // and where it says whether it is ready
	args     []string
}

// startJaeger runs Jaeger on free ports until the test ends, and waits until it
// takes spans and answers queries.
func startJaeger(t *testing.T) *jaegerServer {
	t.Helper()
	var address [5]string
	for i := range address {
		address[i] = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	}
	j := &jaegerServer{
		otlpHTTP: "http://" + address[0],
		otlpGRPC: "http://" + address[1],
		thrift:   "http://" + address[2] + "/api/traces",
		query:    "http://" + address[3],
		ready:    "http://" + address[4],
		args: []string{
			"--log-level=warn",
			"--collector.otlp.enabled=true",
			"--collector.otlp.http.host-port=" + address[0],
			"--collector.otlp.grpc.host-port=" + address[1],
			"--collector.http-server.host-port=" + address[2],
			"--collector.grpc-server.host-port=127.0.0.1:0",
			"--query.http-server.host-port=" + address[3],
			"--query.grpc-server.host-port=127.0.0.1:0",
			"--admin.http.host-port=" + address[4],
		},
	}
	j.restart(t)
	return j
}

// restart runs Jaeger where it was before. It has forgotten all traces.
func (j *jaegerServer) restart(t *testing.T) {
	t.Helper()
	name := filepath.Join("bin", "jaeger")
	if _, err := os.Stat(name); err != nil {
		t.Fatalf("%v: build it with: go tool -modfile=tools.mod task setup:jaeger", err)
	}
	// Jaeger would export spans of its own to a collector on the usual port.
	env := []string{"SPAN_STORAGE_TYPE=memory", "OTEL_TRACES_SAMPLER=always_off"}
	j.program = startTool(t, env, name, j.args...)
	eventually(t, "jaeger is ready", func() bool {
		response, err := http.Get(j.ready)
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// jaegerTrace is what Jaeger's query API says of a trace, as far as it is looked
// at here.
type jaegerTrace struct {
	Spans []struct {
		TraceID, SpanID, OperationName string
		References                     []struct{ RefType, TraceID, SpanID string }
		StartTime, Duration            int64 // microseconds
		Tags                           []jaegerTag
		Logs                           []struct {
			Timestamp int64
			Fields    []jaegerTag
		}
		ProcessID string
		Warnings  []string
	}
	Processes map[string]struct {
		ServiceName string
		Tags        []jaegerTag
	}
}

type jaegerTag struct {
	Key, Type string
	Value     any
}

// trace waits until Jaeger has a trace with so many spans.
func (j *jaegerServer) trace(t *testing.T, id string, spans int) (found jaegerTrace) {
	t.Helper()
	eventually(t, fmt.Sprintf("trace %s has %d spans", id, spans), func() bool {
		traces := j.ask(t, "/api/traces/"+id)
		if len(traces) == 1 {
			found = traces[0]
		}
		return len(found.Spans) == spans
	})
	return found
}

// ask asks the query API for traces. There are none while it has none.
func (j *jaegerServer) ask(t *testing.T, query string) []jaegerTrace {
	t.Helper()
	_, body := get(t, j.query+query)
	var answer struct{ Data []jaegerTrace }
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%s: %v in %s", query, err, body)
	}
	return answer.Data
}

// traced sends a request as a part of a trace, which is sampled.
func traced(t *testing.T, url, id string) (*http.Response, string) {
	t.Helper()
	return requestWith(t, http.MethodGet, url, "", http.Header{"Traceparent": {"00-" + id + "-00000000000000aa-01"}})
}
