package gateway

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"time"

	"overtake/gateway/accesslog"
	"overtake/gateway/config"
	"overtake/tracing"
)

// accessLog writes a line about each request that has ended; nil writes nothing.
type accessLog struct {
	out   *accesslog.Writer
	lines slog.Handler
}

// openAccessLog begins an access log where the configuration has one.
func openAccessLog(cfg config.AccessLog, log *slog.Logger) (*accessLog, error) {
	if cfg.Output == "" {
		return nil, nil
	}
	out, err := accesslog.Open(cfg.Output, log)
	if err != nil {
		return nil, err
	}
	return &accessLog{out: out, lines: linesOf(cfg.Format, out)}, nil
}

// linesOf returns what writes lines in a format.
func linesOf(format string, w io.Writer) slog.Handler {
	o := &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.LevelKey || a.Key == slog.MessageKey {
			return slog.Attr{} // every line would have the same
		}
		return a
	}}
	if format == "text" {
		return slog.NewTextHandler(w, o)
	}
	return slog.NewJSONHandler(w, o)
}

// ReopenAccessLog opens the access log's file again, after it has been renamed. If that
// fails, the old one goes on. It does nothing where there is no file.
func (g *Gateway) ReopenAccessLog() error {
	if g.access == nil {
		return nil
	}
	return g.access.out.Reopen()
}

// close writes what is left, if that takes no longer than a moment.
func (l *accessLog) close(log *slog.Logger) {
	if l == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := l.out.Close(ctx); err != nil {
		log.Warn("the access log is incomplete", "error", err)
	}
}

// dropped returns how many lines were lost.
func (l *accessLog) dropped() uint64 {
	if l == nil {
		return 0
	}
	return l.out.Dropped()
}

// unread writes the line of what was refused before it was understood: nothing is known
// of it but who sent it.
func (l *accessLog) unread(client *clientConn, status int, reason string) {
	if l == nil {
		return
	}
	l.write(time.Now(),
		slog.String("client", client.addr.String()), slog.String("listener", client.listener.name),
		slog.Int("status", status), slog.String("reason", reason))
}

// note writes the line of a request that has ended, if it is in the sample.
func (l *accessLog) note(now time.Time, status int, client *clientConn, r *request) {
	if l == nil {
		return
	}
	if share := r.gen.config.AccessLog.Sample; share < 1 && rand.Float64() >= share {
		return
	}
	asked := r.about()
	upstream, server, route := "", "", ""
	if r.upstream != nil {
		upstream = r.upstream.name
	}
	if r.slot.server != nil {
		server = r.slot.server.name
	}
	if r.route >= 0 {
		route = "routes[" + strconv.Itoa(r.route) + "]"
	}
	l.write(now,
		slog.String("client", client.addr.String()), slog.String("listener", client.listener.name),
		slog.String("method", asked.method), slog.String("host", asked.host), slog.String("target", asked.target),
		slog.String("protocol", asked.protocol), slog.Int("status", status),
		slog.Int64("bytes_in", r.received()), slog.Int64("bytes_out", r.bytesOut),
		slog.String("class", r.gen.classes.Name(r.decision.Class)), slog.String("rule", r.decision.Rule), slog.String("route", route),
		slog.String("upstream", upstream), slog.String("server", server),
		inMillis("queue_ms", r.slot.waited), inMillis("upstream_ms", r.upTime), inMillis("total_ms", now.Sub(r.started)),
		slog.String("reason", r.ending(status)), slog.Int("attempts", r.slot.tries),
		slog.String("trace_id", traceOf(r)), slog.String("user_agent", asked.agent),
	)
}

func (l *accessLog) write(now time.Time, attributes ...slog.Attr) {
	line := slog.NewRecord(now, slog.LevelInfo, "", 0)
	line.AddAttrs(attributes...)
	_ = l.lines.Handle(context.Background(), line) // the writer never fails
}

// received is how many bytes of a body, or to a tunnel, the client has sent.
func (r *request) received() int64 {
	if r.bodyRead != nil {
		return r.bodyRead.read
	}
	return r.bytesIn
}

// ending is why a request was not answered, or not to the end; "" if it was.
func (r *request) ending(status int) string {
	switch {
	case status == statusClientClosed:
		return reasonLeft
	case r.brokenOff != nil:
		return reasonUpstreamFailed
	}
	return r.reason
}

// traceOf returns the id of the request's trace; "" where it did not come to have one.
func traceOf(r *request) string {
	if r.trail.TraceID == (tracing.TraceID{}) {
		return ""
	}
	return r.trail.TraceID.String()
}

// inMillis is a duration to the microsecond.
func inMillis(key string, d time.Duration) slog.Attr {
	return slog.Float64(key, float64(d.Microseconds())/1000)
}
