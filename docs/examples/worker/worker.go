// Package worker shows how a Go program without the gateway works on the messages
// of a queue in class order. Copy it and change it.
package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"overtake/broker"
	"overtake/classifier"
	"overtake/scheduler"
)

// Work does what comes in the lanes of classes, which are those of the scheduler,
// most urgent first, until ctx ends. One message of each lane waits here for a slot
// of the scheduler, beside what is worked on; all others wait in the broker.
func Work(ctx context.Context, c broker.Consumer, s *scheduler.Scheduler, classes []string, do func(*broker.Delivery) error) {
	var running sync.WaitGroup
	for class, name := range classes {
		running.Go(func() {
			for {
				d, err := c.Next(ctx, name)
				if err != nil {
					return // ctx has ended, or c was closed
				}
				slot, err := s.Acquire(ctx, scheduler.Work{Class: classifier.Class(class), Kept: true})
				if err != nil {
					return // c gives d back when it is closed
				}
				running.Go(func() {
					err := do(d)
					slot.Release()
					settle(context.WithoutCancel(ctx), d, err)
				})
			}
		})
	}
	running.Wait()
}

// settle tells the broker what became of d: what fails comes again later, up to five
// times.
func settle(ctx context.Context, d *broker.Delivery, failed error) {
	var err error
	switch {
	case failed == nil:
		err = d.Done(ctx)
	case d.Attempt < 5:
		err = d.Retry(ctx, time.Duration(d.Attempt)*time.Second)
	default:
		err = d.Dead(ctx, failed.Error())
	}
	if err != nil {
		slog.Warn("not settled, so it comes again", "id", d.ID, "error", err)
	}
}
