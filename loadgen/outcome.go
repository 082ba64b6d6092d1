package loadgen

import (
	"errors"
	"net"
	"os"
	"strconv"
	"syscall"

	"github.com/valyala/fasthttp"
)

// HeaderReason is the response header that says why a gateway refused.
const HeaderReason = "Overtake-Reason"

// Kinds of failure, as they appear in [StreamResult.Failed]. A status without
// a reason is counted under its own name, such as "status 500".
const (
	FailConnect = "connect" // no connection to the target
	FailTimeout = "timeout" // not answered in time
	FailRead    = "read"    // the connection broke before the answer was complete
	FailSockets = "sockets" // the generator's own ports, descriptors or connections ran out
	FailWrong   = "wrong"   // a success, but not the 202 that a job stream expects
)

type outcomeKind uint8

const (
	outcomeOK         outcomeKind = iota // answered as expected
	outcomeShed                          // refused with a reason
	outcomeFailed                        // anything else that is known
	outcomeUnfinished                    // the run ended before the answer came
)

// outcome is what became of one request.
type outcome struct {
	kind  outcomeKind
	cause string // shed reason or kind of failure
	bytes int64  // of the response body
}

func failed(cause string) outcome { return outcome{kind: outcomeFailed, cause: cause} }

// classifyStatus judges a complete answer. Only a refusal or a deadline (503,
// 504) with a reason is a shed: any other status with a reason, such as 502
// connect_failed, is a failure behind the gateway.
func classifyStatus(status int, reason string, job bool) outcome {
	switch {
	case status/100 == 2 && job && status != fasthttp.StatusAccepted:
		return failed(FailWrong)
	case status/100 == 2:
		return outcome{kind: outcomeOK}
	case reason != "" && (status == fasthttp.StatusServiceUnavailable || status == fasthttp.StatusGatewayTimeout):
		return outcome{kind: outcomeShed, cause: reason}
	}
	cause := "status " + strconv.Itoa(status)
	if reason != "" {
		cause += " " + reason
	}
	return failed(cause)
}

// classifyError judges a request that got no complete answer.
func classifyError(err error) outcome {
	var op *net.OpError
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE),
		errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.ENOBUFS),
		errors.Is(err, fasthttp.ErrNoFreeConns):
		return failed(FailSockets)
	case errors.Is(err, fasthttp.ErrTimeout), errors.Is(err, fasthttp.ErrDialTimeout),
		errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return failed(FailTimeout)
	case errors.As(err, &op) && op.Op == "dial":
		return failed(FailConnect)
	}
	return failed(FailRead)
}
