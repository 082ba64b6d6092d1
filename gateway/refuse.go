package gateway

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/broker"
	"overtake/classifier"
	"overtake/scheduler"
)

// The reasons that are not the scheduler's, as the contract names them.
const (
	reasonDeadline          = "deadline"
	reasonNoUpstream        = "no_upstream"
	reasonConnectFailed     = "connect_failed"
	reasonUpstreamFailed    = "upstream_failed"
	reasonUpstreamTimeout   = "upstream_timeout"
	reasonBadRequest        = "bad_request"
	reasonBrokerUnavailable = "broker_unavailable"
	reasonQueueFull         = "queue_full"
)

// failure is why a request was not answered by the app.
type failure struct {
	reason string
	status int    // 0: by the reason
	detail string // for the client; "": by the reason
	err    error
	// retryAfter is when to come again, for a 503; 0: by the class.
	retryAfter time.Duration
	far        progress
}

// progress is how far a try at a server came that failed.
type progress uint8

const (
	inDoubt    progress = iota // of an answer, something may have come
	unanswered                 // something of the request was sent, nothing came back
	unsent                     // nothing was sent
)

func (f *failure) Error() string { return f.reason + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// code returns the status that the contract gives to the reason.
func (f *failure) code() int {
	if f.status != 0 {
		return f.status
	}
	switch f.reason {
	case reasonDeadline, reasonUpstreamTimeout:
		return fasthttp.StatusGatewayTimeout
	case reasonConnectFailed, reasonUpstreamFailed:
		return fasthttp.StatusBadGateway
	case reasonBadRequest:
		return fasthttp.StatusBadRequest
	case reasonNoUpstream:
		return fasthttp.StatusNotFound
	}
	return fasthttp.StatusServiceUnavailable
}

// asFailure turns any error of a request's life into a failure.
func asFailure(err error) *failure {
	var f *failure
	var shed *scheduler.ShedError
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &shed):
		return &failure{reason: shed.Reason.String(), err: err, retryAfter: shed.RetryAfter}
	case errors.Is(err, errCutOff):
		return &failure{reason: scheduler.Draining.String(), err: err}
	case errors.Is(err, broker.ErrFull):
		return &failure{reason: reasonQueueFull, detail: laneFull, err: err}
	case errors.Is(err, broker.ErrTooLarge):
		return &failure{
			reason: reasonBadRequest, status: fasthttp.StatusRequestEntityTooLarge,
			err: errors.New("the request is larger than the queue's broker takes"),
		}
	case errors.Is(err, broker.ErrUnavailable), errors.Is(err, broker.ErrClosed):
		return &failure{reason: reasonBrokerUnavailable, err: err}
	}
	return &failure{reason: reasonUpstreamFailed, err: err}
}

// isShed reports whether work was refused so that other work could be served.
func isShed(err error) bool {
	var shed *scheduler.ShedError
	return errors.As(err, &shed) || errors.Is(err, broker.ErrFull)
}

// laneFull is the detail of a job that its lane, or the store of its state, has no room for.
const laneFull = "The message queue has no room for another job of this class. Try again after Retry-After."

// details say in a sentence what a client can make of a reason.
var details = map[string]string{
	scheduler.QueueFull.String():  "The queue for requests of this class is full. Try again after Retry-After.",
	scheduler.QueueBytes.String(): "The queue for requests of this class holds as many bytes as it may. Try again after Retry-After.",
	scheduler.MaxWait.String():    "The request waited as long as its class allows without its turn coming. Try again after Retry-After.",
	scheduler.Displaced.String():  "More urgent requests took this request's place in the queue. Try again after Retry-After.",
	scheduler.Draining.String():   "The gateway is shutting down. Try again; another instance will answer.",
	reasonDeadline:                "The request's deadline passed, or was too near for the app to answer in time.",
	reasonNoUpstream:              "No route leads from this host and path to an app.",
	reasonConnectFailed:           "The app could not be reached.",
	reasonUpstreamFailed:          "The app closed the connection or answered something that is not HTTP.",
	reasonUpstreamTimeout:         "The app did not answer in time.",
	reasonBadRequest:              "The request can't be understood or is not allowed.",
	reasonBrokerUnavailable:       "The message broker can't be reached or takes no messages now, so the job was not accepted. Try again.",
}

// problemType is the media type of a problem.
const problemType = "application/problem+json"

// problem is a problem details object, RFC 9457. Its type is about:blank, so the
// title is the status text.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Reason string `json:"reason"`
	Class  string `json:"class,omitempty"`
}

// refuse writes the contract's answer for a failure. What the client did wrong
// is told to it; what went wrong behind the gateway is for the log alone.
func refuse(ctx *fasthttp.RequestCtx, f *failure, class string, rank classifier.Class) {
	p := problem{Status: f.code(), Detail: cmp.Or(f.detail, details[f.reason]), Reason: f.reason, Class: class}
	p.Title = fasthttp.StatusMessage(p.Status)
	if f.reason == reasonBadRequest {
		p.Detail = f.err.Error()
	}
	body, err := json.Marshal(p)
	if err != nil {
		panic(fmt.Sprintf("gateway: problem details: %v", err)) // strings and a number
	}
	ctx.Response.Reset()
	ctx.Response.Header.DisableNormalizing()
	ctx.Response.Header.SetNoDefaultContentType(true)
	ctx.SetStatusCode(p.Status)
	ctx.Response.Header.SetContentType(problemType)
	ctx.Response.Header.Set("Overtake-Reason", f.reason)
	ctx.Response.Header.Set("Cache-Control", "no-store")
	if p.Status == fasthttp.StatusServiceUnavailable {
		ctx.Response.Header.Set("Retry-After", strconv.Itoa(retryAfter(f.retryAfter, rank)))
	}
	ctx.Response.SetBodyRaw(body)
}

// retryAfter is when a refused client may come again, in seconds: the less urgent
// its class, the later. The scheduler's estimates have that order; a second per
// class keeps it when they are rounded up. Without an estimate it is a guess.
func retryAfter(estimate time.Duration, rank classifier.Class) int {
	if estimate <= 0 {
		return 1 << min(rank, 6)
	}
	return int((estimate+time.Second-1)/time.Second) + int(rank)
}
