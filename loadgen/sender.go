package loadgen

import (
	"context"
	"time"

	"overtake/loadgen/content"
)

// Sender carries the requests of classes to one endpoint. A run has one for each
// endpoint that its classes name. The requests of each class are sent by one goroutine,
// those of different ones concurrently.
type Sender interface {
	// Send starts a request and returns without waiting for the system under
	// test. It calls [Call.Finish] exactly once, from any goroutine, and keeps
	// nothing of c after that.
	Send(c *Call)
	// Close ends what is unanswered, each with [OutcomeUnfinished], and returns
	// when nothing of the sender runs any more. Nothing is sent after it.
	Close() error
}

// OpenSender opens the sender for an endpoint that some classes name. It returns
// an error that names the place and the remedy if nothing usable is there.
type OpenSender func(ctx context.Context, e Endpoint, classes []Class) (Sender, error)

// Call is one request on its way.
type Call struct {
	// ID is <class>/<number> and unique in the run: requests have it in the header
	// [completion.HeaderID], messages as their message id.
	ID string
	// TraceParent is a W3C traceparent of the request's own. Where Request has a
	// field of that name, it is the one in there.
	TraceParent string
	Class       *Class
	Request     *content.Request
	// Timeout bounds the request from now on.
	Timeout time.Duration

	intended, started time.Duration // since the start of the run
	answered          bool          // no longer outstanding, although not finished: an accepted job
	flow              *flow
	finish            func(*Call, Outcome)
	repeat            func(*Call)
}

// NewCall returns a call that tells finish its outcome and repeat each repetition.
// It is for who drives a [Sender] without [Run].
func NewCall(id string, class *Class, request *content.Request, timeout time.Duration, finish func(*Call, Outcome), repeat func(*Call)) *Call {
	return &Call{ID: id, Class: class, Request: request, Timeout: timeout, finish: finish, repeat: repeat}
}

// Finish records what became of the request.
func (c *Call) Finish(o Outcome) { c.finish(c, o) }

// Repeat records that what c asked for was done once more, as messages are that a
// broker delivers again. It comes after Finish, for which a sender may keep a copy
// of c without its Request.
func (c *Call) Repeat() { c.repeat(c) }
