package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/time/rate"

	"overtake/broker"
	"overtake/classifier"
	"overtake/scheduler"
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
	g       *Gateway
	q       *queue
	class   classifier.Class
	name    string        // of the class
	log     *slog.Logger  // knows the lane
	working atomic.Int32  // messages in hand; only run adds to them
	freed   chan struct{} // of capacity 1: working has become less
	away    atomic.Bool   // the app could not be reached the last time
	wg      sync.WaitGroup

	complaints rate.Sometimes // how often the records' store is complained of
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
		taken := time.Now()
		c.working.Add(1)
		e := c.lookUp(ctx, d)
		if e == nil { // shutting down, with the records' store away
			c.settled(d, deliveryReturned, func(ctx context.Context) error { return d.Retry(ctx, 0) })
			c.done()
			continue
		}
		if e.State.ended() {
			c.settleBy(d, e, 0)
			c.done()
			continue
		}
		h := c.handle(d, e, taken)
		if err := h.slot.acquire(ctx); err != nil {
			c.unworked(d, e, err)
			c.end(h)
			continue
		}
		c.wg.Go(func() {
			defer c.end(h)
			c.deliver(ctx, h)
		})
	}
}

// end is called when a message that was handled is in hand no more.
func (c *courier) end(h *handling) {
	now := time.Now()
	recorded := c.record(now, h)
	c.show(now, h, recorded)
	h.gen.leave()
	c.done()
}

// mayTake reports whether another message may be taken in hand. The limit may
// change at any time: it grows by work that is done, so that whoever waits for
// fewer in hand looks again in time.
func (c *courier) mayTake() bool {
	u := c.g.present.Load().upstreams[c.q.deliverTo]
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

// deliver hands the message to the app and settles it by the answer. It owns the
// slot. While the app can't be reached, the message stays in hand and no
// attempt is counted: nobody has seen it. Then it goes on with the present
// generation, which may say where the app is now.
func (c *courier) deliver(ctx context.Context, h *handling) {
	d, e, s := h.Delivery, h.job, &h.slot
	if !d.Published.IsZero() { // else the broker does not tell
		h.waited, h.counted = time.Since(d.Published), true
		c.g.metrics.messageWaited(c.q.name, c.name, h.waited)
	}
	h.trail.Class = c.name
	if c.g.provenance != nil {
		ticket := c.g.provenance.Remember(time.Now(), &h.trail, c.class)
		defer func() { c.g.provenance.Ended(time.Now(), ticket) }()
	}
	// Whatever becomes of this message, the next one may look for the app.
	defer c.away.Store(false)
	for try := 0; ; try++ {
		o, err := c.outbound(h)
		if err != nil {
			s.release(scheduler.Unmeasured)
			c.conclude(d, e, 0, func(r *record) bool { return r.finish(jobFailed, err.Error(), now()) })
			return
		}
		out, err := c.attempt(ctx, d, e, o, s)
		h.timing = out.timing
		if !c.unsent(ctx, d, e, err) {
			if err == nil && c.away.Swap(false) {
				c.log.Info("the app is back")
			}
			c.settle(d, e, out, err)
			return
		}
		if e.State.ended() || !pause(ctx, min(backoff(try), awayBackoff)) {
			c.settleBy(d, e, 0)
			return
		}
		h.gen.leave()
		h.use(c.g.enter(), c.q)
		if err = s.acquire(ctx); err != nil {
			c.unworked(d, e, err)
			return
		}
	}
}

// unsent reports whether an attempt that failed is none, as the app has not seen it:
// its slot is for others until there is another one. If ctx ends, the job may still
// say that it is running.
func (c *courier) unsent(ctx context.Context, d *broker.Delivery, e *entry, err error) bool {
	if errors.Is(err, errStoreAway) {
		c.storeAway(err)
		return true
	}
	var f *failure
	if !errors.As(err, &f) || f.reason != reasonConnectFailed {
		return false
	}
	if !c.away.Swap(true) {
		c.log.Warn("the app can't be reached; messages wait", "error", err)
	}
	claimed := e.Started
	c.insist(ctx, func() error {
		return e.change(ctx, d.ID, func(r *record) bool { return r.requeue(claimed, reasonConnectFailed) })
	})
	return true
}

// outcome is what an attempt came to: the app's answer, where it is kept, and
// its Retry-After and Server-Timing.
type outcome struct {
	answer *jobAnswer
	name   string
	after  time.Duration
	timing string
}

// Why an attempt ended that the app had no part in.
var (
	// errCancelled: the job has been cancelled, or ended by another gateway.
	errCancelled = errors.New("gateway: the job has ended meanwhile")
	// errNotClaimed: the same, before the app saw it, or the shutdown began.
	errNotClaimed = errors.New("gateway: the job was not claimed")
	// errStoreAway: it could not be claimed now, as its state can't be written.
	errStoreAway = errors.New("gateway: claim the job")
)

// attempt claims the job and sends it to the app, for which it uses up the slot.
// It watches for a cancellation from before the claim on, so that none slips
// through.
func (c *courier) attempt(ctx context.Context, d *broker.Delivery, e *entry, o *outbound, s *slot) (out outcome, err error) {
	defer s.release(scheduler.Unmeasured)
	life := new(lifetime)
	defer func() {
		if p := recover(); p != nil {
			c.g.logPanic(p)
			life.end(errPanicked) // closes the connection of an exchange that broke off
			out, err = outcome{}, errPanicked
		}
	}()
	defer context.AfterFunc(c.g.cutOff, func() { life.end(errCutOff) })()
	if e.book != nil {
		defer e.book.records.Watch(d.ID, func() { life.end(errCancelled) })()
	}
	err = e.change(ctx, d.ID, func(r *record) bool { return r.claim(d.Attempt, now()) })
	if err != nil && ctx.Err() == nil {
		return out, fmt.Errorf("%w: %w", errStoreAway, err)
	}
	if err != nil || e.State.ended() {
		return out, errNotClaimed
	}
	var header fasthttp.ResponseHeader
	header.DisableNormalizing()
	header.SetNoDefaultContentType(true)
	a, err := s.upstream.do(life, s, o, &header, false)
	if err != nil {
		return out, err
	}
	for name, value := range header.All() {
		if strings.EqualFold(alias(name), "Retry-After") {
			out.after = parseRetryAfter(string(value))
		}
	}
	out.timing = serverTiming(&header)
	ended := func() {
		s.release(a.outcome())
		a.Close()
	}
	defer ended()
	out.answer, out.name, err = c.keepAnswer(a, e, ended)
	return out, err
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
