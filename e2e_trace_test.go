//go:build e2e

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

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
	slow.send(t, export.Config{Exporter: "otlp", Protocol: "http", Endpoint: jaeger.otlpHTTP})
	quick := newRecording(2, begin)
	quick.span("gateway", 1, 0, tracing.Server, 0, 50, "GET /", class("interactive"), tracing.Attribute{Key: "http.response.status_code", Value: int64(200)})
	quick.span("gateway", 2, 1, tracing.Internal, 0, 5, "overtake.queue", class("interactive"))
	quick.send(t, export.Config{Exporter: "jaeger", Endpoint: jaeger.thrift})
	other := newRecording(3, begin)
	other.span("shop", 1, 0, tracing.Server, 0, 5000, "GET /")
	other.send(t, export.Config{Exporter: "otlp", Protocol: "http", Endpoint: jaeger.otlpHTTP})

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

// Among more traces than one search returns, the slowest is found although it is the
// oldest, and it is said what was not looked at.
func TestE2ETraceOfMany(t *testing.T) {
	jaeger := startJaeger(t)
	begin := time.Now().Add(-time.Minute)
	exporter, err := export.New(export.Config{Service: "gateway", Exporter: "otlp", Protocol: "grpc", Endpoint: jaeger.otlpGRPC})
	if err != nil {
		t.Fatal(err)
	}
	const many = 300
	for i := range many {
		r := newRecording(0, begin.Add(time.Duration(i)*time.Millisecond))
		r.id[14], r.id[15] = byte((i+1)>>8), byte(i+1)
		r.span("gateway", 1, 0, tracing.Server, 0, 1000-3*i, "GET /", class("batch"))
		r.span("gateway", 2, 1, tracing.Internal, 0, 10, "overtake.queue", class("batch"))
		if err := exporter.Export(t.Context(), r.spans["gateway"]); err != nil {
			t.Fatal(err)
		}
	}
	if err := exporter.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := regexp.MustCompile(`HOP\n\S+ \S+  0+1  batch +1\.00s `)
	note := regexp.MustCompile(`note: gateway has more than 200 traces of class batch in the last 1h0m0s, .* all with one span of at least \d`)
	var out string
	eventually(t, "Jaeger has all spans", func() bool {
		out = overtakeTrace(t, exitOK, "--jaeger", jaeger.query, "--class", "batch", "--slowest", "3")
		return first.MatchString(out) && note.MatchString(out)
	})
	if rows := strings.Count(out, "  batch  "); rows != 3 {
		t.Errorf("%d rows:\n%s", rows, out)
	}
}

// On a terminal, the drawing is as wide as that, and in colour unless NO_COLOR is set.
func TestE2ETraceOnTerminal(t *testing.T) {
	jaeger := startJaeger(t)
	r := newRecording(1, time.Now())
	r.span("gateway", 1, 0, tracing.Server, 0, 100, "GET /", class("batch"))
	r.send(t, export.Config{Exporter: "otlp", Protocol: "http", Endpoint: jaeger.otlpHTTP})
	eventually(t, "Jaeger has the trace", func() bool {
		return strings.Contains(overtakeTrace(t, exitOK, "--jaeger", jaeger.query, "--since", "5m"), jaeger.query)
	})
	for _, c := range []struct {
		env     string
		columns uint16
		colour  bool
	}{{"NO_COLOR=", 120, true}, {"NO_COLOR=1", 100, false}} {
		ours, theirs := openTerminal(t, c.columns)
		cmd := exec.CommandContext(t.Context(), binary, "trace", "--jaeger", jaeger.query, "1")
		cmd.Env = append(withoutSettings(os.Environ()), c.env)
		cmd.Stdout, cmd.Stderr = theirs, theirs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		theirs.Close()
		text, _ := io.ReadAll(ours) // ends with EIO when the program has ended
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		if got := strings.Contains(string(text), "\x1b["); got != c.colour {
			t.Errorf("with %s, in colour is %v", c.env, got)
		}
		widest := 0
		for line := range strings.Lines(regexp.MustCompile("\x1b\\[\\d*m").ReplaceAllString(string(text), "")) {
			widest = max(widest, utf8.RuneCountInString(strings.TrimRight(line, "\r\n")))
		}
		if widest != int(c.columns) {
			t.Errorf("on %d columns, the drawing has %d:\n%s", c.columns, widest, text)
		}
	}
}

// openTerminal makes a pseudo terminal and returns both of its ends.
func openTerminal(t *testing.T, columns uint16) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	fd := int(ours.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}
