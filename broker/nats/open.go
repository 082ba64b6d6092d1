package nats

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"overtake/broker"
)

// open calls declare. While a server elsewhere can't be reached, or is without a
// leader, open logs that and returns nil, and declare is called again until it
// succeeds or the connection is closed.
func (c *Conn) open(ctx context.Context, log *slog.Logger, declare func(context.Context) error) error {
	err := declare(ctx)
	if c.external && (errors.Is(err, broker.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)) {
		log.Warn("nats: can't be opened yet", "servers", c.place, "error", err)
		c.opening.Go(func() { c.openLater(log, declare) })
		return nil
	}
	return err
}

func (c *Conn) openLater(log *slog.Logger, declare func(context.Context) error) {
	said := ""
	for backoff := minBackoff; ; backoff = min(2*backoff, maxBackoff) {
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(backoff):
		}
		err := declare(c.ctx)
		if err == nil {
			log.Info("nats: opened")
			return
		}
		// The same refusal, again and again, is news once.
		if text := err.Error(); !errors.Is(err, broker.ErrUnavailable) && text != said && c.ctx.Err() == nil {
			log.Error("nats: can't be opened, trying on", "error", err)
			said = text
		}
	}
}
