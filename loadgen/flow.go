package loadgen

import (
	"context"
	"errors"
	"fmt"
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
// late reads answers after so many.
const maxTogether = 64

const (
	// overtime is for how long after its end a schedule goes on sending what was due
	// before: a generator that can't keep up ends all the same.
	overtime = time.Second
	// countFor is how long the rest is counted one by one at most.
	countFor = time.Second
)

// flow is one class at work.
type flow struct {
	Class
	recorder *recorder
	schedule *arrival.Schedule
	content  *content.Generator
	naming   naming
	limit    int64 // of outstanding
	start    time.Time
	sender   Sender
	loop     *loop

	outstanding atomic.Int64 // sent and not answered
}

// run starts the requests of f at their intended times, until end, also where nothing
// more is due before, or until ctx of the loop ends, on which it runs. It never waits
// for an answer; when it is late it sends at once what is due, and skips what is not
// sent some time after end.
func (f *flow) run(end time.Duration) {
	var woken time.Duration // when the schedule last slept
	var together int        // requests since
	for n := int64(0); ; n++ {
		due, more := f.schedule.Next()
		if !more || due.At >= end {
			f.loop.sleepUntil(f.start.Add(end))
			return
		}
		now := time.Since(f.start)
		if now > end+overtime {
			f.skipRest(due, end)
			return
		}
		// Also for one that is skipped: the n-th request is always the same.
		request := overridden(f.content.Next(), due)
		if wake := max(due.At, woken+wakeEvery); due.At > now || together >= maxTogether {
			if due.At <= now {
				wake = now
			}
			if !f.loop.sleepUntil(f.start.Add(wake)) {
				return
			}
			woken, together = time.Since(f.start), 0
			now = woken
		}
		together++
		if f.outstanding.Load() >= f.limit {
			f.recorder.skip(due.At, 1)
			continue
		}
		f.send(n, request, due.At, now)
	}
}

// skipRest counts what is due from the one given to end as skipped. It draws as many
// as it can within countFor; of those after that it counts how many are expected.
func (f *flow) skipRest(due arrival.Arrival, end time.Duration) {
	const often = 1 << 12
	more := true
	begun := time.Now()
	for n := 1; more && due.At < end; n++ {
		f.recorder.skip(due.At, 1)
		if n%often == 0 && (f.loop.ctx.Err() != nil || time.Since(begun) > countFor) {
			break
		}
		due, more = f.schedule.Next()
	}
	if !more || f.loop.ctx.Err() != nil {
		return
	}
	var counted int64
	for at, from := due.At, due.At; at < end; {
		next := min(at+time.Second, end) // a step of the time series
		expected := int64(f.Arrivals.Mean(from, next) * (next - from).Seconds())
		f.recorder.skip(at, expected-counted)
		at, counted = next, expected
	}
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

// delay says that c really starts so much later than it was handed to its sender, which
// held it for the sake of the generator.
func (c *Call) delay(by time.Duration) {
	c.started += by
	if c.flow != nil {
		c.flow.recorder.delay(c.intended, c.started)
	}
}

// accept records the 202 for a job, which is not outstanding any more.
func (c *Call) accept() {
	c.flow.recorder.accept(c.intended)
	c.release()
}

// look records how late a look at the job began.
func (c *Call) look(lag time.Duration) { c.flow.recorder.look(c.intended, lag) }

// known records by how much the time at which the job was done may be wrong.
func (c *Call) known(within time.Duration) { c.flow.recorder.known(c.intended, within) }

// overlook records that nobody looked whether the job had ended when the run did.
func (c *Call) overlook() { c.flow.recorder.overlook(c.intended) }

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
		if class.Timeout <= 0 {
			class.Timeout = opts.RequestTimeout
		}
		if class.Timeout > MaxTimeout {
			return flows, fmt.Errorf("loadgen: class %q: timeout %v, want at most %.0fh", class.Name, class.Timeout, MaxTimeout.Hours())
		}
		drawn, err := class.Request.Open(sc.Seed, class.Name)
		if err != nil {
			return flows, fmt.Errorf("loadgen: class %q: %w", class.Name, err)
		}
		loop, err := newLoop(ctx)
		if err != nil {
			return flows, err
		}
		flows = append(flows, &flow{
			Class:    class.withDefaults(),
			recorder: newRecorder(sc.Warmup, sc.Warmup+sc.Duration, class.Objective, sc.Phases),
			schedule: class.Arrivals.Open(sc.Seed, class.Name),
			content:  drawn,
			naming:   naming{class: class.Name, run: traceRun, index: uint16(i + 1), sample: opts.TraceSample},
			limit:    int64(opts.MaxOutstanding),
			loop:     loop,
		})
	}
	return flows, nil
}

func closeFlows(flows []*flow) {
	for _, f := range flows {
		f.loop.close()
	}
}

// openSenders opens an endpoint for each that the flows name. Close all that it
// returns, also with an error.
func openSenders(ctx context.Context, sc Scenario, opts Options, flows []*flow) (senders map[string]Sender, err error) {
	classes := make(map[string][]Class)
	loops := make(map[string]*loop)
	for _, f := range flows {
		classes[f.Endpoint] = append(classes[f.Endpoint], f.Class)
		loops[f.Name] = f.loop
	}
	senders = make(map[string]Sender)
	for name, classes := range classes {
		e := sc.endpoint(name)
		var sender Sender
		var err error
		if e.Kind == kindHTTP {
			sender, err = openHTTP(ctx, e, classes, loops, opts.TLS)
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
	return senders, nil
}

func closeSenders(senders map[string]Sender) error {
	var errs []error
	for _, s := range senders {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
