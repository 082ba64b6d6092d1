package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"overtake/broker"
	"overtake/broker/nats"
	"overtake/broker/rabbitmq"
	"overtake/classifier/strictyaml"
	"overtake/gateway"
	"overtake/gateway/config"
	"overtake/gateway/socket"
)

// brokerPatience bounds opening and closing a broker's parts.
const brokerPatience = 30 * time.Second

// resultsShare is the part of a broker's disk that is for the results of jobs, if
// it keeps any: one in so many.
const resultsShare = 4

// brokers are the configured message brokers. They are connected to when they are
// needed.
type brokers struct {
	cfg *config.Config
	log *slog.Logger
	// guest: an embedded broker is the gateway's, and is shared while that runs.
	guest bool
	// sockets tells the kernel of which class a connection's publishes are.
	// Default: nobody does.
	sockets *socket.Setter

	nats    map[place]*nats.Conn
	rabbit  map[place]*rabbitmq.Conn
	closers []func(context.Context) error // in the order of opening
}

func newBrokers(cfg *config.Config, log *slog.Logger) *brokers {
	return &brokers{cfg: cfg, log: log, nats: make(map[place]*nats.Conn), rabbit: make(map[place]*rabbitmq.Conn)}
}

// queue is one queue on its broker.
type queue struct {
	inspected
	publisher func() publisher
	consumer  func() broker.Consumer
	ping      func(context.Context) error
	depths    func(context.Context) (map[string]int, error)
}

// inspected is what people see of a queue.
type inspected interface {
	broker.Inspector
	broker.Morgue
}

// publisher is what all adapters have.
type publisher interface {
	broker.Publisher
	broker.Sender
}

// open declares a configured queue and returns it.
func (b *brokers) open(ctx context.Context, name string) (*queue, error) {
	return b.openFor(ctx, name, 0)
}

// openFor is open over the connection for publishes of a class, as a rank.
func (b *brokers) openFor(ctx context.Context, name string, class int) (*queue, error) {
	on := place{b.cfg.Queues[name].Broker, class}
	if b.cfg.Brokers[on.broker].Type == "rabbitmq" {
		conn, err := b.onRabbitMQ(on)
		if err != nil {
			return nil, err
		}
		q, err := conn.OpenQueue(ctx, rabbitMQQueue(b.cfg, name))
		if err != nil {
			return nil, fmt.Errorf("broker %s: %w", on.broker, err)
		}
		return &queue{
			q, func() publisher { return q.Publisher() }, func() broker.Consumer { return q.Consumer() }, conn.Ping,
			depthsOf(q.Lanes, func(l rabbitmq.Lane) (string, int) { return l.Class, l.Depth }),
		}, nil
	}
	conn, err := b.onNATS(on)
	if err != nil {
		return nil, err
	}
	q, err := conn.OpenQueue(ctx, natsQueue(b.cfg, name))
	if err != nil {
		return nil, fmt.Errorf("broker %s: %w", on.broker, err)
	}
	return &queue{
		q, func() publisher { return q.Publisher() }, func() broker.Consumer { return q.Consumer() }, q.Ping,
		depthsOf(q.Lanes, func(l nats.Lane) (string, int) { return l.Class, l.Depth }),
	}, nil
}

// inspect returns a configured queue that a gateway has declared, of a broker that
// can be reached.
func (b *brokers) inspect(ctx context.Context, name string) (inspected, error) {
	on := b.cfg.Queues[name].Broker
	if b.cfg.Brokers[on].Type == "rabbitmq" {
		conn, err := b.onRabbitMQ(place{broker: on})
		if err != nil {
			return nil, err
		}
		q, err := conn.Queue(ctx, rabbitMQQueue(b.cfg, name))
		if err != nil {
			return nil, fmt.Errorf("broker %s: %w", on, err)
		}
		return q, nil
	}
	conn, err := b.onNATS(place{broker: on})
	if err != nil {
		return nil, err
	}
	if err := conn.Ping(ctx); err != nil {
		return nil, fmt.Errorf("broker %s: %w", on, err)
	}
	q, err := conn.Queue(natsQueue(b.cfg, name))
	if err != nil {
		return nil, fmt.Errorf("broker %s: %w", on, err)
	}
	return q, nil
}

// gatewayQueues opens all queues for the gateway, with the stores of their
// results.
func (b *brokers) gatewayQueues(ctx context.Context) (map[string]gateway.Queue, error) {
	ctx, cancel := context.WithTimeout(ctx, brokerPatience)
	defer cancel()
	stores := make(map[string]*nats.Jobs) // by broker
	for name := range b.cfg.Brokers {
		if !b.cfg.KeepsResults(name) {
			continue
		}
		var err error
		if stores[name], err = b.jobs(ctx, name); err != nil {
			return nil, err
		}
	}
	queues := make(map[string]gateway.Queue)
	for name, settings := range b.cfg.Queues {
		q, err := b.open(ctx, name)
		if err != nil {
			return nil, err
		}
		p, err := b.publisher(ctx, name, q)
		if err != nil {
			return nil, err
		}
		c := q.consumer()
		b.closers = append(b.closers, p.Close, c.Close)
		ends := gateway.Queue{Publisher: p, Consumer: c, Ping: p.ping, Depths: q.depths, Inspect: q.Inspect, SetPaused: q.SetPaused}
		if store := stores[settings.Results]; store != nil {
			ends.Records, ends.Answers = store, store
			ends.Ping = func(ctx context.Context) error { return errors.Join(p.ping(ctx), store.Ping(ctx)) }
		}
		queues[name] = ends
	}
	return queues, nil
}

// jobs opens a broker's store for jobs. Half of the disk is for answers.
func (b *brokers) jobs(ctx context.Context, name string) (*nats.Jobs, error) {
	conn, err := b.onNATS(place{broker: name})
	if err != nil {
		return nil, err
	}
	disk := int64(b.cfg.Brokers[name].MaxBytes / resultsShare)
	store, err := conn.OpenJobs(ctx, nats.JobsConfig{
		RecordBytes: disk / 2, AnswerBytes: disk / 2,
		AnswerKeep: b.cfg.LongestKept(name) + time.Minute, // answers are stored before the job ends
		Replicas:   b.cfg.Brokers[name].Replicas,
	})
	if err != nil {
		return nil, fmt.Errorf("broker %s: %w", name, err)
	}
	b.closers = append(b.closers, store.Close)
	return store, nil
}

// onNATS returns the connection to a broker of type nats.
func (b *brokers) onNATS(on place) (*nats.Conn, error) {
	if conn := b.nats[on]; conn != nil {
		return conn, nil
	}
	name := on.broker
	cfg, err := b.natsConn(name)
	if err != nil {
		return nil, fmt.Errorf("broker %s: %w", name, err)
	}
	cfg.Control, cfg.Logger = b.sockets.Control(on.class), b.logger(on)
	conn, err := nats.Connect(cfg)
	if err != nil && cfg.Dir != "" {
		err = fmt.Errorf("the process that has it can't be reached, its log says why: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("broker %s: %w", name, err)
	}
	b.closers = append(b.closers, conn.Close)
	b.nats[on] = conn
	return conn, nil
}

// natsConn returns how to connect to a broker of type nats. It starts its server
// before, if that is to be in this process.
func (b *brokers) natsConn(name string) (nats.ConnConfig, error) {
	settings := b.cfg.Brokers[name]
	conn := nats.ConnConfig{
		URLs: settings.URLs, Credentials: settings.Credentials, NKey: settings.NKey, Token: string(settings.Token),
		Logger: b.log.With("broker", name),
	}
	if settings.URL != "" {
		conn.URLs = []string{settings.URL}
	}
	if settings.TLS != nil {
		conn.TLS = nats.TLSFiles(*settings.TLS)
	}
	if !settings.Embedded {
		return conn, nil
	}
	server := nats.ServerConfig{
		Dir: settings.Dir, MaxMemory: int64(settings.Memory), SyncAlways: settings.Sync == "always", Logger: conn.Logger,
	}
	if !b.guest { // others are the gateway's matter
		server.Listen, server.Token, server.TLS = settings.Listen, conn.Token, conn.TLS
	}
	var err error
	conn.Server, err = nats.StartServer(server)
	if b.guest && errors.Is(err, nats.ErrInUse) {
		conn.Dir = settings.Dir
		return conn, nil
	}
	if err != nil {
		return conn, err
	}
	b.closers = append(b.closers, conn.Server.Shutdown)
	if address := conn.Server.Addr(); address != nil {
		conn.Logger.Info("listening", "address", address.String())
	}
	return conn, nil
}

// logger names the broker, and the class where the connection is for publishes of one.
func (b *brokers) logger(on place) *slog.Logger {
	if on.class == 0 {
		return b.log.With("broker", on.broker)
	}
	return b.log.With("broker", on.broker, "class", b.cfg.Classes[on.class].Name)
}

// onRabbitMQ returns the connection to a broker of type rabbitmq.
func (b *brokers) onRabbitMQ(on place) (*rabbitmq.Conn, error) {
	if conn := b.rabbit[on]; conn != nil {
		return conn, nil
	}
	name := on.broker
	settings := b.cfg.Brokers[name]
	cfg := rabbitmq.ConnConfig{URL: settings.URL, Control: b.sockets.Control(on.class), Logger: b.logger(on)}
	if on.class > 0 {
		beside, err := b.onRabbitMQ(place{broker: name})
		if err != nil {
			return nil, err
		}
		cfg.Beside = beside
	}
	if settings.TLS != nil {
		cfg.TLS = rabbitmq.TLSFiles(*settings.TLS)
	}
	conn, err := rabbitmq.Connect(cfg)
	if err != nil {
		return nil, fmt.Errorf("broker %s: %w", name, err)
	}
	b.closers = append(b.closers, conn.Close)
	b.rabbit[on] = conn
	return conn, nil
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

func classNames(cfg *config.Config) []string {
	names := make([]string, len(cfg.Classes))
	for i, c := range cfg.Classes {
		names[i] = c.Name
	}
	return names
}

// rabbitMQQueue returns how a queue is declared on its broker, of type rabbitmq.
func rabbitMQQueue(cfg *config.Config, name string) rabbitmq.QueueConfig {
	q := cfg.Queues[name]
	return rabbitmq.QueueConfig{
		Name: name, Classes: classNames(cfg), Native: cfg.OneLane(name), Type: q.QueueType, MaxBytes: int64(q.LaneBytes),
	}
}

// natsQueue returns how a queue is declared on its broker, of type nats.
func natsQueue(cfg *config.Config, name string) nats.QueueConfig {
	on := cfg.Queues[name].Broker
	disk, queues := cfg.Brokers[on].MaxBytes, 0
	if cfg.KeepsResults(on) {
		disk -= disk / resultsShare
	}
	for _, q := range cfg.Queues {
		if q.Broker == on {
			queues++
		}
	}
	lane, dead := divide(disk, queues, len(cfg.Classes))
	return nats.QueueConfig{
		Name: name, Classes: classNames(cfg), MaxBytes: lane, DeadBytes: dead, Replicas: cfg.Brokers[on].Replicas,
	}
}

// divide divides a broker's disk evenly among its queues, and a queue's among
// the lanes of its classes and its dead letters, which get no more than they
// need. The configuration has made sure that there is enough.
func divide(disk strictyaml.Size, queues, classes int) (lane, dead int64) {
	share := int64(disk) / int64(queues)
	dead = min(nats.DefaultDeadBytes, share/int64(classes+1))
	return (share - dead) / int64(classes), dead
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
