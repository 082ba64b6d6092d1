//go:build !linux

package loadgen

import (
	"context"
	"time"
)

// pacer sleeps until given moments, with the precision of the Go runtime's
// timers. It is not safe for concurrent use.
type pacer struct {
	ctx   context.Context
	timer *time.Timer
}

// newPacer returns a pacer whose sleeps end with ctx.
func newPacer(ctx context.Context) (*pacer, error) {
	return &pacer{ctx: ctx, timer: time.NewTimer(0)}, nil
}

// sleepUntil reports false if ctx ended first.
func (p *pacer) sleepUntil(t time.Time) bool {
	wait := time.Until(t)
	if wait <= 0 {
		return p.ctx.Err() == nil
	}
	p.timer.Reset(wait)
	select {
	case <-p.timer.C:
		return true
	case <-p.ctx.Done():
		return false
	}
}

func (p *pacer) close() { p.timer.Stop() }
