package gateway

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/broker"
)

// publishPatience is how long a request waits for the broker's confirmation.
const publishPatience = 5 * time.Second

// job is the body of a 202.
type job struct {
	ID    string `json:"id"`
	State string `json:"state"`
	Class string `json:"class"`
}

// enqueue turns the request into a message and answers 202 after the broker has
// confirmed it.
//
// The message has no deadline but the one that the client asked for: the class's
// own is about clients that wait for the answer.
func (g *Gateway) enqueue(ctx *fasthttp.RequestCtx, r *request, q *queue) error {
	if deadline := r.trail.Deadline; !deadline.IsZero() && !time.Now().Before(deadline) && !g.config.DryRun {
		return &failure{reason: reasonDeadline, err: errDeadline}
	}
	body, err := r.readBody(ctx, q.maxBody)
	if err != nil {
		return err
	}
	m := &broker.Message{ID: g.jobID(ctx, q, r, body), Class: r.trail.Class, Header: g.messageHeader(ctx, r), Body: body}
	patience, cancel := context.WithTimeout(&r.life, publishPatience)
	defer cancel()
	if err := q.Publisher.Publish(patience, m); err != nil {
		if cause := r.life.Err(); cause != nil {
			return cause
		}
		g.log.Warn("job not accepted", "queue", q.name, "class", m.Class, "error", err)
		return publishFailure(err)
	}
	answer, err := json.Marshal(job{ID: m.ID, State: "queued", Class: m.Class})
	if err != nil {
		return err
	}
	ctx.SetStatusCode(fasthttp.StatusAccepted)
	ctx.Response.Header.SetContentType("application/json")
	ctx.Response.Header.Set("Location", jobsPrefix+m.ID)
	ctx.Response.SetBodyRaw(answer)
	g.expose(ctx, r)
	return nil
}

// jobsPrefix is where the status of jobs is read.
const jobsPrefix = ownPrefix + "jobs/"

func publishFailure(err error) error {
	if errors.Is(err, broker.ErrFull) || errors.Is(err, broker.ErrTooLarge) {
		return err
	}
	return &failure{reason: reasonBrokerUnavailable, err: err}
}

// readBody reads the whole body, up to limit bytes.
func (r *request) readBody(ctx *fasthttp.RequestCtx, limit int64) ([]byte, error) {
	tooLarge := &failure{
		reason: reasonBadRequest, status: fasthttp.StatusRequestEntityTooLarge,
		err: fmt.Errorf("the queue takes bodies of up to %d bytes", limit),
	}
	if r.bodyRead == nil {
		return nil, nil
	}
	if int64(ctx.Request.Header.ContentLength()) > limit {
		return nil, tooLarge
	}
	body, err := io.ReadAll(io.LimitReader(r.bodyRead, limit+1))
	switch {
	case err != nil:
		return nil, &failure{reason: reasonBadRequest, err: &clientBodyError{err}}
	case int64(len(body)) > limit:
		return nil, tooLarge
	case ctx.Request.Header.ContentLength() > len(body):
		return nil, &failure{reason: reasonBadRequest, err: &clientBodyError{io.ErrUnexpectedEOF}}
	}
	return body, nil
}

// jobID is a new identifier, or the same one for a request that repeats another
// of the same client under the same Idempotency-Key: the broker then keeps only
// the first. Clients are told apart by their credentials and flow header, as
// their addresses may change. A request that differs under the same key is
// another job: better done twice than never.
func (g *Gateway) jobID(ctx *fasthttp.RequestCtx, q *queue, r *request, body []byte) string {
	key, ok := r.fields.lookup("Idempotency-Key")
	if !ok || key == "" {
		return rand.Text()
	}
	owner, _ := r.fields.lookup("Authorization")
	flow, _ := r.fields.lookup(g.flowHeader)
	sum := sha256.New()
	for _, part := range []string{q.name, owner, flow, key, alias(ctx.Method()), alias(ctx.RequestURI()), alias(body)} {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}
