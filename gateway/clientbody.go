package gateway

import (
	"io"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// bodyPatience is how long a client may pause within a request's body.
	bodyPatience = time.Minute
	// drainBytes is how much of an unwanted body is read to save a connection.
	drainBytes = 16 << 10
)

// clientBody is a request's body as it comes from the client. fasthttp leaves it
// to the handler to read all of it: what is left would be taken for the next
// request.
type clientBody struct {
	stream  io.Reader
	header  *fasthttp.RequestHeader // which gets the trailer when a chunked body has ended
	before  int                     // fields that were in it, if the body is chunked
	read    int64                   // bytes of the body
	client  *clientConn
	until   time.Time // the read deadline that is set
	eof     bool
	aborted atomic.Bool
}

func newClientBody(ctx *fasthttp.RequestCtx, client *clientConn) *clientBody {
	b := &clientBody{stream: ctx.RequestBodyStream(), header: &ctx.Request.Header, client: client}
	if b.header.ContentLength() == -1 {
		b.before = len(b.all())
	}
	return b
}

// all returns the fields that fasthttp has, those of the trailer last, if it has read
// it. Called by whoever reads the body.
func (b *clientBody) all() (f fields) {
	for name, value := range b.header.All() {
		f = append(f, field{alias(name), alias(value)})
	}
	if b.header.ConnectionClose() {
		f = f[:len(f)-1] // it comes behind all others
	}
	return f
}

// trailer returns the fields that came behind a chunked body, which has been read.
func (b *clientBody) trailer() fields { return b.all()[b.before:] }

// Read implements io.Reader, with a deadline that moves on as data comes.
func (b *clientBody) Read(p []byte) (int, error) {
	if b.eof {
		return 0, io.EOF
	}
	if now := time.Now(); b.until.Sub(now) < bodyPatience/2 {
		b.until = now.Add(bodyPatience)
		if err := b.client.SetReadDeadline(b.until); err != nil {
			return 0, err
		}
	}
	if b.aborted.Load() { // after the deadline is set, so that abort's is the last
		return 0, errBodyAborted
	}
	n, err := b.stream.Read(p)
	b.read += int64(n)
	switch {
	case err == io.EOF && b.client.ended.Load():
		err = io.ErrUnexpectedEOF // between two chunks; fasthttp says EOF
	case err == io.EOF:
		b.eof = true
	case err != nil && b.aborted.Load():
		err = errBodyAborted
	}
	return n, err
}

// abort unblocks a Read on another goroutine for good.
func (b *clientBody) abort() {
	b.aborted.Store(true)
	_ = b.client.SetReadDeadline(time.Unix(1, 0))
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
	b.until = time.Now().Add(bodyPatience) // keep Read from moving it
	_, err := io.CopyN(io.Discard, b, drainBytes)
	return err == io.EOF && b.eof
}
