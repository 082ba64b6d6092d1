package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/classifier"
)

// outbound is one request on its way to a server.
type outbound struct {
	class classifier.Class
	head  []byte    // request line and header, with the empty line
	body  io.Reader // nil when there is none
	// length is the number of bytes of body, -1 when it is to be chunked.
	length int64
	// streamed says that body comes from the network and may block: it is then
	// sent while the response is already being read.
	streamed bool
	// trailer appends the lines that follow a chunked body, when it has been read. nil
	// is none.
	trailer func([]byte) ([]byte, error)
	// bodyless says that the response has no body whatever its header says.
	bodyless bool
	// upgrade is the protocol that the server is asked to switch to; "" for none.
	upgrade string
	// interim takes interim responses; nil where nobody could.
	interim io.Writer
	// fresh says that it needs a new connection, as one that was kept proved to be
	// closed.
	fresh bool
	// bodyTaken says that it has begun to be read, so that it can't be sent again.
	bodyTaken bool
	// answerBy is when the response's header must have come; for a streamed body,
	// which moves that on, timeout after its last part but one, and tryTimeout, if it
	// is not 0, after its end. timeout also bounds the time between two parts of the
	// bodies; deadline, if set, is when the whole exchange must have ended.
	answerBy            time.Time
	timeout, tryTimeout time.Duration
	deadline            time.Time
	// abortBody unblocks a Read of a streamed body, which then fails with
	// errBodyAborted.
	abortBody func()

	answer answer // of the last try
}

// errStale is a kept connection that the server had closed: nothing of the
// request was worked on.
var errStale = errors.New("gateway: the server closed the idle connection")

// errDeadline is the request's own deadline, as against the upstream's timeout.
var errDeadline = errors.New("gateway: the request's deadline passed")

// exchange sends o to s and reads the header of the response into header. It
// returns a *failure whose reason tells what went wrong, or the cause of life's
// end.
func exchange(life *lifetime, s *server, o *outbound, header *fasthttp.ResponseHeader) (*answer, error) {
	var conn *upstreamConn
	if !o.fresh {
		conn = s.kept(o.class)
	}
	if conn == nil {
		var err error
		conn, err = reach(life, o.deadline, func(ctx context.Context) (*upstreamConn, error) { return s.dial(ctx, o.class, o.answerBy) })
		if err != nil {
			return nil, err
		}
	}
	if cause := life.guard(conn.raw); cause != nil {
		_ = conn.Close()
		return nil, cause
	}
	a := &o.answer
	*a = answer{conn: conn, server: s, life: life, header: header, timeout: o.timeout, deadline: o.deadline}
	if err := a.start(o); err != nil {
		return nil, err
	}
	return a, nil
}

// reach gets a connection within the request's patience. A zero deadline is none.
func reach[C any](life *lifetime, deadline time.Time, get func(context.Context) (C, error)) (none C, err error) {
	ctx := context.Context(life)
	if !deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(life, deadline, errDeadline)
		defer cancel()
	}
	conn, err := get(ctx)
	var refused *failure
	switch {
	case err == nil:
		return conn, nil
	case life.Err() != nil:
		return none, life.Err()
	case !deadline.IsZero() && !time.Now().Before(deadline):
		return none, &failure{reason: reasonDeadline, err: errDeadline}
	case errors.As(err, &refused):
		return none, refused
	}
	return none, &failure{reason: reasonConnectFailed, err: err, far: unsent}
}

// start sends the request, as far as that can be done without waiting for the
// client, and reads the response's header.
func (a *answer) start(o *outbound) error {
	headerBy := o.answerBy
	late := reasonUpstreamTimeout
	if !o.deadline.IsZero() && o.deadline.Before(headerBy) {
		headerBy, late = o.deadline, reasonDeadline
	}
	a.until = headerBy
	err := a.conn.SetDeadline(headerBy)
	if err != nil {
		return a.failed(err, late)
	}
	if sendErr := a.send(o); sendErr != nil {
		// The server may have answered before it stopped reading.
		if err = a.readHeader(o); err != nil {
			return a.failed(sendErr, late)
		}
		a.keep = false
		return nil
	}
	if err = a.readHeader(o); err != nil {
		return a.failed(err, late)
	}
	return nil
}

func (a *answer) send(o *outbound) error {
	bw := a.conn.bw
	if _, err := bw.Write(o.head); err != nil {
		return err
	}
	if o.body != nil && o.streamed {
		if err := bw.Flush(); err != nil {
			return err
		}
		o.bodyTaken = true
		a.sender = startSender(a.conn, o)
		return nil
	}
	if o.body != nil {
		o.bodyTaken = true
		if err := writeBody(bw, o.body, o); err != nil {
			a.conn.closeWithoutBody(err)
			return err
		}
	}
	return bw.Flush()
}

// readHeader reads interim responses, which it passes on, and then the final header.
func (a *answer) readHeader(o *outbound) error {
	const maxInterim = 100
	for range maxInterim {
		var err error
		if a.keep, err = checkHeader(a.conn.br); err != nil {
			return err
		}
		if err = a.header.Read(a.conn.br); err != nil {
			return err
		}
		switch status := a.header.StatusCode(); {
		case status == fasthttp.StatusSwitchingProtocols:
			return a.upgrade(o.upgrade)
		case status >= 200:
			return a.frame(o.bodyless)
		case o.interim != nil:
			passInterim(o.interim, a.header)
		}
	}
	return fmt.Errorf("more than %d interim responses", maxInterim)
}

// failed drops the connection and says why the exchange broke off.
func (a *answer) failed(err error, late string) error {
	conn := a.conn
	forClient := a.sender != nil && a.sender.waiting.Load()
	a.drop()
	far := conn.progress() // after the sender has ended
	var bodyErr *clientBodyError
	switch {
	case a.life.Err() != nil:
		return a.life.Err()
	case errors.As(err, &bodyErr) || a.sender != nil && errors.As(a.sender.err, &bodyErr):
		return bodyErr.failure()
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, fasthttp.ErrTimeout):
		if late == reasonDeadline {
			err = errDeadline
		} else if forClient {
			return tooSlow("the body came too slowly: nothing for as long as the app is waited for")
		}
		return &failure{reason: late, err: err, far: far}
	case conn.reused && a.sender == nil && far != inDoubt && hungUpErr(err):
		return &failure{reason: reasonUpstreamFailed, err: errStale, far: far}
	}
	return &failure{reason: reasonUpstreamFailed, err: err, far: far}
}

// hungUpErr reports whether err is what a connection says that the other side
// has closed.
func hungUpErr(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || // of TLS without its own end
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
