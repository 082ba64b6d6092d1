package gateway

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/broker"
)

// publishPatience is how long a request waits for the broker's confirmation.
const publishPatience = 5 * time.Second

// enqueue turns the request into a message and answers 202 after the broker has
// confirmed it, or with the app's answer if the client waits for that and it
// comes in time.
//
// The message has no deadline but the one that the client asked for: the class's
// own is about clients that wait for the answer.
func (g *Gateway) enqueue(ctx *fasthttp.RequestCtx, r *request, q *queue) error {
	if deadline := r.trail.Deadline; !deadline.IsZero() && !time.Now().Before(deadline) && !r.gen.config.DryRun {
		return &failure{reason: reasonDeadline, err: errDeadline}
	}
	body, err := r.readBody(ctx, q.maxBody)
	if err != nil {
		return err
	}
	patience, cancel := context.WithTimeout(&r.life, publishPatience)
	defer cancel()
	e, repeated, err := g.admit(patience, ctx, r, q, body)
	if err == nil && (!repeated || e.Unpublished && !e.State.ended()) {
		m := &broker.Message{ID: e.ID, Class: e.Class, Header: g.messageHeader(ctx, r), Body: body}
		err = g.publish(patience, r, q, e, m)
	}
	if err != nil {
		if cause := r.life.Err(); cause != nil {
			return cause
		}
		g.metrics.jobsRefused.WithLabelValues(q.name, r.trail.Class, asFailure(err).reason).Inc()
		return err
	}
	return g.accept(ctx, r, e)
}

// accept answers for a job that is published.
func (g *Gateway) accept(ctx *fasthttp.RequestCtx, r *request, e *entry) error {
	defer g.expose(ctx, r)
	wait := preferredWait(r.fields)
	if e.book == nil {
		wait = 0 // nobody would tell
	}
	if wait > 0 {
		if err := g.await(r, e, wait); err != nil {
			return err
		}
	}
	if wait == 0 || !e.State.ended() || g.replay(ctx, e) != nil {
		writeJob(ctx, fasthttp.StatusAccepted, &e.job)
		ctx.Response.Header.Set("Location", jobsPrefix+e.ID)
	}
	if wait > 0 {
		setApplied(ctx, wait)
	}
	return nil
}

// admit makes the request a job that has yet to be published, or finds the one
// that it repeats.
//
// A request is the same job as an earlier one of the same client under the same
// Idempotency-Key. Clients are told apart by their credentials and flow header,
// as their addresses may change.
func (g *Gateway) admit(patience context.Context, ctx *fasthttp.RequestCtx, r *request, q *queue, body []byte) (e *entry, repeated bool, err error) {
	e = &entry{book: q.book, keep: q.keepResults}
	created := record{job: job{
		ID: rand.Text(), State: jobQueued, Class: r.trail.Class, Queue: q.name, Created: now(),
	}}
	if key, ok := r.fields.lookup("Idempotency-Key"); ok && key != "" {
		owner, _ := r.fields.lookup("Authorization")
		flow, _ := r.fields.lookup(r.gen.config.Flow.Header)
		sum := sha256.New()
		for _, part := range []string{alias(ctx.Method()), alias(ctx.RequestURI()), alias(body)} {
			fmt.Fprintf(sum, "%d:%s", len(part), part)
		}
		created.Unpublished = true
		created.Print = base64.RawStdEncoding.EncodeToString(sum.Sum(nil))
		parts := []string{q.name, owner, flow, key}
		var secret []byte
		if e.book == nil {
			// Nothing remembers the request but the broker, by its id: one that
			// differs must be another job, better done twice than never.
			parts = append(parts, created.Print)
		} else {
			if secret, err = e.book.secret(patience); err != nil {
				return nil, false, g.notAccepted(q, err)
			}
		}
		created.ID = keyedID(secret, parts...)
	}
	err = e.change(patience, created.ID, func(old *record) bool {
		if repeated = old.ID != "" && !old.Withdrawn; repeated {
			return false
		}
		*old = created
		return true
	})
	if err != nil {
		return nil, false, g.notAccepted(q, err)
	}
	if e.Print != created.Print {
		return nil, false, &failure{
			reason: reasonBadRequest, status: fasthttp.StatusUnprocessableEntity,
			err: errors.New("the Idempotency-Key was used for another request before; take a new key for each"),
		}
	}
	return e, repeated, nil
}

// publish publishes the message of a job. If the broker refuses it, the record is
// taken back: whoever comes with the same Idempotency-Key begins anew. If it does
// not answer, the message may be stored, and whoever comes publishes it again.
func (g *Gateway) publish(patience context.Context, r *request, q *queue, e *entry, m *broker.Message) error {
	r.produced = production{start: time.Now(), id: m.ID, bytes: len(m.Body)}
	err := q.Publisher.Publish(patience, m)
	r.produced.end = time.Now()
	if err != nil {
		then := (*record).doubt
		if refusedByBroker(err) {
			then = (*record).withdraw
		}
		ctx, cancel := context.WithTimeout(context.Background(), publishPatience)
		defer cancel()
		if cerr := e.change(ctx, e.ID, then); cerr != nil {
			g.log.Warn("the record of a job that was not accepted stays", "queue", q.name, "error", cerr)
		}
		r.produced.err = g.notAccepted(q, err)
		return r.produced.err
	}
	if err := e.change(patience, e.ID, (*record).published); err != nil {
		return g.notAccepted(q, err)
	}
	return nil
}

// refusedByBroker reports whether a message was certainly not stored.
func refusedByBroker(err error) bool {
	return errors.Is(err, broker.ErrFull) || errors.Is(err, broker.ErrTooLarge) ||
		errors.Is(err, broker.ErrUnknownClass) || errors.Is(err, broker.ErrInvalid)
}

// notAccepted is why a job was refused, for the client; the rest is for the log.
func (g *Gateway) notAccepted(q *queue, err error) error {
	q.refusals.Do(func() {
		g.log.Warn("job not accepted; more of these are logged once a second", "queue", q.name, "error", err)
	})
	if errors.Is(err, broker.ErrFull) || errors.Is(err, broker.ErrTooLarge) {
		return err
	}
	return &failure{reason: reasonBrokerUnavailable, err: err}
}

// jobsPrefix is where the status of jobs is read.
const jobsPrefix = ownPrefix + "jobs/"

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
		return nil, (&clientBodyError{err}).failure()
	case int64(len(body)) > limit:
		return nil, tooLarge
	case ctx.Request.Header.ContentLength() > len(body):
		return nil, &failure{reason: reasonBadRequest, err: &clientBodyError{io.ErrUnexpectedEOF}}
	}
	return body, nil
}
