package gateway

import (
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/gateway/config"
	"overtake/gateway/console"
	"overtake/scheduler"
)

// This file tells the console what got no good answer, and how long the app took.

// reasonPanic is a fault of the gateway itself, in the console alone: the log has it.
const reasonPanic = "panic"

// failureShown is what the console counts a request as that has ended; its Kind is "" for
// one that was served. An answer of a job that was kept is no failure of its own.
func (r *request) failureShown(status int, listener string) console.Failure {
	reason, panicked := r.ending(status), errors.Is(r.life.Err(), errPanicked)
	if panicked {
		reason = reasonPanic
	}
	atApp := r.upstream != nil || r.queue != nil
	if reason == "" && (status < fasthttp.StatusInternalServerError || !atApp) {
		return console.Failure{}
	}
	f := console.Failure{Kind: console.Client, Class: r.gen.classes.Name(r.decision.Class), Reason: reason, Status: status}
	switch {
	case r.shed:
		f.Kind = console.Refused
	case r.brokenOff != nil && status != statusClientClosed, status >= fasthttp.StatusInternalServerError:
		f.Kind = console.Failed
	}
	switch {
	case r.queue != nil:
		f.Queue = r.queue.name
	case r.upstream != nil:
		f.Upstream = r.upstream.configured()
	default:
		f.Listener = listener
	}
	return f
}

// cut reports whether a request ended, for that reason, before anybody worked on it for
// as long as was asked for: the time that it took tells nothing.
func cut(reason string) bool {
	switch reason {
	case "", reasonUpstreamTimeout, reasonDeadline, reasonLeft:
		return false
	}
	return true
}

// failureShown is what the console counts a delivery as whose work has ended. All but a
// success comes again, or is dead.
func (c *courier) failureShown(h *handling) console.Failure {
	f := console.Failure{Kind: console.Failed, Upstream: c.q.deliverTo, Queue: c.q.name, Class: c.name}
	var shed *scheduler.ShedError
	switch err := h.failed; {
	case errors.Is(err, errCutOff), errors.Is(err, errCancelled), errors.Is(err, errNotClaimed), errors.As(err, &shed):
		return console.Failure{}
	case errors.Is(err, errPanicked):
		f.Reason = reasonPanic
		return f
	case errors.Is(err, errStoreAway):
		f.Reason = reasonBrokerUnavailable
		return f
	case err != nil:
		f.Reason = asFailure(err).reason
		return f
	}
	if n := len(h.journal.tries); n > 0 {
		f.Status = h.journal.tries[n-1].status
	}
	if f.Status == 0 || f.Status >= 200 && f.Status < 300 {
		return console.Failure{}
	}
	return f
}

// unserved counts what was refused before anything was known of it.
func (g *Gateway) unserved(listener string, status int) {
	g.metrics.unserved(listener, status)
	kind := console.Client
	if status >= fasthttp.StatusInternalServerError {
		kind = console.Failed
	}
	g.console.Failed(console.Failure{Kind: kind, Listener: listener, Reason: reasonBadRequest, Status: status})
}

// took counts how long a server took that a request was sent to at began.
func (u *upstream) took(began time.Time) {
	if u.console != nil {
		u.console.Took(u.name, time.Since(began))
	}
}

// limitsForConsole are the limits of the upstreams, 0 for none.
func (g *Gateway) limitsForConsole() map[string]int {
	limits := make(map[string]int)
	for name, u := range g.present.Load().upstreams {
		if limits[name] = u.scheduler.Limit(); limits[name] >= scheduler.Unlimited {
			limits[name] = 0
		}
	}
	return limits
}

// upstreamsOfConsole returns what tells the upstreams of a configuration from those that
// are gone.
func upstreamsOfConsole(cfg *config.Config) func(upstream string) bool {
	return func(upstream string) bool {
		_, known := cfg.Upstreams[upstream]
		return known
	}
}
