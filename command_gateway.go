package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"overtake/gateway"
	"overtake/gateway/config"
	"overtake/gateway/socket"
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
The environment variables OVERTAKE_CONFIG, OVERTAKE_LISTEN, OVERTAKE_UPSTREAM, OVERTAKE_ADMIN, OVERTAKE_LOG_LEVEL and OVERTAKE_LOG_FORMAT stand in for flags that are not given, and OVERTAKE_ADMIN_TOKEN for admin_token in the file. SIGTERM and SIGINT drain.

Examples:
  overtake gateway --upstream http://127.0.0.1:9000
  overtake gateway -c overtake.yaml --listen :80`
}

// Run starts the gateway and drains it when ctx ends.
func (c *gatewayCommand) Run(ctx context.Context) error {
	return runProcess(ctx, config.Process{
		Config: c.Config, Listen: c.Listen, Admin: c.Admin, Upstream: c.Upstream,
		LogLevel: c.LogLevel, LogFormat: c.LogFormat,
	}, config.Resolve)
}

// runProcess serves what resolve makes of the flags and the environment, until it
// is drained.
func runProcess(ctx context.Context, flags config.Process, resolve func(flags, environment config.Process, lookupEnv func(string) (string, bool)) (*config.Config, error)) error {
	environment, err := config.ProcessFromEnv()
	if err != nil {
		return &usageError{err}
	}
	process := flags.Over(environment)
	log, level := newLogger(process.LogLevel, process.LogFormat)
	options := gateway.Options{Logger: log, Level: level, Version: version()}
	options.Read = func() (*config.Config, error) { return resolve(flags, environment, os.LookupEnv) }
	if process.Config != "" {
		options.Files = []string{process.Config}
	}
	if options.Config, err = options.Read(); err != nil {
		return err
	}
	slog.SetDefault(log)
	for _, warning := range process.Warnings {
		log.Warn(warning)
	}
	for _, warning := range options.Config.Warnings {
		log.Warn(warning.String())
	}
	return serve(ctx, options)
}

// serve runs a gateway from start to drained.
func serve(ctx context.Context, options gateway.Options) (err error) {
	cfg, log := options.Config, options.Logger
	hangups := make(chan os.Signal, 1) // from now on, since a SIGHUP by default ends the process
	signal.Notify(hangups, syscall.SIGHUP)
	sockets := socket.NewSetter(cfg.SocketOptions(), log)
	brokers := newBrokers(cfg, log)
	brokers.sockets = sockets
	defer func() { err = errors.Join(err, brokers.close()) }()
	options.Sockets = sockets
	if options.Queues, err = brokers.gatewayQueues(ctx); err != nil {
		return err
	}
	var stopTracer func() error
	if options.Tracer, stopTracer, err = startTracer(cfg, log); err != nil {
		return err
	}
	defer func() {
		if lost := stopTracer(); lost != nil {
			log.Warn("the last spans are lost", "error", lost)
		}
	}()
	kernel := kernelChecks{sockets: sockets}
	options.Kernel = kernel.reports
	g, err := gateway.New(options)
	if err != nil {
		return err
	}
	if err := g.Start(); err != nil {
		return err
	}
	g.FindDown(ctx)
	kernel.of(cfg).log(ctx, log)
	stop := onHangup(hangups, func() {
		notifyManager(log, notifyReloading)
		defer notifyManager(log, notifyReady)
		if err := g.ReopenAccessLog(); err != nil {
			log.Error("access log not opened again; the old file goes on", "error", err)
		}
		g.Reload()
	})
	defer stop()
	notifyManager(log, notifyReady)
	<-ctx.Done()
	notifyManager(log, notifyStopping)
	timeout := g.Config().DrainTimeout
	log.Info("draining", "timeout", timeout)
	drain, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := g.Shutdown(drain); err != nil {
		return err
	}
	log.Info("drained")
	return nil
}

// onHangup calls f for each signal in hangups, until stop is called. That does not wait
// for f, which may hang in a file system.
func onHangup(hangups chan os.Signal, f func()) (stop func()) {
	go func() {
		for range hangups {
			f()
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(hangups)
	}
}

// newLogger also returns what its level can be changed by.
func newLogger(level, format string) (*slog.Logger, *slog.LevelVar) {
	l := new(slog.LevelVar)
	if level != "" {
		_ = l.UnmarshalText([]byte(level)) // checked with the configuration
	}
	options := &slog.HandlerOptions{Level: l}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options)), l
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options)), l
}
