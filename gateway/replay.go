package gateway

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/valyala/fasthttp"

	"overtake/broker"
)

// errAnswerTooLarge stops the storing of an answer.
var errAnswerTooLarge = errors.New("larger than the queue keeps")

// capture reads an answer as it is stored: its header as the client of a job will
// see it, and then the body, up to max bytes.
type capture struct {
	*answer
	head  []byte
	max   int64
	bytes int64 // of the body, so far
	ended func()
}

// Read implements io.Reader.
func (c *capture) Read(p []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	n, err := c.answer.Read(p)
	c.bytes += int64(n)
	if err == io.EOF {
		c.ended()
	}
	if c.bytes > c.max {
		return n, errAnswerTooLarge
	}
	return n, err
}

// keepAnswer reads the answer to its end and stores it if the job has a record.
// ended is called when the app has nothing left to do. The error is that of
// reading; where only storing failed, the answer says so.
func (c *courier) keepAnswer(a *answer, e *entry, ended func()) (*jobAnswer, string, error) {
	in := &capture{answer: a, max: c.q.maxAnswer, ended: ended}
	out := &jobAnswer{Status: a.header.StatusCode()}
	var name string
	var err error
	if e.book != nil && a.left <= c.q.maxAnswer {
		in.head = answerHead(a.header)
		name = rand.Text()
		err = e.book.answers.SaveAnswer(context.Background(), name, in) // ends with the answer, or its reader
	} else {
		err = errAnswerTooLarge
	}
	out.Kept = err == nil
	if !a.ended && a.err == nil {
		in.head, in.max = nil, 1<<62
		_, _ = io.Copy(io.Discard, in) // its error stays in a
	}
	out.Bytes = in.bytes
	switch {
	case a.err != nil:
		return nil, "", a.err
	case errors.Is(err, broker.ErrTooLarge):
		out.Lost = "larger than half of what its broker has for answers"
	case errors.Is(err, errAnswerTooLarge):
		out.Lost = fmt.Sprintf("larger than the %d bytes that the queue keeps", c.q.maxAnswer)
	case err != nil:
		c.log.Warn("the answer to a job can't be kept", "id", e.ID, "error", err)
		out.Lost = "it could not be stored"
	}
	return out, name, nil
}

// answerHead is the header of an answer without what was for the gateway only.
// fasthttp's own serialization would put today's date into it.
func answerHead(h *fasthttp.ResponseHeader) []byte {
	cleanResponse(h)
	head := append([]byte("HTTP/1.1 "), strconv.Itoa(h.StatusCode())...)
	head = append(append(append(head, ' '), h.StatusMessage()...), "\r\n"...)
	for name, value := range h.All() {
		if !hopByHop(alias(name)) {
			head = appendField(head, alias(name), alias(value))
		}
	}
	return append(head, "\r\n"...)
}

// errNoAnswer: there is none to replay, though the job has ended.
var errNoAnswer = errors.New("gateway: no answer is kept")

// replay answers with what the app has answered to the job.
func (g *Gateway) replay(ctx *fasthttp.RequestCtx, e *entry) error {
	if e.Answer == nil || !e.Answer.Kept {
		return errNoAnswer
	}
	stored, err := e.book.answers.OpenAnswer(g.cutOff, e.AnswerName)
	if errors.Is(err, broker.ErrGone) {
		return errNoAnswer
	}
	if err != nil {
		return err
	}
	br := bufio.NewReaderSize(stored, 2*bufferSize) // the header fitted into one
	if err := ctx.Response.Header.Read(br); err != nil {
		return fmt.Errorf("gateway: kept answer of job %s: %w", e.ID, err)
	}
	ctx.Response.Header.ResetConnectionClose() // it was kept without a length, which is known all the same
	ctx.Response.SetBodyStream(io.LimitReader(br, e.Answer.Bytes), int(e.Answer.Bytes))
	return nil
}
