package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"overtake/loadgen/app"
)

type appCommand struct {
	Listen  string `default:"127.0.0.1:9000" placeholder:"ADDR" help:"Address to listen on (default ${default})."`
	Workers int    `default:"8" help:"Requests worked on at the same time (default ${default}); the rest queues, first in, first out."`
	Service string `default:"fixed" placeholder:"fixed|exponential" help:"How long /work?ms=N takes: N, or exponentially distributed with mean N (default ${default})."`
	Sharing bool   `help:"All requests run at once and share the workers, as on a processor: with n of them, each advances at the rate workers/n, at most 1."`
}

// Help implements kong.HelpProvider.
func (*appCommand) Help() string {
	return `GET /work?ms=5 holds a worker for 5 ms; GET /echo answers with the headers it saw, as JSON; POST /workers?n=4 changes the number of workers.

Example:
  overtake app --listen 127.0.0.1:9000 --workers 8 &
  curl 'http://127.0.0.1:9000/work?ms=5'`
}

// Run serves until ctx ends.
func (c *appCommand) Run(ctx context.Context) error {
	if c.Workers < 1 || c.Workers > app.MaxWorkers {
		return &usageError{fmt.Errorf("--workers %d, want 1 to %d", c.Workers, app.MaxWorkers)}
	}
	if c.Service != "fixed" && c.Service != "exponential" {
		return &usageError{fmt.Errorf("--service %q, want fixed or exponential", c.Service)}
	}
	if _, err := net.ResolveTCPAddr("tcp", c.Listen); err != nil {
		return &usageError{fmt.Errorf("--listen %q is not an address, want HOST:PORT: %w", c.Listen, err)}
	}
	ln, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("app: %w; free the address or give another with --listen", err)
	}
	fmt.Printf("app: %d workers on http://%s\n", c.Workers, ln.Addr())
	sample := app.New(app.Config{
		Workers: c.Workers, Sharing: c.Sharing, Exponential: c.Service == "exponential", Seed: uint64(time.Now().UnixNano()),
	})
	served := make(chan error, 1)
	go func() { served <- sample.Serve(ln) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(sample.Shutdown(drain), <-served)
}
