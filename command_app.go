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
	Listen  *string  `placeholder:"ADDR" help:"Address to listen on (default 127.0.0.1:9000)."`
	Workers *int     `placeholder:"N" help:"Requests worked on at the same time (default 8); the rest queues, first in, first out."`
	Service []string `placeholder:"fixed|exponential|NAME" help:"How long /work?ms=N takes: N, or exponentially distributed with mean N (default fixed). With --file: the services to run here; may be repeated (default all)."`
	Sharing bool     `help:"All requests run at once and share the workers, as on a processor: with n of them, each advances at the rate workers/n, at most 1."`

	File          string `short:"f" placeholder:"FILE|NAME" help:"Run an application of many services: a graph from a file, or one that comes with the program, see --list."`
	ListenBase    int    `placeholder:"PORT" help:"With --file: the services are called on 127.0.0.1 from this port on, in the order of the file, but for those with an address of their own (default: any free ports). Of a service with a sidecar, it is that of the sidecar."`
	Sidecars      bool   `help:"With --file: give every service a sidecar, also those of which the file does not say so."`
	SidecarConfig string `placeholder:"FILE" help:"With --sidecars: configuration of those for which the file has none: their classes and tracing."`
	Check         bool   `help:"With --file: print who calls whom, and run nothing."`
	Print         bool   `help:"With --file: print the file of a graph that comes with the program, to be copied and changed, and run nothing."`
	List          bool   `help:"Print the graphs that come with the program, and run nothing."`
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
  curl http://127.0.0.1:9080/productpage
  overtake app -f bookinfo --sidecars --listen-base 9180`
}

// Run serves until ctx ends.
func (c *appCommand) Run(ctx context.Context) error {
	switch {
	case c.List:
		return listGraphs()
	case c.File != "" && (c.Listen != nil || c.Workers != nil || c.Sharing):
		return &usageError{errors.New("--listen, --workers and --sharing are about the sample app: a graph has listen and workers of each service in its file, and --listen-base")}
	case c.SidecarConfig != "" && !c.Sidecars:
		return &usageError{errors.New("--sidecar-config is about the sidecars that --sidecars adds: give that too")}
	case c.File != "":
		return c.runGraph(ctx)
	case c.Check || c.Print || c.ListenBase != 0 || c.Sidecars:
		return &usageError{errors.New("--check, --print, --listen-base and --sidecars are about a graph: give one with --file")}
	}
	return c.runSample(ctx)
}

// runSample runs the sample app.
func (c *appCommand) runSample(ctx context.Context) error {
	service := "fixed"
	if len(c.Service) > 0 {
		service = c.Service[len(c.Service)-1]
	}
	listen, workers := "127.0.0.1:9000", 8
	if c.Listen != nil {
		listen = *c.Listen
	}
	if c.Workers != nil {
		workers = *c.Workers
	}
	if workers < 1 || workers > app.MaxWorkers {
		return &usageError{fmt.Errorf("--workers %d, want 1 to %d", workers, app.MaxWorkers)}
	}
	if service != "fixed" && service != "exponential" {
		return &usageError{fmt.Errorf("--service %q, want fixed or exponential", service)}
	}
	if _, err := net.ResolveTCPAddr("tcp", listen); err != nil {
		return &usageError{fmt.Errorf("--listen %q is not an address, want HOST:PORT: %w", listen, err)}
	}
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("app: %w; free the address or give another with --listen", err)
	}
	fmt.Printf("app: %d workers on http://%s\n", workers, ln.Addr())
	sample := app.New(app.Config{
		Workers: workers, Sharing: c.Sharing, Exponential: service == "exponential", Seed: uint64(time.Now().UnixNano()),
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
