// Package inflight follows the calls of one sender whose answers are messages: from
// [Calls.Send] over their publication to the end of the work on them. Each call is
// finished exactly once, whatever comes of it and in which order that becomes known:
// done, failed by the broker, timed out, or unfinished when the run ended.
package inflight

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"overtake/loadgen"
	"overtake/loadgen/latest"
)

// Kinds of failure of messages, beside [loadgen.FailConnect], for what found no
// connection, and [loadgen.FailTimeout], for what was not consumed in time.
const (
	FailConnection = "connection" // lost before the broker had confirmed the message: it may still have come in
	FailNacked     = "nacked"     // refused by the broker
	FailUnroutable = "unroutable" // no queue or stream takes it
	FailTooLarge   = "too large"  // above what the broker takes
)

const (
	// lookEvery is how often calls are looked at for those whose time is over.
	lookEvery = 100 * time.Millisecond
	// remembered is how many of the calls done last are known to be done, so that
	// what is delivered again is noticed. A broker repeats what it has no
	// acknowledgement for: a few more than there are consumers.
	remembered = 1 << 14
)

// Calls are the calls of one sender. It is safe for concurrent use.
type Calls struct {
	more   chan struct{} // has one when there may be something to publish
	stop   chan struct{}
	sweeps sync.WaitGroup

	mu      sync.Mutex
	ended   bool
	open    map[string]*entry
	unsent  []*entry        // in order
	numbers map[string]span // of the calls that were sent, by class
	done    *latest.Map[loadgen.Call]
	foreign int    // messages that are not of this run
	example string // the id of one of them
}

// entry is a call that is not finished.
type entry struct {
	call     *loadgen.Call
	deadline time.Time
	writing  bool // its request is being read: it can't end by itself
	over     bool
}

type span struct{ first, last int64 }

// New starts following. End stops it.
func New() *Calls {
	c := &Calls{
		more:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
		open:    make(map[string]*entry),
		numbers: make(map[string]span),
		done:    latest.New[loadgen.Call](remembered),
	}
	c.sweeps.Go(c.sweep)
	return c
}

// Send takes a call that is to be published. It never waits. There is no bound:
// the engine has one.
func (c *Calls) Send(call *loadgen.Call) {
	if !c.add(call) {
		call.Finish(loadgen.Outcome{Kind: loadgen.OutcomeUnfinished, Queue: -1})
		return
	}
	select {
	case c.more <- struct{}{}:
	default: // it is known already
	}
}

func (c *Calls) add(call *loadgen.Call) bool {
	class, number := split(call.ID)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	e := &entry{call: call, deadline: time.Now().Add(call.Timeout)}
	c.open[call.ID] = e
	c.unsent = append(c.unsent, e)
	s, known := c.numbers[class]
	if !known {
		s = span{number, number}
	}
	c.numbers[class] = span{min(s.first, number), max(s.last, number)}
	return true
}

// split returns the two parts of an id: <class>/<number>.
func split(id string) (class string, number int64) {
	i := strings.LastIndexByte(id, '/')
	number, err := strconv.ParseInt(id[i+1:], 10, 64)
	if err != nil || i < 0 {
		return id, -1
	}
	return id[:i], number
}

// More receives after calls were sent. Who receives calls Next until that is nil.
func (c *Calls) More() <-chan struct{} { return c.more }

// Next returns the oldest call that is to be published, or nil. Its request may be
// read until Written or Fail is called with its id, which must come.
func (c *Calls) Next() *loadgen.Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.unsent) > 0 {
		e := c.unsent[0]
		c.unsent[0] = nil
		c.unsent = c.unsent[1:]
		if !e.over {
			e.writing = true
			return e.call
		}
	}
	c.unsent = nil // and its memory
	return nil
}

// Written says that the request of a call is no longer read.
func (c *Calls) Written(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.open[id]; e != nil {
		e.writing = false
	}
}

// Fail finishes a call as failed, if it is still open.
func (c *Calls) Fail(id, cause string) {
	c.finish(id, loadgen.Outcome{Kind: loadgen.OutcomeFailed, Cause: cause, Queue: -1})
}

// Refuse fails all calls that are to be published.
func (c *Calls) Refuse(cause string) {
	for call := c.Next(); call != nil; call = c.Next() {
		c.Fail(call.ID, cause)
	}
}

// Ours reports whether a message that arrived was sent by this run. One that was
// not is counted, see Foreign.
func (c *Calls) Ours(id string) bool {
	class, number := split(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.numbers[class]; ok && s.first <= number && number <= s.last {
		return true
	}
	if c.foreign == 0 {
		c.example = id
	}
	c.foreign++
	return false
}

// Done says that the work on a message of this run has ended. That is the success
// of its call, or a repetition if the call is among the latest that succeeded. A
// call that has failed meanwhile stays so.
func (c *Calls) Done(id string) {
	if before, repeated := c.finish(id, loadgen.Outcome{Kind: loadgen.OutcomeOK, Queue: -1, At: time.Now()}); repeated {
		before.Repeat()
	}
}

// finish ends a call that is open. Of one that is not, it returns the call if that is
// among the latest that succeeded. The outcome is told outside of the lock.
func (c *Calls) finish(id string, o loadgen.Outcome) (before loadgen.Call, done bool) {
	c.mu.Lock()
	e := c.open[id]
	if e == nil {
		before, done = c.done.Get(id)
	} else {
		delete(c.open, id)
		e.over = true
		if o.Kind == loadgen.OutcomeOK {
			call := *e.call
			call.Request = nil // may be large
			c.done.Put(id, call)
		}
	}
	c.mu.Unlock()
	if e != nil {
		e.call.Finish(o)
	}
	return before, done
}

// sweep fails the calls whose time is over, until the end.
func (c *Calls) sweep() {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-c.stop:
			return
		case now := <-ticker.C:
			for _, e := range c.expired(now) {
				e.call.Finish(loadgen.Outcome{Kind: loadgen.OutcomeFailed, Cause: loadgen.FailTimeout, Queue: -1, At: e.deadline})
			}
		}
	}
}

func (c *Calls) expired(now time.Time) (expired []*entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, e := range c.open {
		if !e.writing && e.call.Timeout > 0 && now.After(e.deadline) {
			e.over = true
			delete(c.open, id)
			expired = append(expired, e)
		}
	}
	if len(expired) > 0 { // who publishes may stand still, and ask for nothing
		c.unsent = slices.DeleteFunc(c.unsent, func(e *entry) bool { return e.over })
	}
	return expired
}

// End finishes what is open as unfinished, and so what is sent from now on. It must
// not be called while a request is read, see Next.
func (c *Calls) End() {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	c.ended = true
	left := c.open
	c.open, c.unsent = nil, nil
	c.mu.Unlock()
	close(c.stop)
	c.sweeps.Wait()
	for _, e := range left {
		e.call.Finish(loadgen.Outcome{Kind: loadgen.OutcomeUnfinished, Queue: -1})
	}
}

// Foreign returns an error if messages came that were not of this run: they had a
// share in the consumers, so its figures are not only of its own load.
func (c *Calls) Foreign() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.foreign == 0 {
		return nil
	}
	return fmt.Errorf("%d messages came that are not of this run, such as one with the id %q, and took their share of the consumers:"+
		" let nobody else publish there during a run", c.foreign, c.example)
}
