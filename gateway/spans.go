package gateway

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/classifier"
	"overtake/scheduler"
	"overtake/tracing"
)

// This file makes spans of what was noted, in the words of OpenTelemetry's semantic
// conventions and ours. Queries are left out, as they may hold secrets.

// reasonLeft is why work that a client wanted left a queue, in spans alone: nobody
// is there to be told.
const reasonLeft = "client_left"

// Why work is recorded that was not sampled.
const (
	keptShed   = "shed"
	keptFailed = "failed"
	keptSlow   = "slow"
)

// kept returns why work is recorded even if it was not sampled; "" if it is not.
func (gen *generation) kept(class classifier.Class, waited time.Duration, shed, failed bool) string {
	objective := gen.config.Classes[class].Objective
	switch {
	case shed:
		return keptShed
	case failed:
		return keptFailed
	case objective > 0 && waited > objective:
		return keptSlow
	}
	return ""
}

// keptPerSecond bounds how much is recorded without being sampled, for each class, so
// that one can't take the place of another. The spans of a refused request cost more
// than to refuse it, and tens of thousands are refused a second when the processor is
// needed most.
const keptPerSecond = 1000

// hasRoom reports whether work with so many spans can be recorded. If it can't, they
// are counted as dropped.
func (g *Gateway) hasRoom(now time.Time, trail *tracing.Trail, class classifier.Class, spans int) bool {
	if !trail.Sampled() && !g.keeping[class].AllowN(now, 1) {
		g.tracer.Drop(spans)
		return false
	}
	return g.tracer.HasRoom(spans)
}

// formats returns what the configuration calls by name; it has been checked.
func formats(names []string) (all tracing.Formats) {
	for _, name := range names {
		all |= map[string]tracing.Formats{"b3": tracing.B3, "b3multi": tracing.B3Multi, "jaeger": tracing.Jaeger}[name]
	}
	return all
}

// spanSet are the spans of one hop of one piece of work, under construction.
type spanSet struct {
	trail *tracing.Trail
	state string // the trail's, to be kept
	class string
	spans []tracing.Span
}

func newSpanSet(trail *tracing.Trail, class string, spans int) spanSet {
	return spanSet{trail: trail, state: strings.Clone(trail.State), class: class, spans: make([]tracing.Span, 0, spans)}
}

// add adds a span that belongs to the trail.
func (s *spanSet) add(span tracing.Span) {
	span.TraceID, span.State = s.trail.TraceID, s.state
	s.spans = append(s.spans, span)
}

// addWaits adds a span for each time in front of an upstream.
func (s *spanSet) addWaits(j *journal) {
	for i := range j.waits {
		w := &j.waits[i]
		span := tracing.Span{
			ID: tracing.NewSpanID(), Parent: j.hop, Name: "overtake.queue", Start: w.start, End: w.end,
			Attributes: append(make([]tracing.Attribute, 0, 8),
				attribute("overtake.class", s.class), attribute("overtake.upstream", w.upstream),
				number("overtake.queue.ahead", w.facts.Ahead), number("overtake.queue.overtaken", w.facts.Overtaken),
				number("overtake.queue.overtaking", w.facts.Overtaking), number("overtake.limit", w.facts.Limit),
				tracing.Attribute{Key: "overtake.reserve", Value: w.facts.Reserve},
			),
		}
		if w.reason != "" {
			span.Failure = w.reason
			span.Attributes = append(span.Attributes, attribute("error.type", w.reason))
			span.Events = []tracing.Event{endedBy(w.reason, w.end)}
		}
		s.add(span)
	}
}

// endedBy is the event that ended a wait: the work was shed, or the client left.
func endedBy(reason string, at time.Time) tracing.Event {
	if reason == reasonLeft {
		return tracing.Event{Name: reasonLeft, Time: at}
	}
	return tracing.Event{Name: "shed", Time: at, Attributes: []tracing.Attribute{attribute("overtake.reason", reason)}}
}

// addTries adds a span for each try. The id that was stamped, trail.SpanID, is that
// of the last: before it, nothing of the request was worked on, so nobody has seen
// it.
func (s *spanSet) addTries(j *journal, method, path string) {
	for i := range j.tries {
		t := &j.tries[i]
		id := s.trail.SpanID
		if i < len(j.tries)-1 {
			id = tracing.NewSpanID()
		}
		span := tracing.Span{
			ID: id, Parent: j.hop, Kind: tracing.Client, Name: spanName(method, ""), Start: t.start, End: t.end,
			Attributes: append(t.server.attributes(path), attribute("http.request.method", method),
				attribute("overtake.class", s.class)),
		}
		if i > 0 {
			span.Attributes = append(span.Attributes, number("http.request.resend_count", i))
		}
		if t.status > 0 {
			span.Attributes = append(span.Attributes, number("http.response.status_code", t.status))
		}
		switch {
		case t.err != nil:
			span.Failure = t.err.Error()
			span.Attributes = append(span.Attributes, attribute("error.type", reasonOf(t.err)))
		case t.status >= 400:
			span.Failure = fasthttp.StatusMessage(t.status)
			span.Attributes = append(span.Attributes, attribute("error.type", strconv.Itoa(t.status)))
		}
		s.add(span)
	}
}

// attributes name the server, and what is asked of it.
func (s *server) attributes(path string) []tracing.Attribute {
	if s.network == "unix" {
		return []tracing.Attribute{attribute("server.address", s.address), attribute("network.transport", "unix")}
	}
	host, port, _ := net.SplitHostPort(s.address) // newServer has put it together
	portNumber, _ := strconv.Atoi(port)
	return append(make([]tracing.Attribute, 0, 8), // others follow
		attribute("server.address", host), number("server.port", portNumber),
		attribute("url.full", "http://"+s.address+path),
	)
}

func attribute(key, value string) tracing.Attribute { return tracing.Attribute{Key: key, Value: value} }

func number(key string, value int) tracing.Attribute {
	return tracing.Attribute{Key: key, Value: int64(value)}
}

// reasonOf is what error.type says of an error.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, errClientLeft):
		return reasonLeft
	case errors.Is(err, context.Canceled): // of a lane
		return scheduler.Draining.String()
	}
	return asFailure(err).reason
}

// spanName is the name of a span for HTTP.
func spanName(method, route string) string {
	if method == "_OTHER" {
		method = "HTTP"
	}
	if route == "" {
		return method
	}
	return method + " " + route
}

// knownMethod returns a method by the conventions: others than those of RFC 9110 and
// RFC 5789 are _OTHER, since a client can invent any number of them.
func knownMethod(method string) string {
	switch method {
	case fasthttp.MethodGet, fasthttp.MethodHead, fasthttp.MethodPost, fasthttp.MethodPut, fasthttp.MethodDelete,
		fasthttp.MethodConnect, fasthttp.MethodOptions, fasthttp.MethodTrace, fasthttp.MethodPatch:
		return method
	}
	return "_OTHER"
}
