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

	"overtake/broker"
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
	classes := classNames(cfg)
	queues := make(map[string]gateway.Queue)
	jobs := make(map[string]*nats.Jobs) // by broker
	for name, broker := range cfg.Brokers {
		results := cfg.KeepsResults(name)
		if queuesOn(cfg, name) == 0 && !results {
			continue
		}
		if broker.Type == "rabbitmq" {
			if err := b.openRabbitMQ(ctx, name, cfg, classes, queues); err != nil {
				return nil, fmt.Errorf("broker %s: %w", name, err)
			}
			continue
		}
		conn, err := b.connect(name, broker)
		if err != nil {
			return nil, err
		}
		if results {
			if jobs[name], err = b.jobs(ctx, conn, broker, cfg.LongestKept(name)); err != nil {
				return nil, fmt.Errorf("broker %s: %w", name, err)
			}
		}
		for queueName, q := range cfg.Queues {
			if q.Broker != name {
				continue
			}
			queue, err := b.queue(ctx, conn, natsQueue(cfg, queueName))
			if err != nil {
				return nil, fmt.Errorf("broker %s: %w", name, err)
			}
			queues[queueName] = queue
		}
	}
	for name, queue := range queues {
		if store := jobs[cfg.Queues[name].Results]; store != nil {
			queue.Records, queue.Answers = store, store
			queues[name] = queue
		}
	}
	return queues, nil
}

// resultsShare is the part of a broker's disk that is for the results of jobs, if
// it keeps any: one in so many.
const resultsShare = 4

// jobs opens a broker's store for jobs. Half of the disk is for answers.
func (b *brokers) jobs(ctx context.Context, conn *nats.Conn, broker config.Broker, keep time.Duration) (*nats.Jobs, error) {
	disk := int64(broker.MaxBytes / resultsShare)
	store, err := conn.OpenJobs(ctx, nats.JobsConfig{
		RecordBytes: disk / 2, AnswerBytes: disk / 2,
		AnswerKeep: keep + time.Minute, // answers are stored before the job ends
		Replicas:   broker.Replicas,
	})
	if err != nil {
		return nil, err
	}
	b.closers = append(b.closers, store.Close)
	return store, nil
}

func classNames(cfg *config.Config) []string {
	names := make([]string, len(cfg.Classes))
	for i, c := range cfg.Classes {
		names[i] = c.Name
	}
	return names
}

// queuesOn returns how many queues are on a broker.
func queuesOn(cfg *config.Config, broker string) (n int) {
	for _, q := range cfg.Queues {
		if q.Broker == broker {
			n++
		}
	}
	return n
}

// natsQueue returns how a queue is declared on its broker, of type nats.
func natsQueue(cfg *config.Config, name string) nats.QueueConfig {
	on := cfg.Queues[name].Broker
	disk := cfg.Brokers[on].MaxBytes
	if cfg.KeepsResults(on) {
		disk -= disk / resultsShare
	}
	lane, dead := divide(disk, queuesOn(cfg, on), len(cfg.Classes))
	return nats.QueueConfig{
		Name: name, Classes: classNames(cfg), MaxBytes: lane, DeadBytes: dead, Replicas: cfg.Brokers[on].Replicas,
	}
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
	return b.ends(q.Publisher(), q.Consumer(), depthsOf(q.Lanes, func(l nats.Lane) (string, int) { return l.Class, l.Depth })), nil
}

// depthsOf returns a function for [gateway.Queue].Depths from an adapter's own.
func depthsOf[L any](list func(context.Context) ([]L, error), of func(L) (string, int)) func(context.Context) (map[string]int, error) {
	return func(ctx context.Context) (map[string]int, error) {
		lanes, err := list(ctx)
		if err != nil {
			return nil, err
		}
		depths := make(map[string]int, len(lanes))
		for _, lane := range lanes {
			class, depth := of(lane)
			depths[class] = depth
		}
		return depths, nil
	}
}

// ends returns the two ends of a queue for the gateway, which are closed in the
// end.
func (b *brokers) ends(p broker.Publisher, c broker.Consumer, depths func(context.Context) (map[string]int, error)) gateway.Queue {
	b.closers = append(b.closers, p.Close, c.Close)
	return gateway.Queue{Publisher: p, Consumer: c, Depths: depths}
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
