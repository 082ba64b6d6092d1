package gateway

import (
	"bufio"
	"errors"
	"io"

	"overtake/scheduler"
)

// responseBody streams an answer's body to the client; its Close ends the
// request. The slot is held until then: the app works on it as long.
type responseBody struct {
	g      *Gateway
	client *clientConn
	status int
}

// Read implements io.Reader.
func (b *responseBody) Read(p []byte) (int, error) { return b.client.request.answer.Read(p) }

// WriteTo implements io.WriterTo with larger parts than fasthttp's own copying.
// Before it waits for more of the body, it lets the client have what there is.
func (b *responseBody) WriteTo(w io.Writer) (sent int64, err error) {
	err = errPanicked // what is returned after a panic
	defer b.g.recovered(nil, b.client)
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	buffered, _ := w.(*bufio.Writer) // nil where each Write is flushed anyway
	a := b.client.request.answer
	for {
		n, err := a.Read(*buf)
		if n > 0 {
			m, werr := w.Write((*buf)[:n])
			sent += int64(m)
			b.client.request.bytesOut = sent
			if werr == nil && buffered != nil && !a.ended && a.conn.br.Buffered() == 0 {
				werr = buffered.Flush()
			}
			if werr != nil {
				return sent, werr
			}
		}
		if err == io.EOF {
			return sent, nil
		}
		if err != nil {
			return sent, err
		}
	}
}

// SupportsBodyWriteTo implements fasthttp.BodyWriterTo.
func (b *responseBody) SupportsBodyWriteTo() bool { return true }

// Close implements io.Closer. Its error makes fasthttp close the connection, with
// the response visibly incomplete: nothing is ever appended to a broken one.
func (b *responseBody) Close() (err error) {
	err = errPanicked // what is returned after a panic
	defer b.g.recovered(nil, b.client)
	r := &b.client.request
	if r.answer == nil {
		return nil
	}
	outcome := r.answer.outcome()
	r.brokenOff = r.answer.err
	if aborted := r.answer.Close(); aborted {
		b.client.linger.Store(true)
		outcome = scheduler.Unmeasured
	}
	r.answer = nil
	r.slot.release(outcome)
	if errors.Is(r.life.Err(), errClientLeft) {
		b.status = statusClientClosed
	} else if r.brokenOff != nil {
		b.g.log.Warn("response broken off", "upstream", r.upstream.name, "error", r.brokenOff)
	}
	b.g.finish(b.status, b.client, r)
	return r.brokenOff
}
