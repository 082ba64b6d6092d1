package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"overtake/broker"
)

// queueCommands are the commands about the lanes of queues.
type queueCommands struct {
	List   queueListCommand   `cmd:"" help:"Show the lanes of all queues."`
	Show   queueShowCommand   `cmd:"" help:"Show one queue and its lanes."`
	Peek   queuePeekCommand   `cmd:"" help:"Show the messages that wait next, and leave them where they are."`
	Pause  queuePauseCommand  `cmd:"" help:"Deliver nothing from a lane; it still takes messages."`
	Resume queueResumeCommand `cmd:"" help:"Deliver from a paused lane again."`
	Purge  queuePurgeCommand  `cmd:"" help:"Remove the messages that wait."`
}

// Help implements kong.HelpProvider.
func (*queueCommands) Help() string {
	return deskHelp + `

Example:
  overtake queue list -c overtake.yaml`
}

type queueListCommand struct{ deskOptions }

// Help implements kong.HelpProvider.
func (*queueListCommand) Help() string {
	return `One line per lane, and one for the dead letters of each queue. "-" is what the broker does not tell. ` + deskHelp + `

Examples:
  overtake queue list -c overtake.yaml
  OVERTAKE_CONFIG=overtake.yaml overtake queue list --json`
}

// Run lists the lanes. What is on brokers that are there is shown in any case.
func (c *queueListCommand) Run(ctx context.Context) (err error) {
	d, err := c.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.brokers.close()) }()
	all := []laneView{}
	var errs []error
	for _, name := range d.names() {
		q, err := d.queue(ctx, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		lanes, err := q.Inspect(ctx)
		errs = append(errs, err)
		all = append(all, newLaneViews(name, lanes)...)
	}
	if err := errors.Join(errs...); err != nil && len(all) == 0 {
		return err
	}
	return errors.Join(append(errs, c.print(all, func(w *tabwriter.Writer) { tableLanes(w, all) }))...)
}

type queueShowCommand struct {
	deskOptions
	Queue string `arg:"" help:"Name of the queue."`
}

// Help implements kong.HelpProvider.
func (*queueShowCommand) Help() string {
	return `Example:
  overtake queue show jobs -c overtake.yaml`
}

// Run shows one queue.
func (c *queueShowCommand) Run(ctx context.Context) error {
	return c.run(ctx, c.Queue, func(d *desk, q inspected) error {
		lanes, err := q.Inspect(ctx)
		if err != nil {
			return err
		}
		v := newQueueView(d.cfg, c.Queue, newLaneViews(c.Queue, lanes))
		return c.print(v, v.table)
	})
}

type queuePeekCommand struct {
	deskOptions
	Queue string `arg:"" help:"Name of the queue."`
	Class string `placeholder:"CLASS" help:"Lane to look at (default: all)."`
	Limit int    `default:"10" help:"How many messages to show of each lane."`
	Yes   bool   `help:"Look also where looking counts as an attempt (RabbitMQ)."`
}

// Help implements kong.HelpProvider.
func (*queuePeekCommand) Help() string {
	return `The messages stay in their lane and in their order. On NATS, looking at them changes nothing. RabbitMQ shows a message only by delivering it: its next delivery counts as another attempt, and meanwhile others may be delivered before it. So there it takes --yes; pause the lane before, if its order matters.

With --json, headers and body are shown, too; a body that is not text as body_base64.

Examples:
  overtake queue peek jobs -c overtake.yaml --class batch
  overtake queue peek jobs -c overtake.yaml --class batch --limit 1 --json`
}

// Run shows waiting messages.
func (c *queuePeekCommand) Run(ctx context.Context) error {
	if c.Limit < 1 {
		return &usageError{fmt.Errorf("--limit %d, want at least 1", c.Limit)}
	}
	return c.run(ctx, c.Queue, func(d *desk, q inspected) error {
		lanes, err := lanesOf(ctx, d, c.Queue, c.Class, q)
		if err != nil {
			return err
		}
		if counted := countPeeked(lanes, c.Limit); counted > 0 && !c.Yes {
			return &usageError{fmt.Errorf("would look at %d messages of queue %s, on a broker that counts this as an attempt of each; add --yes to do it",
				counted, c.Queue)}
		}
		views := []messageView{}
		for _, lane := range lanes {
			peeked, err := q.Peek(ctx, lane.Class, c.Limit)
			if err != nil {
				return err
			}
			for i := range peeked {
				views = append(views, newPeekedView(&peeked[i]))
			}
		}
		return c.print(views, func(w *tabwriter.Writer) { tableMessages(w, views) })
	})
}

// countPeeked is how many messages a peek makes one attempt older.
func countPeeked(lanes []broker.Lane, limit int) (n int) {
	for _, lane := range lanes {
		if lane.PeekCounts {
			n += min(lane.Waiting, limit)
		}
	}
	return n
}

// lanesOf inspects the lane of a class, or all if it is "".
func lanesOf(ctx context.Context, d *desk, name, class string, q inspected) ([]broker.Lane, error) {
	chosen, err := d.chosen(name, class)
	if err != nil {
		return nil, err
	}
	lanes, err := q.Inspect(ctx)
	return slices.DeleteFunc(lanes, func(l broker.Lane) bool { return !slices.Contains(chosen, l.Class) }), err
}

// pauseOptions are those of pause and resume.
type pauseOptions struct {
	deskOptions
	Queue string `arg:"" help:"Name of the queue."`
	Class string `placeholder:"CLASS" help:"Lane that is meant (default: all)."`
}

func (o *pauseOptions) set(ctx context.Context, paused bool, verb string) error {
	return o.run(ctx, o.Queue, func(d *desk, q inspected) error {
		classes, err := d.chosen(o.Queue, o.Class)
		if err != nil {
			return err
		}
		for _, class := range classes {
			if err := q.SetPaused(ctx, class, paused); err != nil {
				return err
			}
		}
		v := map[string]any{"queue": o.Queue, "classes": classes, "paused": paused}
		return o.print(v, func(w *tabwriter.Writer) {
			fmt.Fprintf(w, "%s %s: %s\n", verb, o.Queue, strings.Join(classes, ", "))
		})
	})
}

type queuePauseCommand struct{ pauseOptions }

// Help implements kong.HelpProvider.
func (*queuePauseCommand) Help() string {
	return `All gateways heed it within about two seconds; what they have in hand is finished. It lasts until resume, also across restarts of gateways and brokers. A paused lane still takes messages, until it is full. ` + deskHelp + `

Example:
  overtake queue pause jobs -c overtake.yaml --class batch`
}

// Run pauses lanes.
func (c *queuePauseCommand) Run(ctx context.Context) error { return c.set(ctx, true, "paused") }

type queueResumeCommand struct{ pauseOptions }

// Help implements kong.HelpProvider.
func (*queueResumeCommand) Help() string {
	return `Example:
  overtake queue resume jobs -c overtake.yaml --class batch`
}

// Run resumes lanes.
func (c *queueResumeCommand) Run(ctx context.Context) error { return c.set(ctx, false, "resumed") }

type queuePurgeCommand struct {
	deskOptions
	Queue string `arg:"" help:"Name of the queue."`
	Class string `placeholder:"CLASS" help:"Lane to purge (default: all)."`
	Yes   bool   `help:"Do it; without, say what would be done."`
}

// Help implements kong.HelpProvider.
func (*queuePurgeCommand) Help() string {
	return `All jobs that are queued are cancelled, those that wait for a retry too. What the app works on is finished, and dead letters stay.

Example:
  overtake queue purge jobs -c overtake.yaml --class batch --yes`
}

// purgedLane is what was removed from a lane.
type purgedLane struct {
	Queue   string `json:"queue"`
	Class   string `json:"class"`
	Removed int    `json:"removed"`
	// Cancelled are the jobs that waited, as far as their states are kept.
	Cancelled int `json:"cancelled"`
}

// Run purges lanes.
func (c *queuePurgeCommand) Run(ctx context.Context) error {
	return c.run(ctx, c.Queue, func(d *desk, q inspected) error {
		lanes, err := lanesOf(ctx, d, c.Queue, c.Class, q)
		if err != nil {
			return err
		}
		if !c.Yes {
			would := make([]string, len(lanes))
			for i, lane := range lanes {
				would[i] = fmt.Sprintf("%d of %s", lane.Waiting, lane.Class)
			}
			return &usageError{fmt.Errorf("would remove the messages that wait in queue %s: %s; add --yes to do it", c.Queue, strings.Join(would, ", "))}
		}
		shelf, err := d.shelf(ctx, c.Queue) // before something is removed
		if err != nil {
			return fmt.Errorf("the states of the jobs can't be reached, so nothing was removed: %w", err)
		}
		removed := make([]purgedLane, len(lanes))
		for i, lane := range lanes {
			removed[i] = purgedLane{Queue: c.Queue, Class: lane.Class}
			if removed[i].Removed, err = q.Purge(ctx, lane.Class); err != nil {
				return err
			}
		}
		if shelf != nil {
			if err := d.cancelPurged(ctx, shelf, c.Queue, removed); err != nil {
				return fmt.Errorf("the messages were removed, but not all jobs could be cancelled; purge again to do so: %w", err)
			}
		}
		return c.print(removed, func(w *tabwriter.Writer) {
			var messages []string
			jobs := 0
			for _, r := range removed {
				messages = append(messages, fmt.Sprintf("%d of %s", r.Removed, r.Class))
				jobs += r.Cancelled
			}
			fmt.Fprintf(w, "removed from %s: %s\n", c.Queue, strings.Join(messages, ", "))
			if shelf != nil {
				fmt.Fprintf(w, "cancelled jobs: %d\n", jobs)
			}
		})
	})
}
