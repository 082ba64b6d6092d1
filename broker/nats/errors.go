package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"overtake/broker"
)

// Error codes of the JetStream API that nats.go does not name; the server's
// errors.json does.
const (
	codeNoPeers               jetstream.ErrorCode = 10005
	codeInsufficientResources jetstream.ErrorCode = 10023
	codeStorageLimitExceeded  jetstream.ErrorCode = 10047
	codeStreamInvalidConfig   jetstream.ErrorCode = 10052
	codeStreamSubjectOverlap  jetstream.ErrorCode = 10065
	codeReplicasNotSupported  jetstream.ErrorCode = 10074
	codeStreamStoreFailed     jetstream.ErrorCode = 10077
	codeDuplicateInProcess    jetstream.ErrorCode = 10158
)

// Why a request ended although its caller would have waited on.
var (
	errNoAnswer       = errors.New("no answer in time")
	errConnectionLost = errors.New("connection lost")
)

// cause wraps the error of a request to the server in what a caller decides
// on. ctx is the caller's.
func cause(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		why := context.Cause(ctx)
		if errors.Is(why, ctx.Err()) {
			return why
		}
		return fmt.Errorf("%w: %w", ctx.Err(), why)
	case isFull(err):
		return fmt.Errorf("%w: %w", broker.ErrFull, err)
	case errors.Is(err, natsgo.ErrMaxPayload), errorCode(err) == jetstream.JSErrCodeStreamMessageExceedsMaximum:
		return fmt.Errorf("%w: %w", broker.ErrTooLarge, err)
	case isRefusal(err):
		return err
	}
	return fmt.Errorf("%w: %w", broker.ErrUnavailable, err)
}

// isFull reports whether the server refused a message because a bound was
// reached. A store that failed for another reason, such as the disk, has the
// same code as a stream at its bound and differs in the text only.
func isFull(err error) bool {
	switch api := apiError(err); api.ErrorCode {
	case codeStreamStoreFailed:
		return strings.HasPrefix(api.Description, "maximum ")
	case codeInsufficientResources:
		return true
	}
	return false
}

// isRefusal reports whether the server answered that it will not do what was
// asked for: it is available, and trying again would not help.
func isRefusal(err error) bool {
	switch api := apiError(err); api.ErrorCode {
	case 0:
		return errors.Is(err, natsgo.ErrPermissionViolation)
	case codeNoPeers, codeDuplicateInProcess:
		return false // servers may come, and the one in process may fail
	case codeStorageLimitExceeded, codeReplicasNotSupported,
		jetstream.JSErrCodeJetStreamNotEnabled, jetstream.JSErrCodeJetStreamNotEnabledForAccount:
		return true
	default:
		return api.Code < 500
	}
}

// apiError returns the error of the JetStream API in err; a zero one if there
// is none.
func apiError(err error) jetstream.APIError {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return *api
	}
	return jetstream.APIError{}
}

func errorCode(err error) jetstream.ErrorCode { return apiError(err).ErrorCode }
