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
	Listen  string   `default:"127.0.0.1:9000" placeholder:"ADDR" help:"Address to listen on (default ${default})."`
	Workers int      `default:"8" help:"Requests worked on at the same time (default ${default}); the rest queues, first in, first out."`
	Service []string `placeholder:"fixed|exponential|NAME" help:"How long /work?ms=N takes: N, or exponentially distributed with mean N (default fixed). With --file: the services to run here; may be repeated (default all)."`
	Sharing bool     `help:"All requests run at once and share the workers, as on a processor: with n of them, each advances at the rate workers/n, at most 1."`

	File       string `short:"f" placeholder:"FILE|NAME" help:"Run an application of many services: a graph from a file, or one that comes with the program, see --list."`
	ListenBase int    `placeholder:"PORT" help:"With --file: the services without an address of their own listen on 127.0.0.1 from this port on, in the order of the file (default: any free ports)."`
	Check      bool   `help:"With --file: print who calls whom, and run nothing."`
	Print      bool   `help:"With --file: print the file of a graph that comes with the program, to be copied and changed, and run nothing."`
	List       bool   `help:"Print the graphs that come with the program, and run nothing."`
}

// Help implements kong.HelpProvider.
func (*appCommand) Help() string {
	return `GET /work?ms=5 holds a worker for 5 ms; GET /echo answers with the headers it saw, as JSON; POST /workers?n=4 changes the number of workers.
With --file, GET /_app/stats of each service tells what it has done.

Examples:
  overtake app --listen 127.0.0.1:9000 --workers 8 &
  curl 'http://127.0.0.1:9000/work?ms=5'
  overtake app -f bookinfo --check
  overtake app -f bookinfo --listen-base 9080 &
  curl http://127.0.0.1:9080/productpage`
}

// Run serves until ctx ends.
func (c *appCommand) Run(ctx context.Context) error {
	switch {
	case c.List:
		return listGraphs()
	case c.File != "":
		return c.runGraph(ctx)
	case c.Check || c.Print || c.ListenBase != 0:
		return &usageError{errors.New("--check, --print and --listen-base are about a graph: give one with --file")}
	}
	return c.runSample(ctx)
}

// runSample runs the sample app.
func (c *appCommand) runSample(ctx context.Context) error {
	service := "fixed"
	if len(c.Service) > 0 {
		service = c.Service[len(c.Service)-1]
	}
	if c.Workers < 1 || c.Workers > app.MaxWorkers {
		return &usageError{fmt.Errorf("--workers %d, want 1 to %d", c.Workers, app.MaxWorkers)}
	}
	if service != "fixed" && service != "exponential" {
		return &usageError{fmt.Errorf("--service %q, want fixed or exponential", service)}
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
		Workers: c.Workers, Sharing: c.Sharing, Exponential: service == "exponential", Seed: uint64(time.Now().UnixNano()),
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
