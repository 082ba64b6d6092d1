package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"overtake/broker"
	"overtake/broker/nats"
	"overtake/broker/relay"
	"overtake/gateway/config"
	"overtake/gateway/socket"
)

type relayCommand struct {
	Config     string `short:"c" required:"" placeholder:"FILE" help:"Configuration file with relays."`
	UntilEmpty bool   `help:"Stop when nothing is left to move."`
	LogLevel   string `placeholder:"LEVEL" enum:"debug,info,warn,error" default:"info" help:"debug, info, warn or error (default info)."`
	LogFormat  string `placeholder:"FORMAT" enum:"text,json" default:"text" help:"text or json (default text). How far it is, is a line of text."`
}

// Help implements kong.HelpProvider.
func (*relayCommand) Help() string {
	return `Each relay of the file takes messages from an existing queue, stream or subject, gives them their class by the rules, and puts them into the lanes of a queue. A message leaves its source only after its lane has confirmed it, so nothing is lost when the relay is killed: start it again and it goes on.
SIGTERM and SIGINT finish what is in hand. The exit code is 1 if there is no such source, or with --until-empty if messages can't be moved.

Example:
  relays:
    - {name: orders, from: {broker: rabbit, queue: orders}, queue: jobs}
  rules:
    - {name: express, class: interactive, match: {path: "/orders.express.*"}}
    - {name: bulk, class: batch, match: {headers: {type: report}}}

  overtake relay -c overtake.yaml --until-empty`
}

// Run moves messages until ctx ends.
func (c *relayCommand) Run(ctx context.Context) (err error) {
	cfg, err := config.Load(c.Config, os.LookupEnv)
	if err != nil {
		return err
	}
	if len(cfg.Relays) == 0 {
		return &usageError{fmt.Errorf("%s has no relays: add relays: [{from: {broker: NAME, queue: NAME}, queue: NAME}]", c.Config)}
	}
	for _, r := range cfg.Relays {
		if c.UntilEmpty && r.From.Stream == "" && r.From.Subject != "" {
			return &usageError{fmt.Errorf("--until-empty: relay %s takes from a subject without a stream, which is never empty", r.Name)}
		}
	}
	log, _ := newLogger(c.LogLevel, c.LogFormat)
	slog.SetDefault(log)
	b := newBrokers(cfg, log)
	b.guest = true
	b.sockets = socket.NewSetter(cfg.SocketOptions(), log)
	defer func() { err = errors.Join(err, b.close()) }()
	relays := make([]*relay.Relay, len(cfg.Relays))
	for i := range relays {
		if relays[i], err = c.open(ctx, b, cfg.Relays[i]); err != nil {
			return fmt.Errorf("relay %s: %w", cfg.Relays[i].Name, err)
		}
	}
	return move(ctx, cfg, relays)
}

func (c *relayCommand) open(ctx context.Context, b *brokers, r config.Relay) (*relay.Relay, error) {
	decider, classes, err := b.cfg.Classifier(nil)
	if err != nil {
		return nil, err
	}
	patient, cancel := context.WithTimeout(ctx, brokerPatience)
	defer cancel()
	queue, err := b.open(patient, r.Queue)
	if err != nil {
		return nil, err
	}
	destination, err := b.publisher(patient, r.Queue, queue)
	if err != nil {
		return nil, err
	}
	b.closers = append(b.closers, destination.Close)
	source, err := openSource(b, r)
	if err != nil {
		return nil, err
	}
	return relay.New(relay.Config{
		Name: r.Name, Open: source, Destination: destination, Classifier: decider, Classes: classes,
		Trust: r.Trust, Window: r.Window, UntilEmpty: c.UntilEmpty, Logger: b.log,
	})
}

// move runs the relays until all have ended. When one fails, the others finish.
func move(ctx context.Context, cfg *config.Config, relays []*relay.Relay) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(relays))
	var running, reporting sync.WaitGroup
	for i, r := range relays {
		running.Go(func() {
			if errs[i] = r.Run(ctx); errs[i] != nil && !errors.Is(errs[i], relay.ErrLeft) {
				stop()
			}
		})
	}
	ended := make(chan struct{})
	reporting.Go(func() { report(ended, cfg, relays) })
	running.Wait()
	close(ended)
	reporting.Wait()
	return errors.Join(errs...)
}

// report writes how far the relays are, now and then and in the end.
func report(ended <-chan struct{}, cfg *config.Config, relays []*relay.Relay) {
	every := 5 * time.Second
	if isTerminal(os.Stderr) {
		every = time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	start := time.Now()
	last, before := start, make([]uint64, len(relays))
	for {
		select {
		case now := <-tick.C:
			for i, r := range relays {
				total := writeProgress(os.Stderr, cfg, i, r.Progress(), before[i], now.Sub(last))
				before[i] = total
			}
			last = now
		case <-ended:
			for i, r := range relays {
				writeProgress(os.Stderr, cfg, i, r.Progress(), 0, time.Since(start))
			}
			return
		}
	}
}

// writeProgress writes a line about a relay, with its rate since it had moved that
// many, and returns how many it has moved.
func writeProgress(w io.Writer, cfg *config.Config, i int, p relay.Progress, before uint64, since time.Duration) (total uint64) {
	var classes []string
	for _, class := range cfg.Classes {
		total += p.Moved[class.Name]
		classes = append(classes, fmt.Sprintf("%s %d", class.Name, p.Moved[class.Name]))
	}
	line := fmt.Sprintf("relay %s: %d moved (%s), %.0f/s", cfg.Relays[i].Name, total, strings.Join(classes, ", "),
		float64(total-before)/since.Seconds())
	if p.Waiting >= 0 {
		line += fmt.Sprintf(", %d waiting", p.Waiting)
	}
	if p.Dead > 0 {
		line += fmt.Sprintf(", %d made dead letters", p.Dead)
	}
	if p.Left > 0 {
		line += fmt.Sprintf(", %d can't be moved", p.Left)
	}
	fmt.Fprintln(w, line)
	return total
}

// openSource returns what opens the source of a relay.
func openSource(b *brokers, r config.Relay) (func(int) (broker.Source, error), error) {
	if b.cfg.Brokers[r.From.Broker].Type == "rabbitmq" {
		conn, err := b.onRabbitMQ(place{broker: r.From.Broker})
		if err != nil {
			return nil, err
		}
		return func(inHand int) (broker.Source, error) { return conn.Source(r.From.Queue, inHand), nil }, nil
	}
	conn, err := b.onNATS(place{broker: r.From.Broker})
	if err != nil {
		return nil, err
	}
	if r.From.Stream == "" {
		return func(int) (broker.Source, error) { return conn.SubjectSource(r.From.Subject, r.From.Group) }, nil
	}
	return func(inHand int) (broker.Source, error) {
		return conn.StreamSource(nats.StreamConfig{
			Stream: r.From.Stream, Subject: r.From.Subject, Durable: "overtake-relay-" + r.Name, Window: inHand,
		}), nil
	}, nil
}
