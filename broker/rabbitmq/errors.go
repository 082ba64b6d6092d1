package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
)

// Why a request ended although its caller would have waited on.
var (
	errNoAnswer       = errors.New("no answer in time")
	errConnectionLost = errors.New("connection lost")
	errGone           = errors.New("the channel that it came on is gone; it comes again")
	errCancelled      = errors.New("the server cancelled the consumer: the lane was deleted or moved")
)

// cause wraps the error of a request to the server in what a caller decides on.
// ctx is the caller's.
func cause(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		why := context.Cause(ctx)
		if errors.Is(why, ctx.Err()) {
			return why
		}
		return fmt.Errorf("%w: %w", ctx.Err(), why)
	case isRefusal(err):
		return err
	}
	for _, known := range []error{broker.ErrUnavailable, broker.ErrClosed, broker.ErrFull, broker.ErrTooLarge, errReturned} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", broker.ErrUnavailable, err)
}

// isRefusal reports whether the server answered that it will not do what was
// asked for: it is available, and trying again would not help.
func isRefusal(err error) bool {
	var e *amqp.Error
	if !errors.As(err, &e) || !e.Server {
		return false
	}
	switch e.Code {
	case amqp.AccessRefused, amqp.NotFound, amqp.PreconditionFailed, amqp.NotAllowed:
		return true
	}
	return false
}

// connectRemedy returns what to do about a connection that a server refused, or ""
// if err does not say that one did, so that trying again may help.
func connectRemedy(err error) string {
	var e *amqp.Error
	refused := errors.As(err, &e)
	text := err.Error()
	switch {
	case refused && (e.Code == amqp.NotAllowed || errors.Is(e, amqp.ErrVhost)):
		return "; the vhost in the URL must exist, and the user have access to it and to one connection more"
	case refused && e.Code == amqp.AccessRefused:
		return "; give the user and password that the server knows"
	case strings.Contains(text, "x509:"):
		return "; name the authority that the server's certificate is from as tls.ca, and the server as its certificate does"
	case strings.Contains(text, "tls:"):
		return "; the server may have no TLS, or want a client certificate: tls.cert and tls.key"
	}
	return ""
}

// goneError says that the channel of a delivery is gone, for err if that is known.
func goneError(err error) error {
	if err == nil {
		return fmt.Errorf("%w: %w", broker.ErrUnavailable, errGone)
	}
	return fmt.Errorf("%w: %w: %w", broker.ErrUnavailable, errGone, err)
}

func blockedError(reason string) error {
	return fmt.Errorf("%w: the broker is low on memory or disk and takes no messages (%s); free some, or raise its limits",
		broker.ErrUnavailable, reason)
}

// inequivalent is the server's complaint about an argument of a queue or exchange
// that exists with another one.
var inequivalent = regexp.MustCompile(`inequivalent arg '([^']*)' for (queue|exchange) '([^']*)' in vhost '[^']*': received (.*) but current is (.*)`)

// declareError says what to do about the refusal of a declaration.
func declareError(what, name string, err error) error {
	var e *amqp.Error
	if errors.As(err, &e) && e.Code == amqp.AccessRefused {
		return fmt.Errorf("declare %s %q: %w; let the user configure, write and read it (rabbitmqctl set_permissions)", what, name, err)
	}
	if e == nil || e.Code != amqp.PreconditionFailed {
		return fmt.Errorf("declare %s %q: %w", what, name, err)
	}
	if m := inequivalent.FindStringSubmatch(e.Reason); m != nil {
		return fmt.Errorf("declare %s %q: it exists with another %s: wanted %s, the broker has %s; "+
			"configure what it has, or empty and delete it (rabbitmqctl delete_queue %s), or give the queue another name: %w",
			what, name, m[1], m[4], m[5], name, err)
	}
	return fmt.Errorf("declare %s %q: it exists and differs; empty and delete it, or give the queue another name: %w", what, name, err)
}
