package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"overtake/classifier/strictyaml"
	"overtake/loadgen/topology"
)

// graphDrain is how long the services of a graph may take to finish what they
// have begun.
const graphDrain = 10 * time.Second

// listGraphs prints the graphs that come with the program.
func listGraphs() error {
	for _, name := range topology.BuiltinNames() {
		g, _ := topology.Builtin(name)
		fmt.Printf("%-12s %d services: %s\n", name, len(g.Services), g.About)
	}
	return nil
}

// loadGraph reads the graph that --file names: a file, or a builtin one; see
// [strictyaml.IsFile].
func loadGraph(name string) (*topology.Graph, error) {
	if !strictyaml.IsFile(name) {
		if g, ok := topology.Builtin(name); ok {
			return g, nil
		}
		return nil, &usageError{fmt.Errorf("--file %s: no graph is called that; %s", name, strictyaml.SuggestNameOrFile(name, topology.BuiltinNames()))}
	}
	text, err := strictyaml.ReadFile(name, strictyaml.MaxFile)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--file: %w", err)}
	}
	g, err := topology.Parse(name, text, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	for _, service := range g.Names() {
		if side := g.Services[service].Sidecar; side != nil && side.Config != "" {
			if err := canOpen(side.Config); err != nil {
				return nil, &usageError{fmt.Errorf("%s: services.%s.sidecar.config: %w", name, service, err)}
			}
		}
	}
	return g, nil
}

// canOpen finds out whether a sidecar could read its configuration file.
func canOpen(config string) error {
	f, err := strictyaml.OpenFile(config)
	if err != nil {
		return fmt.Errorf("%w; name a file, relative to where overtake is started", err)
	}
	return f.Close()
}

// runGraph runs services of a graph until ctx ends.
func (c *appCommand) runGraph(ctx context.Context) error {
	if c.Print {
		text, ok := topology.Source(c.File)
		if !ok {
			return &usageError{fmt.Errorf("--print: no graph that comes with the program is called %q; %s", c.File, strictyaml.Suggest(c.File, topology.BuiltinNames()))}
		}
		_, err := os.Stdout.Write(text)
		return err
	}
	g, err := loadGraph(c.File)
	if err != nil {
		return err
	}
	if c.Sidecars {
		if c.SidecarConfig != "" {
			if err := canOpen(c.SidecarConfig); err != nil {
				return &usageError{fmt.Errorf("--sidecar-config: %w", err)}
			}
		}
		g = g.WithSidecars(c.SidecarConfig)
	}
	if c.Check {
		fmt.Print(g.Picture())
		return nil
	}
	if c.ListenBase < 0 || c.ListenBase > 65536-len(g.Services) {
		return &usageError{fmt.Errorf("--listen-base %d, want a port with %d more above it", c.ListenBase, len(g.Services)-1)}
	}
	for _, name := range c.Service {
		if !slices.Contains(g.Names(), name) {
			return &usageError{fmt.Errorf("--service %q is not one of %s; %s", name, c.File, strictyaml.Suggest(name, g.Names()))}
		}
	}
	logs, err := os.MkdirTemp("", "overtake-app-")
	if err != nil {
		return fmt.Errorf("app: %w", err)
	}
	defer func() { _ = os.RemoveAll(logs) }()
	running, err := topology.Start(ctx, g, topology.Options{
		Only: c.Service, ListenBase: c.ListenBase,
		StartSidecar: func(ctx context.Context, spec topology.SidecarSpec) (*topology.RunningSidecar, error) {
			return startSidecarBeside(ctx, spec, filepath.Join(logs, spec.Service+".log"))
		},
		Log: func(line string) { fmt.Fprintln(os.Stderr, line) },
	})
	if err != nil {
		return err
	}
	for _, service := range running.Running() {
		fmt.Println(service)
	}
	for _, service := range running.Running() {
		if service.Door != "" {
			fmt.Printf("front door: http://%s (%s)\n", service.Door, service.Service)
		}
	}
	var failed error
	select {
	case <-ctx.Done():
	case failed = <-running.Failed():
		if ctx.Err() != nil { // Ctrl-C goes to the sidecars too
			failed = nil
		}
	}
	drain, cancel := context.WithTimeout(context.Background(), graphDrain)
	defer cancel()
	return errors.Join(failed, running.Shutdown(drain))
}

// startSidecarBeside starts `overtake sidecar` for a service.
func startSidecarBeside(ctx context.Context, spec topology.SidecarSpec, logFile string) (*topology.RunningSidecar, error) {
	args := []string{
		"sidecar", "--service", spec.Service, "--app", spec.App, "--inbound", spec.Inbound, "--outbound", spec.Outbound, "--admin", "off",
	}
	if spec.Config != "" {
		args = append(args, "--config", spec.Config)
	}
	// It is stopped after the service that it serves, not by the signal.
	side, err := startChild(context.WithoutCancel(ctx), logFile, args...)
	if err != nil {
		return nil, err
	}
	running := &topology.RunningSidecar{Stop: side.stop}
	for running.Inbound == "" || running.Outbound == "" {
		said, err := side.find(ctx, `msg=listening (listener=(?:in|out)bound address=\S+)`)
		if err != nil {
			return nil, errors.Join(err, side.stop())
		}
		if address, ok := strings.CutPrefix(said, "listener=inbound address="); ok {
			running.Inbound = address
		} else {
			running.Outbound = strings.TrimPrefix(said, "listener=outbound address=")
		}
	}
	ended := make(chan error, 1)
	running.Ended = ended
	go func() { // until the child ends, for which Stop waits
		<-side.done
		ended <- fmt.Errorf("it last said: %s", side.lastLine())
	}()
	return running, nil
}
