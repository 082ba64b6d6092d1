package loadgen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

// HeaderReason is the response header that says why a gateway refused.
const HeaderReason = "Overtake-Reason"

// Kinds of failure, as they appear in [ClassResult.Failed]. A status without
// a reason is counted under its own name, such as "status 500".
const (
	FailConnect = "connect" // no connection to the target
	FailTLS     = "tls"     // no TLS handshake with the target, or an alert
	FailTimeout = "timeout" // not answered in time
	FailRead    = "read"    // the connection broke before the answer was complete
	FailSockets = "sockets" // the generator's own ports, descriptors or connections ran out

	FailLocation = "no location" // a 202 whose Location is missing or not on the target
	FailUnknown  = "job unknown" // the resource in Location does not tell of a job
	FailJob      = "job failed"  // or cancelled
)

// opHandshake is the operation of an error in a TLS handshake.
const opHandshake = "TLS handshake"

// opsTLS are the operations of errors that TLS has found, here or over there.
var opsTLS = []string{opHandshake, "local error", "remote error"}

// OutcomeKind says whether a request was answered.
type OutcomeKind uint8

// The kinds of outcome. Any other than these is a mistake of a [Sender].
const (
	OutcomeOK         OutcomeKind = iota // answered as expected
	OutcomeShed                          // refused with a reason
	OutcomeFailed                        // anything else that is known
	OutcomeUnfinished                    // the run ended before the answer came
)

// Outcome is what became of one request.
type Outcome struct {
	Kind  OutcomeKind
	Cause string // shed reason or kind of failure
	// Err is what a failure was, where its kind does not tell. May be nil.
	Err   error
	Bytes int64 // of the response body
	// Queue is how long the request waited in a gateway, as its Server-Timing
	// tells. Negative if nothing told.
	Queue time.Duration
	// At is when the outcome was. The zero value is when it is recorded.
	At time.Time
	// Location is that of the 202 for a job.
	Location string
}

func failed(cause string) Outcome { return Outcome{Kind: OutcomeFailed, Cause: cause, Queue: -1} }
func unfinished() Outcome         { return Outcome{Kind: OutcomeUnfinished, Queue: -1} }

// classifyStatus judges a complete answer. Only a refusal or a deadline (503,
// 504) with a reason is a shed: any other status with a reason, such as 502
// connect_failed, is a failure behind the gateway.
func classifyStatus(status int, reason string, job bool) Outcome {
	switch {
	case status/100 == 2 && job && status != fasthttp.StatusAccepted:
		return failed(fmt.Sprintf("status %d, not %d", status, fasthttp.StatusAccepted))
	case status/100 == 2:
		return Outcome{Kind: OutcomeOK, Queue: -1}
	case reason != "" && (status == fasthttp.StatusServiceUnavailable || status == fasthttp.StatusGatewayTimeout):
		return Outcome{Kind: OutcomeShed, Cause: reason, Queue: -1}
	}
	cause := "status " + strconv.Itoa(status)
	if reason != "" {
		cause += " " + reason
	}
	return failed(cause)
}

// classifyError judges a request that got no complete answer.
func classifyError(err error) Outcome {
	o := failed(kindOf(err))
	if o.Cause != FailTimeout {
		o.Err = err
	}
	return o
}

// kindOf returns the kind of failure that err is.
func kindOf(err error) string {
	var op *net.OpError
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE),
		errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOSPC):
		return FailSockets
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return FailTimeout
	case errors.As(err, &op) && op.Op == "dial":
		return FailConnect
	case errors.As(err, &op) && slices.Contains(opsTLS, op.Op):
		return FailTLS
	}
	return FailRead
}
