package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"overtake/broker"
	"overtake/scheduler"
)

// This file is what becomes of a message: steps 2, 5 and 6 of the package
// comment.

// What became of a delivery, as the metrics have it.
const (
	deliveryDone      = "done"
	deliveryRetry     = "retry"
	deliveryDead      = "dead"
	deliveryCancelled = "cancelled"
	deliveryReturned  = "returned"
	deliveryUnsettled = "unsettled"
)

var deliveryResults = []string{deliveryDone, deliveryRetry, deliveryDead, deliveryCancelled, deliveryReturned, deliveryUnsettled}

// lookUp returns what is known of the message's job, which it revives if it was
// replayed. While the records' store is away it waits; it returns nil if ctx ended
// first.
func (c *courier) lookUp(ctx context.Context, d *broker.Delivery) *entry {
	e := &entry{keep: c.q.keepResults}
	if isJobID(d.ID) {
		e.book = c.q.book
	}
	replayed := d.Header.Get(broker.HeaderReplayed)
	look := func() error {
		if err := e.load(ctx, d.ID); err != nil || replayed == "" {
			return err
		}
		return e.change(ctx, d.ID, func(r *record) bool { return r.revive(replayed) })
	}
	if !c.insist(ctx, look) {
		return nil
	}
	if e.ID == "" { // its client never got a 202, or it is older than records get
		e.job = job{ID: d.ID, State: jobQueued, Class: c.name, Queue: c.q.name, Created: d.Published.UTC()}
		e.Replayed = replayed
	}
	return e
}

// insist calls f, which asks the records' store, until it succeeds. It reports
// false if ctx ended first.
func (c *courier) insist(ctx context.Context, f func() error) bool {
	for try := 0; ; try++ {
		err := f()
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		c.storeAway(err)
		if !pause(ctx, min(backoff(try), awayBackoff)) {
			return false
		}
	}
}

// storeAway logs that the records' store does not do what it is asked.
func (c *courier) storeAway(err error) {
	c.complaints.Do(func() {
		c.log.Warn("the state of a job can't be read or written, its message waits; more of these are logged once a second", "error", err)
	})
}

// settle decides by the app's answer: 2xx is done; what is dead by the queue's
// configuration is dead; all else comes again when the app says, or after a
// growing pause.
func (c *courier) settle(d *broker.Delivery, e *entry, out outcome, err error) {
	after := out.after
	if after == 0 {
		after = backoff(d.Attempt - 1)
	}
	var shed *scheduler.ShedError // while it waited for another server than the first
	status := 0
	if out.answer != nil {
		status = out.answer.Status
	}
	claimed := e.Started
	end := func(state jobState, reason string) {
		c.conclude(d, e, 0, func(r *record) bool {
			r.answered(out.answer, out.name)
			return r.finish(state, reason, now())
		})
	}
	switch {
	case errors.Is(err, errNotClaimed):
		c.settleBy(d, e, 0)
	case errors.Is(err, errCutOff), errors.Is(err, errCancelled), errors.As(err, &shed):
		c.unworked(d, e, err)
	case err == nil && status >= 200 && status < 300:
		end(jobDone, "")
	case err == nil && c.q.dead(status):
		end(jobFailed, fmt.Sprintf("the app answered %d", status))
	case d.Attempt >= c.q.attempts && err != nil:
		end(jobFailed, fmt.Sprintf("attempt %d of %d failed: %v", d.Attempt, c.q.attempts, err))
	case d.Attempt >= c.q.attempts:
		end(jobFailed, fmt.Sprintf("attempt %d of %d: the app answered %d", d.Attempt, c.q.attempts, status))
	default:
		why := fmt.Sprintf("the app answered %d", status)
		if err != nil {
			why = err.Error()
		}
		c.log.Info("delivery failed, comes again", "id", d.ID, "attempt", d.Attempt, "after", after, "reason", why)
		c.conclude(d, e, after, func(r *record) bool {
			r.answered(out.answer, out.name)
			return r.requeue(claimed, why)
		})
	}
}

// unworked settles a message that got no slot, or whose work was cut off.
func (c *courier) unworked(d *broker.Delivery, e *entry, err error) {
	var shed *scheduler.ShedError
	if errors.As(err, &shed) && shed.Reason == scheduler.Deadline {
		c.conclude(d, e, 0, func(r *record) bool { return r.finish(jobFailed, reasonDeadline, now()) })
		return
	}
	// Shutting down: the next gateway gets it. Or the record has ended, and says
	// so when it is changed.
	claimed := e.Started
	c.conclude(d, e, 0, func(r *record) bool { return r.requeue(claimed, "") })
}

// conclude changes the record and settles the message by what it says then.
// While the records' store is away it waits, but not for long in a drain; then the
// message comes again.
func (c *courier) conclude(d *broker.Delivery, e *entry, after time.Duration, f func(*record) bool) {
	change := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), settleWithin)
		defer cancel()
		return e.change(ctx, d.ID, f)
	}
	if !c.insist(c.g.patient, change) {
		c.log.Warn("message not settled; it will come again", "id", d.ID)
		c.g.metrics.deliveries.WithLabelValues(c.q.name, c.name, deliveryUnsettled).Inc()
		return
	}
	c.settleBy(d, e, after)
}

// settleBy settles a message by its record. after is for a job that has not
// ended: 0 gives the message back at once.
func (c *courier) settleBy(d *broker.Delivery, e *entry, after time.Duration) {
	switch {
	case e.State == jobDone:
		c.settled(d, deliveryDone, d.Done)
	case e.State == jobFailed:
		c.log.Warn("message is dead", "id", d.ID, "attempt", d.Attempt, "reason", e.Reason)
		c.settled(d, deliveryDead, func(ctx context.Context) error { return d.Dead(ctx, e.Reason) })
	case e.State == jobCancelled && !e.Settled:
		c.conclude(d, e, 0, (*record).settle)
	case e.State == jobCancelled:
		c.settled(d, deliveryCancelled, d.Done)
	case after == 0:
		c.settled(d, deliveryReturned, func(ctx context.Context) error { return d.Retry(ctx, 0) })
	default:
		c.settled(d, deliveryRetry, func(ctx context.Context) error { return d.Retry(ctx, after) })
	}
}

// settled tells the broker what became of a message. If that fails, the message
// comes again, under the same id.
func (c *courier) settled(d *broker.Delivery, result string, tell func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), settleWithin)
	defer cancel()
	if err := tell(ctx); err != nil {
		c.log.Warn("message not settled; it will come again", "id", d.ID, "result", result, "error", err)
		result = deliveryUnsettled
	}
	c.g.metrics.deliveries.WithLabelValues(c.q.name, c.name, result).Inc()
}

// now is the present time as records have it.
func now() time.Time { return time.Now().UTC().Round(0) }
