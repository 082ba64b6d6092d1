package gateway

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/scheduler"
)

// retryResult is what became of a request that failed on one server.
type retryResult uint8

const (
	retryAnswered retryResult = iota // another server answered
	retryFailed                      // another server failed it, too
	retryNoServer                    // no other server had room for it
	retryNoBudget                    // too many have been sent again of late
	numRetryResults
)

// String is the result as the metrics have it.
func (r retryResult) String() string {
	return [...]string{"answered", "failed", "no_server", "no_budget"}[r]
}

// retries counts what became of the requests that failed on one server.
type retries [numRetryResults]atomic.Uint64

// call is one request on its way through the servers of an upstream.
type call struct {
	u          *upstream
	life       *lifetime
	slot       *slot
	out        *outbound
	idempotent bool

	until   time.Time // when the answer must have begun, whatever is tried
	began   time.Time // of the present try
	tried   []bool    // by server; nil while none has failed
	sent    int       // how often something of it was sent
	retried bool      // this is not its first server
}

// do sends o to the server of the slot, which must be held, and to others if that
// fails and a rule allows it:
//
//   - nothing of the request was sent, as no connection could be made: each server
//     once;
//   - the method is idempotent (RFC 9110 section 9.2.2), no byte of a response came,
//     and the body is at hand: as often as the configuration says, within its budget;
//   - the same, on a connection that was kept and proved to be closed: once more, by a
//     new connection to the same server.
//
// The slot is held afterwards if there is an answer, and only then.
func (u *upstream) do(life *lifetime, s *slot, o *outbound, header *fasthttp.ResponseHeader, idempotent bool) (*answer, error) {
	c := call{u: u, life: life, slot: s, out: o, idempotent: idempotent, began: time.Now()}
	c.until = c.began.Add(u.timeout)
	if err := c.prepare(); err != nil {
		s.release(scheduler.Unmeasured)
		return nil, err
	}
	for {
		on := s.lease.Server
		s.tried(u.servers[on])
		o.answerBy = c.until
		if o.tryTimeout = u.tryTimeout; o.tryTimeout > 0 && c.began.Add(o.tryTimeout).Before(c.until) {
			o.answerBy = c.began.Add(o.tryTimeout)
		}
		a, err := exchange(life, u.servers[on], o, header)
		if err == nil {
			s.journal.answered(header.StatusCode())
			c.answered(on, header)
			return a, nil
		}
		s.journal.ended(time.Now(), err)
		if err = c.failed(on, err); err != nil {
			return nil, err
		}
	}
}

// prepare makes ready for a second try.
func (c *call) prepare() error {
	if c.u.budget == nil {
		return nil
	}
	c.u.budget.request()
	o := c.out
	if !c.idempotent || o.body == nil || o.streamed {
		return nil
	}
	body := make([]byte, o.length)
	if _, err := io.ReadFull(o.body, body); err != nil {
		return (&clientBodyError{err}).failure()
	}
	o.head, o.body = append(o.head, body...), nil
	return nil
}

// answered notes what the status says about the server. A hop behind this one that
// sheds load is well.
func (c *call) answered(on int, header *fasthttp.ResponseHeader) {
	u := c.u
	u.took(c.began)
	if c.retried {
		u.retries[retryAnswered].Add(1)
	}
	if u.unrouted {
		return
	}
	switch status := header.StatusCode(); {
	case (status == fasthttp.StatusServiceUnavailable || status == fasthttp.StatusGatewayTimeout) && shedBehind(header):
	case status == fasthttp.StatusBadGateway, status == fasthttp.StatusServiceUnavailable, status == fasthttp.StatusGatewayTimeout:
		u.note(on, func(h *health, now time.Time, last bool) { h.answerFailed(now, c.began, last, statusError(status)) })
	case u.servers[on].failing.Load():
		u.note(on, func(h *health, _ time.Time, _ bool) { h.answered() })
	}
}

// statusError is a status that counts as a failure of the server.
type statusError int

func (s statusError) Error() string {
	return "gateway: answered with " + fasthttp.StatusMessage(int(s))
}

// shedBehind reports whether an answer is the refusal of another Overtake that has
// too much to do, or whose request has no time left.
func shedBehind(header *fasthttp.ResponseHeader) bool {
	reason := alias(header.Peek("Overtake-Reason"))
	if reason == reasonDeadline {
		return true
	}
	return reason != scheduler.Draining.String() && slices.ContainsFunc(scheduler.Reasons(), func(r scheduler.Reason) bool {
		return strings.EqualFold(r.String(), reason)
	})
}

// failed decides what follows from an error: nil if the request is to be sent again,
// with the slot that is held then; otherwise what it failed with.
func (c *call) failed(on int, err error) error {
	var f *failure
	if !errors.As(err, &f) {
		c.slot.release(scheduler.Unmeasured) // the request has ended
		return err
	}
	if f.far != unsent {
		c.sent++
	}
	hurried := c.hurried()
	if outcomeOf(err, hurried) == scheduler.Done {
		c.u.took(c.began) // at least so long
	}
	c.u.blame(on, c.began, hurried, f) // first, so that nobody gets the slot who would fail as well
	switch {
	case errors.Is(f.err, errStale) && (f.far == unsent && c.rewound() || c.idempotent && c.out.body == nil):
		c.out.fresh = true
		return nil
	case f.far == unsent && c.rewound():
		c.slot.release(scheduler.Unmeasured)
		return c.elsewhere(on, err, false)
	case c.maySendAgain(f):
		c.slot.release(outcomeOf(err, hurried))
		return c.elsewhere(on, err, true)
	}
	c.slot.release(outcomeOf(err, hurried))
	return c.over(retryFailed, err)
}

// hurried reports whether the present try has only the time that those before it left.
func (c *call) hurried() bool { return c.retried && c.out.answerBy.Equal(c.until) }

// over counts the end of a request that had been sent on to another server before.
func (c *call) over(result retryResult, err error) error {
	if c.retried || result != retryFailed {
		c.u.retries[result].Add(1)
	}
	return err
}

// maySendAgain reports whether a request that was sent may be sent again.
func (c *call) maySendAgain(f *failure) bool {
	return c.u.budget != nil && c.sent < c.u.attempts && c.idempotent && c.out.body == nil && f.far == unanswered &&
		(f.reason == reasonUpstreamFailed || f.reason == reasonUpstreamTimeout)
}

// rewound makes the body, if there is one, ready to be sent from its beginning when
// nothing was sent, and reports whether that is possible.
func (c *call) rewound() bool {
	if c.out.body == nil || !c.out.bodyTaken {
		return true
	}
	if again, ok := c.out.body.(io.Seeker); ok {
		_, err := again.Seek(0, io.SeekStart)
		return err == nil
	}
	return false
}

// elsewhere acquires a slot of a server that has not been tried, in class order. If
// there is none, or no time or budget for it, it returns the error with which the
// last one failed.
func (c *call) elsewhere(on int, failed error, budgeted bool) error {
	if c.tried == nil {
		c.tried = make([]bool, len(c.u.servers))
	}
	c.tried[on] = true
	switch now := time.Now(); {
	case !slices.Contains(c.tried, false) || !now.Before(c.until):
		return c.over(retryFailed, failed)
	case !c.u.leaves(c.tried):
		return c.over(retryNoServer, failed)
	case budgeted && !c.u.budget.take(now):
		return c.over(retryNoBudget, failed)
	}
	c.slot.work.Avoid = c.tried
	ctx, cancel := context.WithDeadlineCause(c.life, c.until, failed)
	defer cancel()
	if err := c.slot.acquire(ctx); err != nil {
		return c.over(retryFailed, err)
	}
	switch {
	case c.tried[c.slot.lease.Server]:
		c.slot.release(scheduler.Unmeasured)
		return c.over(retryNoServer, failed)
	case !c.slot.got.Before(c.until):
		c.slot.release(scheduler.Unmeasured)
		return c.over(retryFailed, failed)
	}
	c.retried, c.began = true, c.slot.got
	return nil
}
