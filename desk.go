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
	"overtake/broker/nats"
	"overtake/broker/rabbitmq"
	"overtake/gateway/config"
)

// deskPatience bounds how long a command waits for a broker to be there.
const deskPatience = 10 * time.Second

// deskOptions are the options of all commands that look at queues.
type deskOptions struct {
	Config string `short:"c" placeholder:"FILE" help:"Configuration file, the gateway's (default: what OVERTAKE_CONFIG names)."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// desk is where people look at the queues of a configuration.
type desk struct {
	cfg     *config.Config
	brokers *brokers
	conns   map[string]opener // by broker
}

// opener returns a queue that a gateway has declared.
type opener func(ctx context.Context, name string) (deskQueue, error)

// deskQueue is one queue at the desk.
type deskQueue interface {
	broker.Inspector
	broker.Morgue
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
	cfg, err := config.Load(process.Config, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	if len(cfg.Queues) == 0 {
		return nil, &usageError{fmt.Errorf("there are no queues in %s", process.Config)}
	}
	// What a command can't do, it says itself.
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	return &desk{cfg: cfg, brokers: &brokers{log: log}, conns: make(map[string]opener)}, nil
}

// run calls do with the configured queue of a name, and leaves the broker again.
func (o *deskOptions) run(ctx context.Context, name string, do func(d *desk, q deskQueue) error) (err error) {
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

func (d *desk) classes() []string {
	classes := make([]string, len(d.cfg.Classes))
	for i, c := range d.cfg.Classes {
		classes[i] = c.Name
	}
	return classes
}

// chosen returns the class that was asked for, or all if none was.
func (d *desk) chosen(class string) ([]string, error) {
	classes := d.classes()
	if class == "" {
		return classes, nil
	}
	if !slices.Contains(classes, class) {
		return nil, &usageError{fmt.Errorf("there is no class %q; configured: %s", class, strings.Join(classes, ", "))}
	}
	return []string{class}, nil
}

// queue returns the queue of a configured name.
func (d *desk) queue(ctx context.Context, name string) (deskQueue, error) {
	ctx, cancel := context.WithTimeout(ctx, deskPatience)
	defer cancel()
	on := d.cfg.Queues[name].Broker
	open, ok := d.conns[on]
	if !ok {
		var err error
		if open, err = d.connect(ctx, on); err != nil {
			return nil, err
		}
		d.conns[on] = open
	}
	q, err := open(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("broker %s: %w", on, err)
	}
	return q, nil
}

// connect connects to a configured broker.
func (d *desk) connect(ctx context.Context, name string) (opener, error) {
	b := d.cfg.Brokers[name]
	if b.Type == "rabbitmq" {
		conn, err := d.brokers.connectRabbit(name, b)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, name string) (deskQueue, error) {
			return conn.Queue(ctx, rabbitmq.QueueConfig{Name: name, Classes: d.classes()})
		}, nil
	}
	conn, err := d.connectNATS(name, b)
	if err != nil {
		return nil, err
	}
	if err := conn.Ping(ctx); err != nil {
		return nil, fmt.Errorf("broker %s: %w", name, err)
	}
	return func(_ context.Context, name string) (deskQueue, error) {
		return conn.Queue(nats.QueueConfig{Name: name, Classes: d.classes()})
	}, nil
}

// connectNATS connects to a NATS broker. The folder of an embedded one may be a
// running gateway's; otherwise the server runs in this process, for the moment.
func (d *desk) connectNATS(name string, b config.Broker) (*nats.Conn, error) {
	if !b.Embedded {
		return d.brokers.connect(name, b)
	}
	if _, err := os.Stat(b.Dir); err != nil {
		return nil, fmt.Errorf("broker %s: %w; no gateway has run with this dir, which counts from the current folder", name, err)
	}
	token := string(b.Token)
	b.Listen, b.Token, b.TLS = "", "", nil // which is the gateway's matter
	conn, err := d.brokers.connect(name, b)
	if !errors.Is(err, nats.ErrInUse) {
		return conn, err
	}
	conn, inUse := nats.Connect(nats.ConnConfig{Dir: b.Dir, Token: token, Logger: d.brokers.log})
	if inUse != nil {
		return nil, fmt.Errorf("broker %s: the process that has it can't be reached, its log says why: %w (%w)", name, inUse, err)
	}
	d.brokers.closers = append(d.brokers.closers, conn.Close)
	return conn, nil
}
