package export

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"overtake/tracing"
)

// grpcError is what gRPC has for an HTTP status.
func grpcError(f fault) error {
	code := codes.Internal
	switch f.status {
	case http.StatusOK:
		return nil
	case http.StatusBadRequest:
		code = codes.InvalidArgument
	case http.StatusUnauthorized:
		code = codes.Unauthenticated
	case http.StatusServiceUnavailable:
		code = codes.Unavailable
	}
	return status.Error(code, string(f.body))
}

// expiring returns a context for an export that would otherwise not end.
func expiring(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// Whatever a collector does, the export says so in time, and the next one works.
func TestExportFaults(t *testing.T) {
	huge := bytes.Repeat([]byte("page "), 1<<20)
	for _, test := range []struct {
		name  string
		fault fault
		ways  []string
		want  string // part of the error
	}{
		{"hang", fault{hang: true}, ways, "eadline"},
		{"400", fault{status: 400, body: []byte("what is this")}, ways, "what is this"},
		{"401", fault{status: 401, body: []byte("who are you")}, ways, "who are you"},
		{"500", fault{status: 500, body: []byte("it broke")}, ways, "it broke"},
		{"503", fault{status: 503, body: []byte("later")}, ways, ""}, // that, or the deadline in the middle of another try
		{"error and huge body", fault{status: 500, body: huge}, []string{"http", "jaeger"}, ""},
		{"success and huge body", fault{body: huge}, []string{"http"}, "too large"},
		{"success and garbage", fault{body: []byte("\xff\xff\xff")}, []string{"http"}, ""},
		{"redirect", fault{status: 302, location: "/login"}, []string{"http", "jaeger"}, "302"},
		{"redirect that keeps the method", fault{status: 307, location: "/"}, []string{"http", "jaeger"}, "307"},
		{"reset", fault{reset: true}, []string{"http", "jaeger"}, "EOF"},
	} {
		for _, way := range test.ways {
			t.Run(test.name+"/"+way, func(t *testing.T) {
				t.Parallel()
				collector := startCollector(t, way)
				exporter := collector.exporter(t)
				collector.set(test.fault)
				err := exporter.Export(expiring(t), nSpans(3))
				var partial *tracing.PartialError
				if err == nil || !strings.Contains(err.Error(), test.want) || errors.As(err, &partial) {
					t.Errorf("%v, want all to fail, with %q", err, test.want)
				}
				if n := len(err.Error()); n > maxAnswer+1000 {
					t.Errorf("the error has %d bytes", n)
				}
				collector.set(fault{})
				if err := exporter.Export(t.Context(), nSpans(3)); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestPartialSuccess(t *testing.T) {
	for _, way := range []string{"http", "grpc"} {
		collector := startCollector(t, way)
		collector.set(fault{refused: 2})
		err := collector.exporter(t).Export(t.Context(), nSpans(5))
		var partial *tracing.PartialError
		if !errors.As(err, &partial) || partial.Refused != 2 || !strings.Contains(err.Error(), "too old") {
			t.Errorf("%s: %v, want 2 refused as too old", way, err)
		}
		if n := len(collector.got()); n != 1 {
			t.Errorf("%s: sent %d times, want once", way, n)
		}
	}
}

// OTLP clients try again what may succeed then, within one export.
func TestRetry(t *testing.T) {
	for _, way := range []string{"http", "grpc"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			collector := startCollector(t, way)
			exporter := collector.exporter(t)
			collector.set(fault{status: http.StatusServiceUnavailable, first: 2})
			if err := exporter.Export(t.Context(), nSpans(3)); err != nil {
				t.Error(err)
			}
			collector.stop()
			exported := make(chan error)
			go func() { exported <- exporter.Export(t.Context(), nSpans(4)) }()
			collector.start(t)
			if err := <-exported; err != nil {
				t.Errorf("started again: %v", err)
			}
			if n := collector.spans(); n != 7 {
				t.Errorf("the collector has %d spans, want 7", n)
			}
		})
	}
}

// A proxy between exporter and collector, for connections that go silent.
type silentProxy struct {
	listener net.Listener
	target   string
	group    sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
	mute  []chan struct{} // closed: this connection passes nothing any more
}

func startProxy(t *testing.T, target string) *silentProxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &silentProxy{listener: listener, target: target}
	p.group.Go(p.serve)
	t.Cleanup(func() {
		listener.Close()
		p.mu.Lock()
		for _, conn := range p.conns {
			conn.Close()
		}
		p.mu.Unlock()
		p.group.Wait()
	})
	return p
}

func (p *silentProxy) serve() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			in.Close()
			continue
		}
		mute := make(chan struct{})
		p.mu.Lock()
		p.conns = append(p.conns, in, out)
		p.mute = append(p.mute, mute)
		p.mu.Unlock()
		p.group.Go(func() { pass(in, out, mute) })
		p.group.Go(func() { pass(out, in, mute) })
	}
}

func pass(from, to net.Conn, mute chan struct{}) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		select {
		case <-mute:
			_, _ = io.Copy(io.Discard, from)
			return
		default:
		}
		if err != nil {
			to.Close()
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// silence makes the connections that there are pass nothing any more, without
// closing them. New ones work.
func (p *silentProxy) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, mute := range p.mute {
		close(mute)
	}
	p.mute = nil
}

// A connection that goes silent, as those do whose other end lost its power, is
// given up for a new one.
func TestSilentConnection(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			collector := startCollector(t, way)
			proxy := startProxy(t, collector.address)
			config := collector.config()
			config.Endpoint = "http://" + proxy.listener.Addr().String()
			exporter := newExporter(t, config)
			if err := exporter.Export(t.Context(), nSpans(1)); err != nil {
				t.Fatal(err)
			}
			proxy.silence()
			if err := exporter.Export(expiring(t), nSpans(1)); err == nil {
				t.Fatal("the export succeeded over a silent connection")
			}
			eventually(t, "no export succeeds any more", func() bool { return exporter.Export(expiring(t), nSpans(1)) == nil })
		})
	}
}

// The whole pipeline while its collector hangs, answers errors, is killed and
// comes back: recording goes on, every span is counted once, and in the end
// spans arrive again.
func TestTracerSurvives(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			collector := startCollector(t, way)
			exporter, err := New(collector.config())
			if err != nil {
				t.Fatal(err)
			}
			var log syncBuffer
			tracer := tracing.NewTracer(tracing.TracerConfig{
				Exporter: exporter, Queue: 300, Batch: 50, Interval: 5 * time.Millisecond, Timeout: 300 * time.Millisecond,
				Logger: slog.New(slog.NewTextHandler(&log, nil)),
			})
			var recorded uint64
			record := func(n int) {
				tracer.Record(nSpans(n)...)
				recorded += uint64(n)
			}
			arrives := func() {
				t.Helper()
				before := tracer.Stats().Exported
				eventually(t, "no span arrives", func() bool { record(1); return tracer.Stats().Exported > before })
			}
			arrives()
			for _, f := range []fault{{hang: true}, {status: 500}, {status: 503}} {
				collector.set(f)
				before := tracer.Stats()
				for tracer.Stats().Dropped == before.Dropped || tracer.Stats().Failed == before.Failed {
					record(50) // never waits, so the queue is full soon
				}
				collector.set(fault{})
				arrives()
			}
			collector.stop()
			before := tracer.Stats()
			for tracer.Stats().Dropped == before.Dropped || tracer.Stats().Failed == before.Failed {
				record(50)
			}
			collector.start(t)
			arrives()
			if err := tracer.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			s := tracer.Stats()
			if s.Exported+s.Dropped+s.Failed != recorded {
				t.Errorf("%+v, but %d were recorded", s, recorded)
			}
			// One may have arrived without the exporter having learned of it.
			if got := collector.spans(); got < s.Exported || got > s.Exported+s.Failed {
				t.Errorf("the collector has %d spans; %+v", got, s)
			}
			if lines := strings.Count(log.String(), "\n"); lines > 2 {
				t.Errorf("%d lines in the log, want one for the break and one for its end:\n%s", lines, log.String())
			}
		})
	}
}

type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}
