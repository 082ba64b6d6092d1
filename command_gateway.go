package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"overtake/broker/nats"
	"overtake/gateway"
	"overtake/gateway/config"
)

type gatewayCommand struct {
	Config    string   `short:"c" placeholder:"FILE" help:"Configuration file."`
	Listen    string   `placeholder:"ADDR" help:"Address to listen on, instead of the first listener's (default :8080)."`
	Upstream  []string `sep:"none" placeholder:"URL" help:"App to stand in front of; repeat it for several servers of one app."`
	Admin     string   `placeholder:"ADDR" help:"Address of the admin listener, or off (default 127.0.0.1:9901)."`
	LogLevel  string   `placeholder:"LEVEL" help:"debug, info, warn or error (default info)."`
	LogFormat string   `placeholder:"FORMAT" help:"text or json (default text)."`
}

// Help implements kong.HelpProvider.
func (*gatewayCommand) Help() string {
	return `Without a file, everything goes to --upstream with built-in rules and sensible bounds.
The environment variables OVERTAKE_CONFIG, OVERTAKE_LISTEN, OVERTAKE_UPSTREAM, OVERTAKE_ADMIN, OVERTAKE_LOG_LEVEL and OVERTAKE_LOG_FORMAT stand in for flags that are not given. SIGTERM and SIGINT drain.

Examples:
  overtake gateway --upstream http://127.0.0.1:9000
  overtake gateway -c overtake.yaml --listen :80`
}

// Run starts the gateway and drains it when ctx ends.
func (c *gatewayCommand) Run(ctx context.Context) error {
	environment, err := config.ProcessFromEnv()
	if err != nil {
		return &usageError{err}
	}
	flags := config.Process{
		Config: c.Config, Listen: c.Listen, Admin: c.Admin, Upstream: c.Upstream,
		LogLevel: c.LogLevel, LogFormat: c.LogFormat,
	}
	cfg, err := config.Resolve(flags, environment, os.LookupEnv)
	if err != nil {
		return err
	}
	process := flags.Over(environment)
	log := newLogger(process.LogLevel, process.LogFormat)
	slog.SetDefault(log)
	for _, warning := range process.Warnings {
		log.Warn(warning)
	}
	for _, warning := range cfg.Warnings {
		log.Warn(warning.String())
	}
	return serve(ctx, cfg, log)
}

// serve runs a gateway from start to drained.
func serve(ctx context.Context, cfg *config.Config, log *slog.Logger) (err error) {
	brokers := &brokers{log: log}
	defer func() { err = errors.Join(err, brokers.close()) }()
	queues, err := brokers.open(ctx, cfg)
	if err != nil {
		return err
	}
	g, err := gateway.New(gateway.Options{Config: cfg, Queues: queues, Logger: log})
	if err != nil {
		return err
	}
	if err := g.Start(); err != nil {
		return err
	}
	g.FindDown(ctx)
	stop := onHangup(func() {
		log.Warn("SIGHUP: reloading is not available in this version; restart to apply a changed file")
	})
	defer stop()
	<-ctx.Done()
	log.Info("draining", "timeout", cfg.DrainTimeout)
	drain, cancel := context.WithTimeout(context.Background(), cfg.DrainTimeout)
	defer cancel()
	if err := g.Shutdown(drain); err != nil {
		return err
	}
	log.Info("drained")
	return nil
}

// onHangup calls f at each SIGHUP, which by default would end the process without
// a drain, until stop is called.
func onHangup(f func()) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range hangups {
			f()
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(hangups)
		<-done
	}
}

func newLogger(level, format string) *slog.Logger {
	var l slog.Level
	if level != "" {
		_ = l.UnmarshalText([]byte(level)) // checked with the configuration
	}
	options := &slog.HandlerOptions{Level: l}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}

// brokers are the message brokers that the configured queues are on.
type brokers struct {
	log     *slog.Logger
	closers []func(context.Context) error // in the order of opening
}

// brokerPatience bounds opening and closing a broker's parts.
const brokerPatience = 30 * time.Second

// open starts the brokers that have queues and opens those.
func (b *brokers) open(ctx context.Context, cfg *config.Config) (map[string]gateway.Queue, error) {
	ctx, cancel := context.WithTimeout(ctx, brokerPatience)
	defer cancel()
	classes := make([]string, len(cfg.Classes))
	for i, c := range cfg.Classes {
		classes[i] = c.Name
	}
	queues := make(map[string]gateway.Queue)
	for name, broker := range cfg.Brokers {
		on := 0
		for _, q := range cfg.Queues {
			if q.Broker == name {
				on++
			}
		}
		if on == 0 {
			continue
		}
		if broker.Type == "rabbitmq" {
			if err := b.openRabbit(ctx, name, cfg, classes, queues); err != nil {
				return nil, err
			}
			continue
		}
		lane, dead := divide(broker.MaxBytes, on, len(classes))
		conn, err := b.connect(name, broker)
		if err != nil {
			return nil, err
		}
		for queueName, q := range cfg.Queues {
			if q.Broker != name {
				continue
			}
			queue, err := b.queue(ctx, conn, nats.QueueConfig{
				Name: queueName, Classes: classes, MaxBytes: lane, DeadBytes: dead, Replicas: broker.Replicas,
			})
			if err != nil {
				return nil, fmt.Errorf("broker %s: %w", name, err)
			}
			queues[queueName] = queue
		}
	}
	return queues, nil
}

// divide divides a broker's disk evenly among its queues, and a queue's among
// the lanes of its classes and its dead letters, which get no more than they
// need. The configuration has made sure that there is enough.
func divide(disk config.Size, queues, classes int) (lane, dead int64) {
	share := int64(disk) / int64(queues)
	dead = min(nats.DefaultDeadBytes, share/int64(classes+1))
	return (share - dead) / int64(classes), dead
}

// connect connects to a broker, and starts its server before if that is to be in
// this process.
func (b *brokers) connect(name string, broker config.Broker) (*nats.Conn, error) {
	log := b.log.With("broker", name)
	conn := nats.ConnConfig{
		URLs: broker.URLs, Credentials: broker.Credentials, NKey: broker.NKey, Token: string(broker.Token), Logger: log,
	}
	if broker.URL != "" {
		conn.URLs = []string{broker.URL}
	}
	if broker.TLS != nil {
		conn.TLS = nats.TLSFiles(*broker.TLS)
	}
	if broker.Embedded {
		server, err := nats.StartServer(nats.ServerConfig{
			Dir: broker.Dir, MaxMemory: int64(broker.Memory), SyncAlways: broker.Sync == "always",
			Listen: broker.Listen, Token: string(broker.Token), TLS: conn.TLS, Logger: log,
		})
		if err != nil {
			return nil, fmt.Errorf("broker %s: %w", name, err)
		}
		b.closers = append(b.closers, server.Shutdown)
		if address := server.Addr(); address != nil {
			log.Info("listening", "address", address.String())
		}
		conn.Server = server
	}
	c, err := nats.Connect(conn)
	if err != nil {
		return nil, fmt.Errorf("broker %s: %w", name, err)
	}
	b.closers = append(b.closers, c.Close)
	return c, nil
}

func (b *brokers) queue(ctx context.Context, conn *nats.Conn, cfg nats.QueueConfig) (gateway.Queue, error) {
	q, err := conn.OpenQueue(ctx, cfg)
	if err != nil {
		return gateway.Queue{}, err
	}
	publisher, consumer := q.Publisher(), q.Consumer()
	b.closers = append(b.closers, publisher.Close, consumer.Close)
	depths := func(ctx context.Context) (map[string]int, error) {
		lanes, err := q.Lanes(ctx)
		if err != nil {
			return nil, err
		}
		depths := make(map[string]int, len(lanes))
		for _, lane := range lanes {
			depths[lane.Class] = lane.Depth
		}
		return depths, nil
	}
	return gateway.Queue{Publisher: publisher, Consumer: consumer, Depths: depths}, nil
}

// close closes all in the reverse order of opening.
func (b *brokers) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), brokerPatience)
	defer cancel()
	var errs []error
	for i := len(b.closers) - 1; i >= 0; i-- {
		errs = append(errs, b.closers[i](ctx))
	}
	return errors.Join(errs...)
}
