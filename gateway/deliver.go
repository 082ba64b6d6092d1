package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/broker"
	"overtake/classifier"
	"overtake/scheduler"
	"overtake/tracing"
)

// Delivery to the app: how long between two attempts, and how long the broker may
// take to settle a message.
const (
	firstBackoff = 500 * time.Millisecond
	lastBackoff  = time.Minute
	settleWithin = 10 * time.Second
)

// inHand is how many messages of one lane may be in hand, that is delivered to
// the gateway and not settled, when the upstream has so many slots: one being
// worked on and one being settled per slot. A gateway that is killed leaves no
// more than these in doubt. In a dry run nothing else keeps a lane from being
// emptied into the app at once: there it is one per slot.
func inHand(slots int, dryRun bool) int {
	if !dryRun {
		slots *= 2
	}
	return min(slots, 256)
}

// courier delivers the messages of one lane to the queue's upstream, through the
// same slots and in the same order as requests.
//
// It holds one message at a time that has no slot yet, the first of the lane,
// which stands in the scheduler for all behind it. So at most one message per
// lane and gateway has left the broker without being worked on, and lanes and
// requests are ordered by the scheduler alone.
type courier struct {
	q       *queue
	class   classifier.Class
	name    string // of the class
	metrics *metrics
	log     *slog.Logger
	working atomic.Int32  // messages in hand; only run adds to them
	freed   chan struct{} // of capacity 1: working has become less
	away    atomic.Bool   // the app could not be reached the last time
	cutOff  context.Context
	wg      sync.WaitGroup
}

// awayPause is how often a courier whose app is away looks whether it is back,
// and awayBackoff the longest pause between two attempts of one message then.
const (
	awayPause   = 100 * time.Millisecond
	awayBackoff = 5 * time.Second
)

// run delivers until ctx ends, and then waits for the deliveries under way.
func (c *courier) run(ctx context.Context) {
	defer c.wg.Wait()
	for ctx.Err() == nil {
		if c.away.Load() { // leave the messages in the broker
			pause(ctx, awayPause)
			continue
		}
		if !c.mayTake() {
			select {
			case <-c.freed:
			case <-ctx.Done():
			}
			continue
		}
		d, err := c.q.Consumer.Next(ctx, c.name)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, broker.ErrClosed) {
				return
			}
			c.log.Warn("can't take messages", "error", err)
			if !pause(ctx, firstBackoff) {
				return
			}
			continue
		}
		c.working.Add(1)
		trail := tracing.Extract(messageCarrier{d.Header})
		s := &slot{upstream: c.q.upstream, work: scheduler.Work{
			Class: c.class, Flow: c.q.flow, Deadline: trail.Deadline, Kept: true,
		}}
		if err := s.acquire(ctx); err != nil {
			c.unworked(d, err)
			c.done()
			continue
		}
		c.wg.Go(func() {
			defer c.done()
			c.deliver(ctx, d, &trail, s)
		})
	}
}

// mayTake reports whether another message may be taken in hand. The limit may
// change at any time: it grows by work that is done, so that whoever waits for
// fewer in hand looks again in time.
func (c *courier) mayTake() bool {
	u := c.q.upstream
	return int(c.working.Load()) < inHand(u.scheduler.Limit(), u.dryRun)
}

// done is called when a message is in hand no more.
func (c *courier) done() {
	c.working.Add(-1)
	select {
	case c.freed <- struct{}{}:
	default:
	}
}

// unworked settles a message that got no slot.
func (c *courier) unworked(d *broker.Delivery, err error) {
	var shed *scheduler.ShedError
	if errors.As(err, &shed) && shed.Reason == scheduler.Deadline {
		c.dead(d, reasonDeadline)
		return
	}
	// Shutting down: the next gateway gets it.
	c.settled(d, "returned", func(ctx context.Context) error { return d.Retry(ctx, 0) })
}

// deliver hands the message to the app and settles it by the answer. It owns the
// slot. While the app can't be reached, the message stays in hand and no
// attempt is counted: nobody has seen it.
func (c *courier) deliver(ctx context.Context, d *broker.Delivery, trail *tracing.Trail, s *slot) {
	c.metrics.messageWaited(c.q.name, c.name, time.Since(d.Published))
	trail.Class = c.name
	o, err := c.outbound(d, trail)
	if err != nil {
		s.release(scheduler.Unmeasured)
		c.dead(d, err.Error())
		return
	}
	for try := 0; ; try++ {
		status, after, err := c.send(o, s)
		var f *failure
		if err == nil || !errors.As(err, &f) || f.reason != reasonConnectFailed {
			if c.away.Swap(false) {
				c.log.Info("the app is back")
			}
			c.settle(d, status, after, err)
			return
		}
		if !c.away.Swap(true) {
			c.log.Warn("the app can't be reached; messages wait", "error", err)
		}
		if !pause(ctx, min(backoff(try), awayBackoff)) {
			c.unworked(d, ctx.Err())
			return
		}
		if err = s.acquire(ctx); err != nil {
			c.unworked(d, err)
			return
		}
	}
}

// send makes one attempt, for which it uses up the slot. It returns the status and
// the answer's Retry-After.
func (c *courier) send(o *outbound, s *slot) (status int, after time.Duration, err error) {
	var life lifetime
	defer context.AfterFunc(c.cutOff, func() { life.end(errCutOff) })()
	var header fasthttp.ResponseHeader
	header.DisableNormalizing()
	a, err := c.q.upstream.do(&life, s, o, &header, false)
	if err != nil {
		return 0, 0, err
	}
	status = header.StatusCode()
	for name, value := range header.All() {
		if strings.EqualFold(alias(name), "Retry-After") {
			after = parseRetryAfter(string(value))
		}
	}
	_, err = io.Copy(io.Discard, a)
	s.release(a.outcome())
	a.Close()
	return status, after, err
}

// settle decides by the app's answer: 2xx is done; 429 and 503 come again when
// the app says, other 5xx and failures after a growing pause; all else is dead,
// as the app will not change its mind.
func (c *courier) settle(d *broker.Delivery, status int, after time.Duration, err error) {
	if after == 0 {
		after = backoff(d.Attempt - 1)
	}
	var shed *scheduler.ShedError // while it waited for another server than the first
	switch {
	case errors.Is(err, errCutOff), errors.As(err, &shed):
		c.unworked(d, err)
	case err == nil && status >= 200 && status < 300:
		c.settled(d, "done", d.Done)
	case err == nil && status < 500 && status != fasthttp.StatusTooManyRequests:
		c.dead(d, fmt.Sprintf("the app answered %d", status))
	case d.Attempt >= c.q.attempts && err != nil:
		c.dead(d, fmt.Sprintf("attempt %d of %d failed: %v", d.Attempt, c.q.attempts, err))
	case d.Attempt >= c.q.attempts:
		c.dead(d, fmt.Sprintf("attempt %d of %d: the app answered %d", d.Attempt, c.q.attempts, status))
	default:
		why := fmt.Sprintf("the app answered %d", status)
		if err != nil {
			why = err.Error()
		}
		c.log.Info("delivery failed, comes again", "id", d.ID, "attempt", d.Attempt, "after", after, "reason", why)
		c.settled(d, "retry", func(ctx context.Context) error { return d.Retry(ctx, after) })
	}
}

func (c *courier) dead(d *broker.Delivery, reason string) {
	c.log.Warn("message is dead", "id", d.ID, "attempt", d.Attempt, "reason", reason)
	c.settled(d, "dead", func(ctx context.Context) error { return d.Dead(ctx, reason) })
}

// settled tells the broker what became of a message. If that fails, the message
// comes again, under the same id.
func (c *courier) settled(d *broker.Delivery, result string, tell func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), settleWithin)
	defer cancel()
	if err := tell(ctx); err != nil {
		c.log.Warn("message not settled; it will come again", "id", d.ID, "result", result, "error", err)
		result = "unsettled"
	}
	c.metrics.deliveries.WithLabelValues(c.q.name, c.name, result).Inc()
}

func backoff(try int) time.Duration {
	d := min(firstBackoff<<min(try, 10), lastBackoff)
	return d/2 + rand.N(d/2+1) // so that what failed together does not come again together
}

// parseRetryAfter reads seconds or a date, RFC 9110 section 10.2.3; 0 for
// neither.
func parseRetryAfter(value string) time.Duration {
	const most = time.Hour
	if s, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && s >= 0 {
		return time.Duration(min(s, int(most/time.Second))) * time.Second
	}
	if t, err := fasthttp.ParseHTTPDate([]byte(value)); err == nil {
		return max(0, min(time.Until(t), most))
	}
	return 0
}

// pause waits for d and reports false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
