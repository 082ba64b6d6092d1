package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"overtake/broker"
	"overtake/classifier/strictyaml"
	"overtake/gateway"
	"overtake/gateway/config"
)

// deskPatience bounds how long a command waits for a broker to be there.
const deskPatience = 10 * time.Second

// deskOptions are the options of all commands that look at queues.
type deskOptions struct {
	Config string `short:"c" placeholder:"FILE" help:"Configuration file, the gateway's (default: what OVERTAKE_CONFIG names)."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// deskHelp says what the commands ask of the file.
const deskHelp = `Of the file, it takes brokers, queues and the names of classes. Mistakes elsewhere are warnings here, so that queues can be steered while a gateway goes on without the file.`

// desk is where people look at the queues of a configuration.
type desk struct {
	cfg     *config.Config
	brokers *brokers
}

// open reads the configuration. Brokers are connected to when they are needed.
func (o *deskOptions) open() (*desk, error) {
	environment, err := config.ProcessFromEnv()
	if err != nil {
		return nil, &usageError{err}
	}
	process := config.Process{Config: o.Config}.Over(environment)
	if process.Config == "" {
		return nil, &usageError{errors.New("no configuration file; give -c FILE or OVERTAKE_CONFIG")}
	}
	cfg, elsewhere, err := config.LoadQueues(process.Config, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	warnElsewhere(elsewhere)
	if len(cfg.Queues) == 0 {
		return nil, &usageError{fmt.Errorf("there are no queues in %s", process.Config)}
	}
	// What a command can't do, it says itself.
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	d := &desk{cfg: cfg, brokers: newBrokers(cfg, log)}
	d.brokers.guest = true
	return d, nil
}

// warnElsewhere tells of mistakes in parts of the file that a command does without.
func warnElsewhere(problems strictyaml.Problems) {
	for _, problem := range problems {
		fmt.Fprintln(os.Stderr, "warning:", problem)
	}
	if len(problems) > 0 {
		fmt.Fprintln(os.Stderr, "warning: no gateway starts with this file, or takes it over; this command needs none of that, and goes on")
	}
}

// run calls do with the configured queue of a name, and leaves the broker again.
func (o *deskOptions) run(ctx context.Context, name string, do func(d *desk, q inspected) error) (err error) {
	d, err := o.open()
	if err != nil {
		return err
	}
	if _, ok := d.cfg.Queues[name]; !ok {
		return &usageError{fmt.Errorf("there is no queue %q; configured: %s", name, strings.Join(d.names(), ", "))}
	}
	defer func() { err = errors.Join(err, d.brokers.close()) }()
	q, err := d.queue(ctx, name)
	if err != nil {
		return err
	}
	return do(d, q)
}

// names returns the configured queues, sorted.
func (d *desk) names() []string { return slices.Sorted(maps.Keys(d.cfg.Queues)) }

// chosen returns the lanes of a queue that are meant: that of the class that was
// asked for, or all if none was.
func (d *desk) chosen(queue, class string) ([]string, error) {
	classes := classNames(d.cfg)
	switch {
	case class != "" && !slices.Contains(classes, class):
		return nil, &usageError{fmt.Errorf("there is no class %q; configured: %s", class, strings.Join(classes, ", "))}
	case class != "" && d.cfg.OneLane(queue):
		return nil, &usageError{fmt.Errorf("queue %s has all classes in one lane, as its strategy is native; leave out --class", queue)}
	case class != "":
		return []string{class}, nil
	case d.cfg.OneLane(queue):
		return []string{broker.AllClasses}, nil
	}
	return classes, nil
}

// queue returns the queue of a configured name. It starts no server on a folder
// that no gateway has used.
func (d *desk) queue(ctx context.Context, name string) (inspected, error) {
	ctx, cancel := context.WithTimeout(ctx, deskPatience)
	defer cancel()
	if err := d.used(d.cfg.Queues[name].Broker); err != nil {
		return nil, err
	}
	return d.brokers.inspect(ctx, name)
}

// used fails for an embedded broker whose folder no gateway has used.
func (d *desk) used(name string) error {
	if b := d.cfg.Brokers[name]; b.Embedded {
		if _, err := os.Stat(b.Dir); err != nil {
			return fmt.Errorf("broker %s: %w; no gateway has run with this dir, which counts from the current folder", name, err)
		}
	}
	return nil
}

// shelf returns where the states of a queue's jobs are, after they have answered,
// or nil if they are not kept.
func (d *desk) shelf(ctx context.Context, queue string) (gateway.JobShelf, error) {
	ctx, cancel := context.WithTimeout(ctx, deskPatience)
	defer cancel()
	on := d.cfg.Queues[queue].Results
	if on == "" {
		return nil, nil
	}
	if err := d.used(on); err != nil {
		return nil, err
	}
	store, err := d.brokers.jobs(ctx, on)
	if err != nil {
		return nil, err
	}
	if _, err := store.Load(ctx, "none"); err != nil { // any record: it is asked whether it answers
		return nil, fmt.Errorf("broker %s: %w", on, err)
	}
	return store, nil
}

// cancelPurged cancels the jobs whose messages were removed, and counts them in
// lanes. If that takes long, it tells how far it has come.
func (d *desk) cancelPurged(ctx context.Context, shelf gateway.JobShelf, queue string, lanes []purgedLane) error {
	var classes []string
	for _, lane := range lanes {
		if lane.Class != broker.AllClasses {
			classes = append(classes, lane.Class)
		}
	}
	looked, told := 0, time.Now()
	cancelled, err := gateway.CancelQueued(ctx, shelf, queue, classes, d.cfg.Queues[queue].KeepResults, func() {
		if looked++; time.Since(told) > time.Second {
			told = time.Now()
			fmt.Fprintf(os.Stderr, "looked at the states of %d jobs\n", looked)
		}
	})
	for i, lane := range lanes {
		for class, n := range cancelled {
			if lane.Class == class || lane.Class == broker.AllClasses {
				lanes[i].Cancelled += n
			}
		}
	}
	return err
}
