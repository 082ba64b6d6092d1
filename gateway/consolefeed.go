package gateway

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/gateway/console"
	"overtake/scheduler"
)

// This file tells the console what has ended. A request counts that was for an upstream
// or a queue; tunnels do not, as they take as long as their ends like.

// show tells the console of a request that has ended.
func (g *Gateway) show(now time.Time, status int, client *clientConn, r *request, recorded bool) {
	if g.console == nil || r.tunnelled {
		return
	}
	failed := r.failureShown(status, client.listener.name)
	if r.upstream == nil && r.queue == nil {
		if failed.Kind != "" {
			g.console.Failed(failed)
		}
		return
	}
	class, took := int(r.decision.Class), now.Sub(r.started)
	g.console.Ended(class, console.Work{Wait: r.slot.waited, Latency: took, Failure: failed, Cut: cut(failed.Reason)})
	if !g.console.IsSlow(class, took) {
		return
	}
	asked := r.about()
	g.console.Slow(class, took, console.Slow{
		TraceID: r.trail.TraceID.String(), Recorded: recorded, At: now.UnixMilli(),
		Method: cutOff(asked.method, mostText), Path: cutOff(asked.path, mostText), Listener: client.listener.name,
		Rule: r.decision.Rule, Status: status, Reason: reasonShown(r.reason, status, r.brokenOff), Hops: r.hops(now, status),
	})
}

// reasonShown is why a request has no whole answer; "" if it has one.
func reasonShown(reason string, status int, brokenOff error) string {
	switch {
	case status == statusClientClosed:
		return reasonLeft
	case brokenOff != nil:
		return reasonUpstreamFailed
	}
	return reason
}

// hops are the parts of the request's way, in their order.
func (r *request) hops(now time.Time, status int) []console.Hop {
	h := hopList{began: r.started}
	headed := time.Time{}
	if len(r.journal.waits) > 0 && r.upTime > 0 { // upTime is without the waits for other servers
		headed = r.journal.waits[0].end.Add(r.upTime)
		for _, w := range r.journal.waits[1:] {
			headed = headed.Add(w.end.Sub(w.start))
		}
	}
	h.addJournal(&r.journal, headed, r.timing)
	if p := &r.produced; !p.start.IsZero() {
		note := ""
		if p.err != nil {
			note = p.err.Error()
		}
		h.add(console.Try, "queue "+r.queue.name, p.start, p.end, note)
	}
	from := now
	if n := len(h.hops); n > 0 {
		from = h.last
	}
	note := ""
	if r.brokenOff != nil {
		note = "broken off: " + r.brokenOff.Error()
	} else if r.reason != "" {
		note = r.reason
	}
	h.add(console.Answer, statusText(status), from, now, note)
	return h.hops
}

// statusText is a status for people.
func statusText(status int) string {
	if status == statusClientClosed {
		return "none: the client left"
	}
	return strings.TrimSpace(strconv.Itoa(status) + " " + fasthttp.StatusMessage(status))
}

// show tells the console of a message that is in hand no more. Its latency begins when
// this gateway took it.
func (c *courier) show(now time.Time, h *handling, recorded bool) {
	if c.g.console == nil {
		return
	}
	class, took, reason := int(c.class), now.Sub(h.taken), ""
	if n := len(h.journal.waits); n > 0 {
		reason = h.journal.waits[n-1].reason
	}
	work := console.Work{Wait: h.slot.waited, Latency: took}
	switch {
	case reason == scheduler.Draining.String():
		return // another gateway will deliver it
	case reason != "":
		work.Failure = console.Failure{Kind: console.Refused, Upstream: h.slot.upstream.name, Queue: c.q.name, Class: c.name, Reason: reason}
	default:
		work.Failure = c.failureShown(h)
		work.Cut = cut(work.Failure.Reason)
	}
	c.g.console.Ended(class, work)
	if !c.g.console.IsSlow(class, took) {
		return
	}
	list := hopList{began: h.taken}
	list.addJournal(&h.journal, time.Time{}, h.timing)
	status := 0
	if n := len(h.journal.tries); n > 0 {
		status = h.journal.tries[n-1].status
	}
	if h.job.State != jobDone {
		reason = cmp.Or(reason, h.job.Reason)
	}
	c.g.console.Slow(class, took, console.Slow{
		TraceID: h.trail.TraceID.String(), Recorded: recorded, At: now.UnixMilli(),
		Method: cutOff(cmp.Or(h.Header.Get(messageMethod), fasthttp.MethodPost), mostText),
		Path:   cutOff(cmp.Or(c.q.path, pathOf(h.Header.Get(messageTarget)), "/"), mostText),
		Queue:  c.q.name, Status: status, Reason: cutOff(reason, mostText), Hops: list.hops,
	})
}

// hopList are hops under construction.
type hopList struct {
	began time.Time
	hops  []console.Hop
	last  time.Time // the end of the last one
}

func (h *hopList) add(kind, name string, start, end time.Time, note string) {
	h.hops = append(h.hops, console.Hop{
		Kind: kind, Name: cutOff(name, mostText), Note: cutOff(note, mostText),
		StartMillis: millis(start.Sub(h.began).Round(time.Microsecond)), Millis: millis(max(0, end.Sub(start)).Round(time.Microsecond)),
	})
	h.last = end
}

// addJournal adds what a journal has noted, whose last try has ended: the waits, and
// the try that followed each. headed is when the header of the last one's answer came;
// zero if that is not known. timing is what it says of the next hop.
func (h *hopList) addJournal(j *journal, headed time.Time, timing string) {
	tried := 0
	for i := range j.waits {
		w := &j.waits[i]
		h.add(console.Wait, w.upstream+" (waited for a slot)", w.start, w.end, waitNote(w))
		for ; tried < len(j.tries) && (i == len(j.waits)-1 || j.tries[tried].start.Before(j.waits[i+1].start)); tried++ {
			t := &j.tries[tried]
			end := t.end
			if tried == len(j.tries)-1 && !headed.IsZero() && headed.After(t.start) && headed.Before(end) {
				end = headed
			}
			h.add(console.Try, t.server.name, t.start, end, tryNote(t))
		}
	}
	if len(j.tries) > 0 {
		h.addTimings(j.tries[len(j.tries)-1].start, timing)
	}
}

// addTimings adds what the next hop says of its own time. When it began is not said:
// the parts are shown one after the other, as an Overtake's are.
func (h *hopList) addTimings(start time.Time, timing string) {
	end := h.last
	for _, metric := range console.ParseTiming(timing) {
		h.add(console.Next, metric.Name, start, start.Add(metric.Duration), metric.Description)
		start = start.Add(metric.Duration)
	}
	h.last = end
}

// waitNote says how the work waited.
func waitNote(w *wait) string {
	note := ""
	if w.reason != "" {
		note = w.reason
	}
	more := func(format string, args ...any) {
		note = strings.TrimPrefix(note+"; "+fmt.Sprintf(format, args...), "; ")
	}
	if w.facts.Ahead > 0 {
		more("behind %d", w.facts.Ahead)
	}
	if w.facts.Overtaken > 0 {
		more("%d that came later went first", w.facts.Overtaken)
	}
	if w.facts.Overtaking > 0 {
		more("went before %d that had come earlier", w.facts.Overtaking)
	}
	if w.facts.Limit > 0 {
		more("limit %d", w.facts.Limit)
	}
	return note
}

// tryNote says what a server did.
func tryNote(t *try) string {
	switch {
	case t.err != nil && t.status > 0:
		return strconv.Itoa(t.status) + ", broken off: " + t.err.Error()
	case t.err != nil:
		return t.err.Error()
	case t.status > 0:
		return strconv.Itoa(t.status)
	}
	return ""
}

// serverTiming returns the lines of Server-Timing as one list; "" for none.
func serverTiming(h *fasthttp.ResponseHeader) string {
	timing := ""
	for name, value := range h.All() {
		if strings.EqualFold(alias(name), "Server-Timing") {
			timing = strings.TrimPrefix(timing+", "+string(value), ", ")
		}
	}
	return timing
}
