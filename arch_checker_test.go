package main_test

import (
	"strings"
	"testing"
)

// TestArchitectureChecker shows that the check can fail.
func TestArchitectureChecker(t *testing.T) {
	modules := []string{"github.com/valyala/fasthttp", "github.com/goccy/go-yaml", "example.org/queue", "example.org/queue/v2"}
	for _, tc := range []struct {
		name  string
		files []archFile
		want  []string // each part of the one problem; none: nothing is wrong
	}{{
		name: "down is fine",
		files: []archFile{
			{pkg: "overtake", name: "main.go", imports: []string{"fmt", "overtake/gateway", "overtake/broker/nats"}},
			{pkg: "overtake/gateway", name: "gateway.go", imports: []string{"net/http", "overtake/scheduler", "overtake/broker"}},
			{pkg: "overtake/gateway", name: "queue_test.go", imports: []string{"overtake/broker/nats", "example.org/queue"}},
			{pkg: "overtake/scheduler", name: "scheduler.go", imports: []string{"sync", "overtake/classifier"}},
			{pkg: "overtake/broker/nats", name: "nats.go", imports: []string{"overtake/broker", "example.org/queue"}},
		},
	}, {
		name:  "classifier up",
		files: []archFile{{pkg: "overtake/classifier", name: "class.go", imports: []string{"overtake/tracing"}}},
		want:  []string{"overtake/classifier/class.go imports overtake/tracing", "leaf"},
	}, {
		name:  "scheduler with HTTP, in a test",
		files: []archFile{{pkg: "overtake/scheduler", name: "core_test.go", imports: []string{"net/http/httptest"}}},
		want:  []string{"core_test.go imports net/http/httptest", "HTTP/1.1"},
	}, {
		name:  "scheduler with fasthttp",
		files: []archFile{{pkg: "overtake/scheduler", name: "core.go", imports: []string{"github.com/valyala/fasthttp"}}},
		want:  []string{"HTTP/1.1", "which is for overtake/gateway, overtake/loadgen"},
	}, {
		name:  "scheduler with a log",
		files: []archFile{{pkg: "overtake/scheduler", name: "scheduler.go", imports: []string{"log/slog"}}},
		want:  []string{"scheduler.go imports log/slog", "snapshot"},
	}, {
		name:  "lock in the core",
		files: []archFile{{pkg: "overtake/scheduler", name: "floor.go", imports: []string{"sync/atomic"}}},
		want:  []string{"floor.go imports sync/atomic", "without locks"},
	}, {
		name:  "scheduler knows a broker",
		files: []archFile{{pkg: "overtake/scheduler", name: "core.go", imports: []string{"overtake/broker"}}},
		want:  []string{"requests and messages share one order"},
	}, {
		name:  "tracing up",
		files: []archFile{{pkg: "overtake/tracing", name: "trail.go", imports: []string{"overtake/gateway/config"}}},
		want:  []string{"trail.go imports overtake/gateway/config"},
	}, {
		name:  "tracing with a collector's format",
		files: []archFile{{pkg: "overtake/tracing", name: "tracer.go", imports: []string{"go.opentelemetry.io/proto/otlp/trace/v1"}}},
		want:  []string{"tracer.go imports go.opentelemetry.io/proto/otlp/trace/v1", "needs no collector"},
	}, {
		name:  "broker knows an adapter",
		files: []archFile{{pkg: "overtake/broker", name: "broker.go", imports: []string{"overtake/broker/nats"}}},
		want:  []string{"broker.go imports overtake/broker/nats"},
	}, {
		name:  "adapter knows another",
		files: []archFile{{pkg: "overtake/broker/nats", name: "dead_test.go", imports: []string{"overtake/broker/rabbitmq"}}},
		want:  []string{"dead_test.go imports overtake/broker/rabbitmq", "not each other"},
	}, {
		name:  "adapter knows the gateway",
		files: []archFile{{pkg: "overtake/broker/rabbitmq", name: "conn.go", imports: []string{"overtake/gateway/config"}}},
		want:  []string{"conn.go imports overtake/gateway/config", "not who uses them"},
	}, {
		name:  "suite outside of tests",
		files: []archFile{{pkg: "overtake/broker/nats", name: "conn.go", imports: []string{"overtake/broker/brokertest"}}},
		want:  []string{"a conformance suite is for tests"},
	}, {
		name:  "gateway knows an adapter",
		files: []archFile{{pkg: "overtake/gateway", name: "queue.go", imports: []string{"overtake/broker/nats"}}},
		want:  []string{"main chooses the adapter"},
	}, {
		name: "files are read alike",
		files: []archFile{
			{pkg: "overtake/loadgen/fault", name: "topology.go", imports: []string{"overtake/classifier/strictyaml"}},
			{pkg: "overtake/gateway/config", name: "load.go", imports: []string{"overtake/classifier/strictyaml"}},
			{pkg: "overtake/classifier/strictyaml", name: "tree.go", imports: []string{"github.com/goccy/go-yaml/parser"}},
		},
	}, {
		name:  "loadgen knows the classes",
		files: []archFile{{pkg: "overtake/loadgen", name: "load.go", imports: []string{"overtake/classifier"}}},
		want:  []string{"black-box client"},
	}, {
		name:  "reading files knows the classes",
		files: []archFile{{pkg: "overtake/classifier/strictyaml", name: "decode.go", imports: []string{"overtake/classifier"}}},
		want:  []string{"strictyaml/decode.go imports overtake/classifier", "files of whoever asks"},
	}, {
		name:  "loadgen knows the gateway",
		files: []archFile{{pkg: "overtake/loadgen", name: "app.go", imports: []string{"overtake/gateway"}}},
		want:  []string{"black-box client"},
	}, {
		name:  "dependency of another package",
		files: []archFile{{pkg: "overtake/loadgen", name: "scenario.go", imports: []string{"github.com/goccy/go-yaml/ast"}}},
		want:  []string{"overtake/loadgen imports github.com/goccy/go-yaml, which is for overtake/classifier/strictyaml"},
	}, {
		name: "unlisted dependency with two importers",
		files: []archFile{
			{pkg: "overtake/tracing", name: "a.go", imports: []string{"example.org/queue/v2/client"}},
			{pkg: "overtake/gateway", name: "b.go", imports: []string{"example.org/queue/v2"}},
		},
		want: []string{"example.org/queue/v2 is imported by overtake/gateway, overtake/tracing"},
	}, {
		name:  "a package that says nothing",
		files: []archFile{{pkg: "overtake/gateway/util", name: "strings.go", clause: "util"}},
		want:  []string{"overtake/gateway/util: package util"},
	}, {
		name:  "a package without a rule",
		files: []archFile{{pkg: "overtake/metrics", name: "metrics.go", clause: "metrics"}},
		want:  []string{"overtake/metrics is in no rule"},
	}} {
		t.Run(tc.name, func(t *testing.T) {
			got := strings.Join(checkArch(tc.files, modules), "\n")
			if len(tc.want) == 0 && got != "" {
				t.Errorf("found what isn't wrong:\n%s", got)
			}
			for _, part := range tc.want {
				if !strings.Contains(got, part) {
					t.Errorf("got %q, want %q in it", got, part)
				}
			}
		})
	}
}
