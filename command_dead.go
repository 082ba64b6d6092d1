package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"overtake/broker"
)

// deadCommands are the commands about dead letters.
type deadCommands struct {
	List   deadListCommand   `cmd:"" help:"List the dead letters of a queue, oldest first."`
	Show   deadShowCommand   `cmd:"" help:"Show a dead letter with its headers and body."`
	Replay deadReplayCommand `cmd:"" help:"Put dead letters back into the lanes of their classes."`
}

// Help implements kong.HelpProvider.
func (*deadCommands) Help() string {
	return deskHelp + `

Example:
  overtake dead list jobs -c overtake.yaml`
}

// deadFilter chooses dead letters.
type deadFilter struct {
	Class  string `placeholder:"CLASS" help:"Only those of this class."`
	Reason string `placeholder:"TEXT" help:"Only those with this in their reason."`
}

func (f *deadFilter) wants(l *broker.DeadLetter) bool {
	return (f.Class == "" || l.Class == f.Class) && strings.Contains(l.Reason, f.Reason)
}

type deadListCommand struct {
	deskOptions
	deadFilter
	Queue string `arg:"" help:"Name of the queue."`
	Limit int    `default:"100" help:"How many to list."`
}

// Help implements kong.HelpProvider.
func (*deadListCommand) Help() string {
	return deskHelp + `

Examples:
  overtake dead list jobs -c overtake.yaml
  overtake dead list jobs -c overtake.yaml --class batch --reason 'answered 500' --json`
}

// Run lists dead letters.
func (c *deadListCommand) Run(ctx context.Context) error {
	if c.Limit < 1 {
		return &usageError{fmt.Errorf("--limit %d, want at least 1", c.Limit)}
	}
	return c.run(ctx, c.Queue, func(_ *desk, q inspected) error {
		limit := c.Limit
		if c.deadFilter != (deadFilter{}) {
			limit = math.MaxInt // of which it takes those that are wanted
		}
		letters, err := q.DeadLetters(ctx, limit)
		if err != nil {
			return err
		}
		views := []messageView{}
		for i := range letters {
			if len(views) < c.Limit && c.wants(&letters[i]) {
				views = append(views, newDeadView(&letters[i]))
			}
		}
		return c.print(views, func(w *tabwriter.Writer) { tableDead(w, views) })
	})
}

type deadShowCommand struct {
	deskOptions
	Queue string `arg:"" help:"Name of the queue."`
	ID    string `arg:"" name:"id" help:"ID of the dead letter."`
}

// Help implements kong.HelpProvider.
func (*deadShowCommand) Help() string {
	return `A body that is not text is shown in hexadecimal, with --json as body_base64.

Example:
  overtake dead show jobs 5f0c7a -c overtake.yaml`
}

// Run shows one dead letter.
func (c *deadShowCommand) Run(ctx context.Context) error {
	return c.run(ctx, c.Queue, func(_ *desk, q inspected) error {
		letters, err := q.DeadLetters(ctx, math.MaxInt)
		if err != nil {
			return err
		}
		// Of several with this ID, the last one is the latest.
		for i, l := range slices.Backward(letters) {
			if l.ID == c.ID {
				v := newDeadView(&letters[i])
				return c.print(v, v.page)
			}
		}
		return missing(c.Queue, []string{c.ID})
	})
}

func missing(queue string, ids []string) error {
	return fmt.Errorf("queue %s has no dead letter %s; overtake dead list %s shows what there is", queue, strings.Join(ids, ", "), queue)
}

type deadReplayCommand struct {
	deskOptions
	deadFilter
	Queue string   `arg:"" help:"Name of the queue."`
	ID    []string `arg:"" name:"id" optional:"" help:"IDs of the dead letters."`
	All   bool     `help:"All of them, or all that --class and --reason choose."`
	Yes   bool     `help:"Replay all; without, say how many they are."`
}

// Help implements kong.HelpProvider.
func (*deadReplayCommand) Help() string {
	return `A replayed message has the same id, its attempts begin anew, and a deadline that it had is gone. It is removed from the dead letters when its lane has confirmed it.

Examples:
  overtake dead replay jobs 5f0c7a 91bb3d -c overtake.yaml
  overtake dead replay jobs -c overtake.yaml --all --reason 'answered 500' --yes`
}

// Run replays dead letters.
func (c *deadReplayCommand) Run(ctx context.Context) error {
	switch {
	case c.All && len(c.ID) > 0:
		return &usageError{errors.New("give IDs or --all, not both")}
	case !c.All && len(c.ID) == 0:
		return &usageError{errors.New("give the IDs of dead letters, or --all")}
	case !c.All && c.deadFilter != deadFilter{}:
		return &usageError{errors.New("--class and --reason go with --all")}
	}
	return c.run(ctx, c.Queue, func(_ *desk, q inspected) error {
		if c.All && !c.Yes {
			return c.count(ctx, q)
		}
		left := slices.Clone(c.ID)
		n, err := q.Replay(ctx, func(l *broker.DeadLetter) bool {
			left = slices.DeleteFunc(left, func(id string) bool { return id == l.ID })
			return c.wants(l) && (c.All || slices.Contains(c.ID, l.ID))
		})
		if err == nil && len(left) > 0 {
			err = missing(c.Queue, left)
		}
		v := map[string]any{"queue": c.Queue, "replayed": n}
		return errors.Join(err, c.print(v, func(w *tabwriter.Writer) {
			fmt.Fprintf(w, "replayed in %s: %d\n", c.Queue, n)
		}))
	})
}

// count says what would be done.
func (c *deadReplayCommand) count(ctx context.Context, q inspected) error {
	letters, err := q.DeadLetters(ctx, math.MaxInt)
	if err != nil {
		return err
	}
	n := 0
	for i := range letters {
		if c.wants(&letters[i]) {
			n++
		}
	}
	return &usageError{fmt.Errorf("would replay %d dead letters of queue %s; add --yes to do it", n, c.Queue)}
}
