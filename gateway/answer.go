package gateway

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/scheduler"
)

// answer is the response to an outbound request. Its body must be closed, also
// when it is empty; then the connection is free for the next request.
type answer struct {
	conn   *upstreamConn
	server *server
	life   *lifetime
	header *fasthttp.ResponseHeader

	left    int64 // bytes of the body still to come; -1 chunked, -2 until close
	chunks  *chunkedBody
	timeout time.Duration
	until   time.Time // the read deadline that is set
	// deadline is the request's; the body is broken off there. Zero is none.
	deadline time.Time
	sender   *sender // nil when the request's body has been sent
	keep     bool    // the connection may be used again
	ended    bool    // the body has been read to its end
	// upgraded is the protocol that the connection now speaks; "" for HTTP.
	upgraded string
	err      error // why it could not be
}

// frame finds how the body is delimited, RFC 9112 section 6.3.
func (a *answer) frame(bodyless bool) error {
	h := a.header
	status := h.StatusCode()
	switch length := h.ContentLength(); {
	case bodyless || status == fasthttp.StatusNoContent || status == fasthttp.StatusNotModified:
		a.ended = true
	case length == -1:
		a.left = -1
		a.chunks = &chunkedBody{chunks: chunks{br: a.conn.br}, bytesAllowed: bufferSize, linesAllowed: math.MaxInt}
		if a.chunks.canBegin() { // else it can't be refused any more, if it is faulty
			if a.chunks.err = a.chunks.begin(); a.chunks.err != io.EOF {
				return a.chunks.err
			}
		}
	case length < 0:
		a.left = -2
		a.keep = false
	default:
		a.left = int64(length)
		a.ended = length == 0
	}
	return nil
}

// Read implements io.Reader over the body.
func (a *answer) Read(p []byte) (int, error) {
	if a.ended {
		return 0, io.EOF
	}
	if a.err != nil {
		return 0, a.err
	}
	if now := time.Now(); a.until.Sub(now) < a.timeout/2 {
		a.until = now.Add(a.timeout)
		if !a.deadline.IsZero() && a.until.After(a.deadline) {
			a.until = a.deadline
		}
		if err := a.conn.SetReadDeadline(a.until); err != nil {
			return 0, a.fail(err)
		}
	}
	switch a.left {
	case -1:
		n, err := a.chunks.Read(p)
		if err == io.EOF {
			setTrailer(a.header, a.chunks.trailer) // the header has been written by now
			a.ended = true
		}
		if err != nil && err != io.EOF {
			return n, a.fail(err)
		}
		return n, err
	case -2:
		n, err := a.conn.br.Read(p)
		if err == io.EOF {
			a.ended = true
			return n, io.EOF
		}
		if err != nil {
			return n, a.fail(err)
		}
		return n, nil
	}
	if int64(len(p)) > a.left {
		p = p[:a.left]
	}
	n, err := a.conn.br.Read(p)
	a.left -= int64(n)
	if a.left == 0 {
		a.ended = true
		return n, io.EOF
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return n, a.fail(err)
	}
	return n, nil
}

// takeWhole makes the body that of resp if all of it has come already, and reports
// whether it did. Then nobody need wait for the client to be done with the server.
func (a *answer) takeWhole(resp *fasthttp.Response) bool {
	br := a.conn.br
	if a.left < 0 || a.left > int64(br.Buffered()) {
		return false
	}
	body, _ := br.Peek(int(a.left)) // it is there
	resp.AppendBody(body)
	_, _ = br.Discard(len(body))
	a.left, a.ended = 0, true
	return true
}

func (a *answer) fail(err error) error {
	if cause := a.life.Err(); cause != nil {
		err = cause
	}
	a.err = fmt.Errorf("gateway: response body of %s: %w", a.server.name, err)
	return a.err
}

// Close ends the exchange. The connection is used again if both bodies have
// ended well. It reports whether the request's body was given up before its end;
// then the client's connection can't be used again either.
func (a *answer) Close() (aborted bool) {
	if a.conn == nil {
		return false
	}
	if a.sender != nil {
		aborted = a.sender.stop(a.conn) != nil
	}
	if aborted || !a.ended || !a.keep || a.conn.br.Buffered() > 0 {
		a.drop()
		return aborted
	}
	a.life.unguard()
	conn := a.conn
	a.conn = nil
	if a.life.Err() == nil {
		a.server.put(conn) // its deadline stays: the next exchange sets its own
	} else {
		_ = conn.Close()
	}
	return false
}

// outcome is what the time until now tells about the server: nothing unless it
// answered completely, with success or with what is wrong with the request, and
// not for as long as it liked.
func (a *answer) outcome() scheduler.Outcome {
	stream := alias(a.header.ContentType())
	if i := strings.IndexByte(stream, ';'); i >= 0 {
		stream = stream[:i]
	}
	if !a.ended || a.header.StatusCode() >= 500 || strings.EqualFold(strings.TrimSpace(stream), "text/event-stream") {
		return scheduler.Unmeasured
	}
	return scheduler.Done
}

// drop closes the connection.
func (a *answer) drop() {
	if a.conn == nil {
		return
	}
	a.life.unguard()
	_ = a.conn.Close()
	if a.sender != nil {
		_ = a.sender.stop(a.conn)
	}
	a.conn = nil
}
