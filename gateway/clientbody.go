package gateway

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"overtake/classifier/strictyaml"
)

const (
	// bodyPatience is how long a client may pause within a request's body where
	// there is no least rate.
	bodyPatience = time.Minute
	// bodyGrace is how far a body may fall behind its least rate.
	bodyGrace = 10 * time.Second
	// drainBytes is how much of an unwanted body is read to save a connection.
	drainBytes = 16 << 10
	// prefetched is the length of a body that fasthttp reads before the handler runs,
	// at the most: so much it would read of any. Of longer ones it reads a byte.
	prefetched = 8 << 10
)

// bodyTime is how long n bytes of a body may take.
func bodyTime(rate strictyaml.Size, n int) time.Duration {
	if rate == 0 {
		return bodyPatience
	}
	return bodyGrace + timeFor(rate, n)
}

// timeFor is how long n bytes take at a rate.
func timeFor(rate strictyaml.Size, n int) time.Duration {
	return time.Duration(float64(n) / float64(rate) * float64(time.Second))
}

// clientBody is a request's body as it comes from the client. fasthttp leaves it
// to the handler to read all of it: what is left would be taken for the next
// request.
type clientBody struct {
	stream  io.Reader
	client  *clientConn
	until   time.Time // the read deadline that is set
	read    int64     // bytes of the body
	eof     bool
	aborted atomic.Bool
	// credit is how long the client may take for the next byte: bodyGrace at the
	// most, less the time that it was waited for, more what its bytes are worth at
	// the least rate.
	credit time.Duration
}

func newClientBody(stream io.Reader, chunked bool, client *clientConn) *clientBody {
	if chunked {
		limits := &client.settings.limits
		stream = &chunkedBody{
			chunks: chunks{br: behind(stream)}, bytesAllowed: int(limits.HeaderBytes), linesAllowed: limits.HeaderFields,
		}
	}
	return &clientBody{stream: stream, client: client, credit: bodyTime(client.settings.limits.BodyRate, 0)}
}

// trailer returns the fields that came behind a chunked body, which has been read.
func (b *clientBody) trailer() fields {
	if c, ok := b.stream.(*chunkedBody); ok {
		return c.trailer
	}
	return nil
}

// Read implements io.Reader, with a deadline that moves on as data comes.
func (b *clientBody) Read(p []byte) (int, error) {
	if b.eof {
		return 0, io.EOF
	}
	began := time.Now()
	// A little more than the credit saves setting a deadline for each part.
	const more = time.Second
	if left := b.until.Sub(began); left < b.credit || left > b.credit+more {
		b.until = earlier(began.Add(b.credit+more), b.client.answerBy)
		if err := b.client.SetReadDeadline(b.until); err != nil {
			return 0, err
		}
	}
	if b.aborted.Load() { // after the deadline is set, so that abort's is the last
		return 0, errBodyAborted
	}
	n, err := b.stream.Read(p)
	b.read += int64(n)
	limits := &b.client.settings.limits
	switch {
	case limits.BodyBytes > 0 && b.read > int64(limits.BodyBytes):
		return 0, tooLarge(limits.BodyBytes)
	case err == io.EOF && b.client.ended.Load():
		err = io.ErrUnexpectedEOF // before Content-Length; fasthttp says EOF
	case err == io.EOF:
		b.eof = true
	case err != nil && b.aborted.Load():
		err = errBodyAborted
	case err != nil && b.client.late():
		err = &failure{reason: reasonDeadline, err: errDeadline}
	case err != nil && !time.Now().Before(b.until):
		err = tooSlow(fmt.Sprintf("the body came too slowly: nothing for a while, or less than %d bytes a second", limits.BodyRate))
	case errors.Is(err, errLargeTrailer):
		err = tooMuchHeader("its trailer has more than %d bytes or %d fields", limits.HeaderBytes, limits.HeaderFields)
	case err == nil:
		b.earn(time.Since(began), n)
	}
	return n, err
}

// earn changes the credit by n bytes that were waited for.
func (b *clientBody) earn(waited time.Duration, n int) {
	if rate := b.client.settings.limits.BodyRate; rate > 0 {
		b.credit = min(bodyGrace, b.credit-waited+timeFor(rate, n))
	}
}

// abort unblocks a Read on another goroutine for good.
func (b *clientBody) abort() {
	b.aborted.Store(true)
	_ = b.client.SetReadDeadline(longAgo)
}

// drained reads what little may be left and reports whether the body has ended,
// so that the connection can carry the next request.
func (b *clientBody) drained() bool {
	if b.eof {
		return true
	}
	if b.aborted.Load() {
		return false
	}
	_ = b.client.SetReadDeadline(time.Now().Add(lookEvery))
	_, err := io.CopyN(io.Discard, b.stream, drainBytes)
	b.eof = err == io.EOF && !b.client.ended.Load()
	return b.eof
}
