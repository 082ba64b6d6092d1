package gateway

import (
	"cmp"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/broker"
	"overtake/scheduler"
	"overtake/tracing"
)

// production is the publishing of a request as a message, as its span tells it.
type production struct {
	start, end time.Time // zero: nothing was published
	id         string    // of the message
	bytes      int       // of its body
	err        error
}

// producerSpan is the publishing of r into the queue. Its id is the one that the
// message carries.
func (q *queue) producerSpan(r *request) tracing.Span {
	span := tracing.Span{
		ID: r.trail.SpanID, Parent: r.journal.hop, Kind: tracing.Producer, Name: "send " + q.name,
		Start: r.produced.start, End: r.produced.end,
		Attributes: append(q.attributes("send", r.produced.id), attribute("overtake.class", r.trail.Class),
			number("messaging.message.body.size", r.produced.bytes)),
	}
	if err := r.produced.err; err != nil {
		span.Failure = err.Error()
		span.Attributes = append(span.Attributes, attribute("error.type", reasonOf(err)))
	}
	return span
}

// attributes are those of OpenTelemetry's conventions for messaging.
func (q *queue) attributes(operation, id string) []tracing.Attribute {
	return []tracing.Attribute{
		attribute("messaging.system", q.system), attribute("messaging.destination.name", q.name),
		attribute("messaging.operation.name", operation), attribute("messaging.operation.type", operation),
		attribute("messaging.message.id", id),
	}
}

// handling is a message in this gateway's hand, from its receipt until it is
// settled.
type handling struct {
	*broker.Delivery
	gen     *generation // that it uses until its end, or the app was away
	job     *entry
	trail   tracing.Trail
	slot    slot
	taken   time.Time
	waited  time.Duration // from its publication to its dispatch
	counted bool          // waited is in the metrics
	journal journal
	timing  string // the Server-Timing of the last answer
	failed  error  // why the last attempt has no answer
}

// handle begins the handling of a message.
func (c *courier) handle(d *broker.Delivery, e *entry, taken time.Time) *handling {
	h := &handling{Delivery: d, job: e, taken: taken}
	h.use(c.g.enter(), c.q)
	h.trail.Extract(messageFields(d.Header), taken)
	h.trail.Sample(h.gen.config.Tracing.Sample)
	h.slot.work = scheduler.Work{Class: c.class, Flow: c.q.flow, Deadline: h.trail.Deadline, Kept: true}
	h.slot.journal = c.g.noted(&h.journal)
	h.journal.begin(h.trail.SpanID)
	h.trail.SpanID = tracing.NewSpanID()
	return h
}

// use has what is done next use gen, which was entered for it.
func (h *handling) use(gen *generation, q *queue) {
	h.gen, h.slot.upstream, h.trail.Propagate = gen, gen.upstreams[q.deliverTo], gen.propagate
	h.slot.work.Avoid = nil // those were servers of what was used before
}

// record records a message that has been settled, if it was sampled or is worth it, and
// reports whether it did.
func (c *courier) record(now time.Time, h *handling) bool {
	h.journal.ended(now, nil)
	if c.g.tracer == nil {
		return false
	}
	inLane := time.Duration(0)
	if h.Attempt == 1 && !h.Published.IsZero() {
		inLane = max(0, h.taken.Sub(h.Published)) // later attempts waited for their turn to be tried again
	}
	reason, shed := "", false
	if n := len(h.journal.waits); n > 0 {
		reason = h.journal.waits[n-1].reason
		shed = reason != "" && reason != reasonLeft
	}
	failed := h.job.State == jobFailed || h.job.State == jobQueued && h.job.Reason != ""
	kept := h.gen.kept(c.class, inLane+h.slot.waited, shed, failed)
	if !h.trail.Sampled() && kept == "" {
		return false
	}
	spans := 1 + h.journal.spans()
	if inLane > 0 {
		spans++
	}
	if !c.g.hasRoom(now, &h.trail, c.class, spans) {
		return false
	}
	set := newSpanSet(&h.trail, c.name, spans)
	if inLane > 0 {
		set.add(tracing.Span{
			ID: tracing.NewSpanID(), Parent: h.trail.ParentID, Name: "overtake.lane", Start: h.Published, End: h.taken,
			Attributes: append(c.q.attributes("receive", h.ID), attribute("overtake.class", c.name)),
		})
	}
	span := tracing.Span{
		ID: h.journal.hop, Parent: h.trail.ParentID, Kind: tracing.Consumer, Name: "process " + c.q.name,
		Start: h.taken, End: now,
		Attributes: append(c.q.attributes("process", h.ID), attribute("overtake.class", c.name),
			number("messaging.message.body.size", len(h.Body)),
			number("overtake.attempt", h.Attempt),
			attribute("overtake.job.state", string(h.job.State))),
	}
	if shed {
		span.Attributes = append(span.Attributes, attribute("overtake.reason", reason))
		span.Events = append(span.Events, endedBy(reason, span.End))
	}
	if failed {
		span.Failure = h.job.Reason
		span.Attributes = append(span.Attributes, attribute("error.type", string(jobFailed)))
	}
	if kept != "" && !h.trail.Sampled() {
		span.Attributes = append(span.Attributes, attribute("overtake.kept", kept))
	}
	set.add(span)
	set.addWaits(&h.journal)
	method := knownMethod(cmp.Or(h.Header.Get(messageMethod), fasthttp.MethodPost))
	set.addTries(&h.journal, method, cmp.Or(c.q.path, pathOf(h.Header.Get(messageTarget)), "/"))
	c.g.tracer.Record(set.spans...)
	if h.counted {
		c.g.metrics.messageWait.of([2]string{c.q.name, c.name}).recorded(h.trail.TraceID, h.waited, now)
	}
	return true
}
