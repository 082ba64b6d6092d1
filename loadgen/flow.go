package loadgen

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"overtake/loadgen/arrival"
	"overtake/loadgen/content"
)

// wakeEvery is how close two wake-ups of a schedule are at most. What is due in
// between is sent together: at 50,000 requests a second, five at a time, which
// is what leaves time for the rest. It is part of the lag, and so of latency.
const wakeEvery = 100 * time.Microsecond

// maxTogether is how many requests are sent together at most. A generator that is
// late reads answers after so many: the scheduler of the Go runtime looks at the
// network only when nothing else is ready to run.
const maxTogether = 64

// maxHelp is how many requests a reader sends before it goes back to its connection.
const maxHelp = 1

// never is when the next request is due after the last.
const never = time.Duration(math.MaxInt64)

// flow is one class at work. Its schedule is kept by the goroutine of run; while a
// busy core does not get round to that, readers of answers send what is due.
type flow struct {
	Class
	recorder *recorder
	limit    int64 // of outstanding
	start    time.Time
	end      time.Duration // of the schedule, since start
	sender   Sender
	pacer    *pacer

	outstanding atomic.Int64 // sent and not answered
	due         atomic.Int64 // next.At, or never

	mu       sync.Mutex // guards all below
	naming   naming
	schedule *arrival.Schedule
	content  *content.Generator
	next     arrival.Arrival
	n        int64 // number of next, from 0
}

// run starts the requests of f at their intended times, until f.end or until ctx
// of the pacer ends. It never waits for an answer; when it is late it sends at
// once what is due.
func (f *flow) run() {
	f.mu.Lock()
	f.advanceLocked()
	f.mu.Unlock()
	for awake := true; awake; {
		woken := time.Since(f.start)
		f.mu.Lock()
		f.sendDueLocked(maxTogether)
		f.mu.Unlock()
		due := time.Duration(f.due.Load())
		if due == never {
			return
		}
		wake := max(due, woken+wakeEvery)
		if now := time.Since(f.start); due <= now { // late: give way, and go on
			wake = now + time.Microsecond
		}
		awake = f.pacer.sleepUntil(f.start.Add(wake))
	}
	f.mu.Lock()
	f.due.Store(int64(never)) // for readers, too
	f.mu.Unlock()
}

// help sends a few requests that should have been sent already. A core that
// always has an answer to read polls the timer of the schedule seldom: readers
// that come across late requests start them as well.
func (f *flow) help() {
	if f == nil || time.Since(f.start)-wakeEvery < time.Duration(f.due.Load()) || !f.mu.TryLock() {
		return
	}
	defer f.mu.Unlock()
	f.sendDueLocked(maxHelp)
}

// sendDueLocked sends what is due, up to so many requests. The caller holds mu.
func (f *flow) sendDueLocked(most int) {
	for ; most > 0; most-- {
		now := time.Since(f.start)
		if time.Duration(f.due.Load()) > now {
			return
		}
		// Drawn also for one that is skipped: the n-th request is always the same.
		request, intended, n := overridden(f.content.Next(), f.next), f.next.At, f.n
		f.n++
		f.advanceLocked()
		if f.outstanding.Load() >= f.limit {
			f.recorder.skip(intended)
			continue
		}
		f.send(n, request, intended, now)
	}
}

// advanceLocked goes on to the next arrival. The caller holds mu.
func (f *flow) advanceLocked() {
	due := never
	if next, more := f.schedule.Next(); more && next.At < f.end {
		f.next, due = next, next.At
	}
	f.due.Store(int64(due))
}

// overridden returns r with what the arrival says of it.
func overridden(r *content.Request, a arrival.Arrival) *content.Request {
	if a.Method == "" && a.Target == "" {
		return r
	}
	with := *r
	if a.Method != "" {
		with.Method = a.Method
	}
	if a.Target != "" {
		with.Target = a.Target
	}
	return &with
}

func (f *flow) send(n int64, request *content.Request, intended, now time.Duration) {
	c := &Call{
		Class: &f.Class, Request: request, Timeout: f.Timeout,
		intended: intended, started: now, flow: f, finish: (*Call).record, repeat: (*Call).recordRepeat,
	}
	c.ID, c.TraceParent = f.naming.name(n)
	if own := ownTrace(request); own != "" {
		c.TraceParent = own
	}
	f.outstanding.Add(1)
	f.recorder.start(intended, now)
	f.sender.Send(c)
}

// record is how calls finish.
func (c *Call) record(o Outcome) {
	at := o.At
	if at.IsZero() {
		at = time.Now()
	}
	c.flow.recorder.finish(c, o, at.Sub(c.flow.start))
	c.release()
}

// accept records the 202 for a job, which is not outstanding any more.
func (c *Call) accept() {
	c.flow.recorder.accept(c.intended)
	c.release()
}

// recordRepeat is how calls are repeated.
func (c *Call) recordRepeat() { c.flow.recorder.repeat(c.intended) }

// release makes room for another request, once.
func (c *Call) release() {
	if !c.answered {
		c.answered = true
		c.flow.outstanding.Add(-1)
	}
}

// openFlows makes the classes of a scenario ready to start.
func openFlows(ctx context.Context, sc Scenario, opts Options) (flows []*flow, err error) {
	defer func() {
		if err != nil {
			closeFlows(flows)
		}
	}()
	traceRun := newTraceRun()
	for i, class := range sc.Classes {
		drawn, err := class.Request.Open(sc.Seed, class.Name)
		if err != nil {
			return flows, fmt.Errorf("loadgen: class %q: %w", class.Name, err)
		}
		pacer, err := newPacer(ctx)
		if err != nil {
			return flows, err
		}
		if class.Timeout <= 0 {
			class.Timeout = opts.RequestTimeout
		}
		f := &flow{
			Class:    class.withDefaults(),
			recorder: newRecorder(sc.Warmup, sc.Warmup+sc.Duration, class.Objective, sc.Phases),
			schedule: class.Arrivals.Open(sc.Seed, class.Name),
			content:  drawn,
			naming:   naming{class: class.Name, run: traceRun, index: uint16(i + 1), sample: opts.TraceSample},
			limit:    int64(opts.MaxOutstanding),
			pacer:    pacer,
		}
		f.due.Store(int64(never)) // until it runs
		flows = append(flows, f)
	}
	return flows, nil
}

func closeFlows(flows []*flow) {
	for _, f := range flows {
		f.pacer.close()
	}
}

// openSenders opens an endpoint for each that the flows name. Close all that it
// returns, also with an error.
func openSenders(ctx context.Context, sc Scenario, opts Options, flows []*flow) (senders map[string]Sender, err error) {
	classes := make(map[string][]Class)
	for _, f := range flows {
		classes[f.Endpoint] = append(classes[f.Endpoint], f.Class)
	}
	senders = make(map[string]Sender)
	for name, classes := range classes {
		e := sc.endpoint(name)
		var sender Sender
		var err error
		if e.Kind == kindHTTP {
			sender, err = openHTTP(ctx, e, classes, opts.TLS)
		} else if open := opts.Senders[e.Kind]; open != nil {
			sender, err = open(ctx, e, classes)
		} else {
			err = fmt.Errorf("kind %q is not known here; want %q or one that Options.Senders has", e.Kind, kindHTTP)
		}
		if err != nil {
			if name != "" {
				err = fmt.Errorf("loadgen: endpoint %q: %w", name, err)
			}
			return senders, err
		}
		senders[name] = sender
	}
	for _, f := range flows {
		f.sender = senders[f.Endpoint]
	}
	return senders, nil
}

func closeSenders(senders map[string]Sender) error {
	var errs []error
	for _, s := range senders {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
