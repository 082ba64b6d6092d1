//go:build e2e

package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"overtake/tracing"
	"overtake/tracing/export"
)

// recording is a trace that a test makes up.
type recording struct {
	id    tracing.TraceID
	begin time.Time
	spans map[string][]tracing.Span // by service
}

func newRecording(number byte, begin time.Time) *recording {
	return &recording{id: tracing.TraceID{15: number}, begin: begin, spans: map[string][]tracing.Span{}}
}

// span adds a span; times are milliseconds since the trace began.
func (r *recording) span(service string, id, parent byte, kind tracing.Kind, start, duration int, name string, attributes ...tracing.Attribute) {
	s := tracing.Span{TraceID: r.id, ID: tracing.SpanID{7: id}, Kind: kind, Name: name, Attributes: attributes}
	s.Parent[7] = parent
	s.Start = r.begin.Add(time.Duration(start) * time.Millisecond)
	s.End = s.Start.Add(time.Duration(duration) * time.Millisecond)
	r.spans[service] = append(r.spans[service], s)
}

func class(name string) tracing.Attribute {
	return tracing.Attribute{Key: "overtake.class", Value: name}
}

// send exports a recording as its services would.
func (r *recording) send(t *testing.T, config export.Config) {
	t.Helper()
	for service, spans := range r.spans {
		config.Service, config.Instance = service, service+"-1"
		e, err := export.New(config)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Export(t.Context(), spans); err != nil {
			t.Fatal(err)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// overtakeTrace runs the command and returns what it prints.
func overtakeTrace(t *testing.T, code int, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"trace"}, args...)...)
	out, _ := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("overtake trace %s: exit code %d, want %d:\n%s", strings.Join(args, " "), got, code, out)
	}
	return string(out)
}

// Traces that went to a real Jaeger by both exporters are found by class, sorted by
// their time, and drawn.
func TestE2ETrace(t *testing.T) {
	jaeger := startJaeger(t)
	if out := overtakeTrace(t, exitOK, "--jaeger", jaeger.query); !strings.Contains(out, "has no spans of Overtake; it knows no service at all") {
		t.Errorf("of an empty Jaeger it says\n%s", out)
	}
	begin := time.Now().Add(-time.Minute)
	slow := newRecording(1, begin)
	slow.span("gateway", 1, 0, tracing.Server, 0, 900, "POST /jobs/**", class("interactive"), tracing.Attribute{Key: "http.response.status_code", Value: int64(202)})
	slow.span("gateway", 2, 1, tracing.Internal, 0, 600, "overtake.queue", class("interactive"), tracing.Attribute{Key: "overtake.queue.ahead", Value: int64(7)}, tracing.Attribute{Key: "overtake.upstream", Value: "app"})
	slow.span("gateway", 3, 1, tracing.Producer, 600, 300, "send jobs", class("interactive"))
	slow.span("worker", 4, 3, tracing.Internal, 900, 2000, "overtake.lane", class("batch"), tracing.Attribute{Key: "messaging.destination.name", Value: "jobs"})
	slow.span("worker", 5, 3, tracing.Consumer, 2900, 100, "process jobs", class("batch"))
	slow.span("shop", 6, 5, tracing.Server, 2910, 80, "work \x1b[2J")
	slow.send(t, export.Config{Endpoint: jaeger.otlpHTTP})
	quick := newRecording(2, begin)
	quick.span("gateway", 1, 0, tracing.Server, 0, 50, "GET /", class("interactive"), tracing.Attribute{Key: "http.response.status_code", Value: int64(200)})
	quick.span("gateway", 2, 1, tracing.Internal, 0, 5, "overtake.queue", class("interactive"))
	quick.send(t, export.Config{Exporter: "jaeger", Endpoint: jaeger.thrift})
	other := newRecording(3, begin)
	other.span("shop", 1, 0, tracing.Server, 0, 5000, "GET /")
	other.send(t, export.Config{Endpoint: jaeger.otlpHTTP})

	list := func(args ...string) (ids []string, out string) {
		out = overtakeTrace(t, exitOK, append([]string{"--jaeger", jaeger.query}, args...)...)
		for _, found := range regexp.MustCompile(`(?m)^\d\d-\d\d \S+  (\w+)`).FindAllStringSubmatch(out, -1) {
			ids = append(ids, found[1])
		}
		return ids, out
	}
	row := regexp.MustCompile(`interactive, batch +3\.00s +2\.60s +87% +2 +202 +worker lane jobs 2\.00s`)
	eventually(t, "Jaeger has all spans", func() bool {
		ids, out := list()
		return fmt.Sprint(ids) == fmt.Sprint([]tracing.TraceID{slow.id, quick.id}) && row.MatchString(out)
	})
	if ids, out := list("--class", "batch"); fmt.Sprint(ids) != fmt.Sprint([]tracing.TraceID{slow.id}) {
		t.Errorf("of class batch are %v:\n%s", ids, out)
	}
	if ids, out := list("--slowest", "1"); fmt.Sprint(ids) != fmt.Sprint([]tracing.TraceID{slow.id}) {
		t.Errorf("the slowest is %v:\n%s", ids, out)
	}
	if ids, out := list("--since", "5s"); len(ids) != 0 || !strings.Contains(out, "no traces in the last 5s, in gateway, worker") {
		t.Errorf("in the last seconds are %v:\n%s", ids, out)
	}
	for _, id := range []string{"1", slow.id.String(), strings.Repeat("0", 15) + "1"} {
		out := overtakeTrace(t, exitOK, "--jaeger", jaeger.query+"/", id)
		for _, want := range []string{
			"trace   " + slow.id.String() + "\n",
			"waited  2.60s, 87%: 600ms for a slot, 2.00s in lanes\n",
			"7 ahead on arrival\n",
			"worker process jobs", "→batch", "shop work ?[2J",
			"Jaeger  " + jaeger.query + "/trace/0000000000000001\n",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("the trace %s has no %q:\n%s", id, want, out)
			}
		}
	}
	if out := overtakeTrace(t, exitFailed, "--jaeger", jaeger.query, "abc"); !strings.Contains(out, " has no trace 00000000000000000000000000000abc: it was not sampled") {
		t.Errorf("of a trace that is not there it says\n%s", out)
	}
	for _, elsewhere := range []string{jaeger.otlpHTTP, jaeger.query + "/search"} {
		if out := overtakeTrace(t, exitFailed, "--jaeger", elsewhere); !strings.Contains(out, "is not Jaeger's query API") {
			t.Errorf("of %s it says\n%s", elsewhere, out)
		}
	}
}
