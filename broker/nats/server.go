package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
)

// Defaults of [ServerConfig].
const (
	DefaultServerMaxMemory = 64 << 20
	DefaultMaxPayload      = 8 << 20
)

// ServerConfig says how the embedded server runs.
type ServerConfig struct {
	// Dir is the folder that holds the messages. It is created if need be,
	// and belongs to one server at a time.
	Dir string
	// MaxMemory bounds memory-backed streams. Queues have none, so it only
	// replaces the server's own default of 75 % of the machine's memory.
	// Default 64 MiB.
	MaxMemory int64
	// MaxPayload bounds one message with its headers, in bytes. Default 8 MiB.
	MaxPayload int
	// SyncAlways makes every confirmation wait for an fsync: a crash of the
	// operating system then loses nothing, and publishing is slower by what
	// the disk needs for one.
	SyncAlways bool
	// Logger gets the server's own messages. Default: slog.Default.
	Logger *slog.Logger
}

func (c *ServerConfig) setDefaults() {
	if c.MaxMemory == 0 {
		c.MaxMemory = DefaultServerMaxMemory
	}
	if c.MaxPayload == 0 {
		c.MaxPayload = DefaultMaxPayload
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}

func (c *ServerConfig) validate() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("nats: no broker folder given"))
	}
	if c.MaxMemory < 0 {
		errs = append(errs, fmt.Errorf("nats: MaxMemory %d must not be negative", c.MaxMemory))
	}
	if c.MaxPayload <= deadLetterRoom || c.MaxPayload > server.MAX_PAYLOAD_MAX_SIZE {
		errs = append(errs, fmt.Errorf("nats: MaxPayload %d, want more than %d and at most %d",
			c.MaxPayload, deadLetterRoom, server.MAX_PAYLOAD_MAX_SIZE))
	}
	return errors.Join(errs...)
}

// Server is a JetStream server inside this process. It opens no port: only
// [Connect] reaches it.
type Server struct {
	ns   *server.Server
	lock *folderLock

	stop    sync.Once
	stopped chan struct{} // closed when the folder has been released
	err     error         // of the release; read after stopped
}

// StartServer starts a server on cfg.Dir and returns when it has read the
// folder and takes connections. A folder that can't be used is an error that
// names it and what to do about it.
func StartServer(cfg ServerConfig) (*Server, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	lock, err := lockFolder(cfg.Dir)
	if err != nil {
		return nil, err
	}
	ns, err := startServer(&cfg)
	if err != nil {
		return nil, errors.Join(err, lock.release())
	}
	return &Server{ns: ns, lock: lock, stopped: make(chan struct{})}, nil
}

// storeLimit is far above any disk. What bounds the disk is the bound of each
// lane: a bound of the server would count what lanes reserve, also those of
// former configurations, and then refuse to open the present ones.
const storeLimit = 1 << 50

func startServer(cfg *ServerConfig) (*server.Server, error) {
	ns, err := server.NewServer(&server.Options{
		ServerName:             "overtake",
		DontListen:             true,
		NoSigs:                 true, // signals belong to main
		JetStream:              true,
		StoreDir:               cfg.Dir,
		JetStreamMaxStore:      storeLimit,
		JetStreamMaxMemory:     cfg.MaxMemory,
		SyncAlways:             cfg.SyncAlways,
		MaxPayload:             int32(cfg.MaxPayload),
		DisableJetStreamBanner: true,
	})
	if err != nil {
		return nil, unusable(cfg.Dir, err)
	}
	log := &serverLog{log: cfg.Logger.With("component", "nats-server")}
	ns.SetLoggerV2(log, false, false, false)
	ns.Start() // with DontListen it returns when everything has started
	if err := started(ns, log, cfg.Dir); err != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil, err
	}
	return ns, nil
}

// started returns why ns does not work on dir, if so.
func started(ns *server.Server, log *serverLog, dir string) error {
	if fatal := log.fatal.Load(); fatal != nil {
		return unusable(dir, errors.New(*fatal))
	}
	if !ns.JetStreamEnabled() {
		return unusable(dir, errors.New("JetStream did not start"))
	}
	return checkRecovered(ns, dir)
}

// unusable is the error for a folder that a server can't work on.
func unusable(dir string, err error) error {
	return fmt.Errorf("nats: broker folder %q can't be used: %w; "+
		"give the broker a folder of its own that this process may write", dir, err)
}

// Shutdown closes all connections, writes what is left to the folder and
// releases it. It returns when the server's goroutines have ended, or with
// ctx's error before that; the shutdown goes on then.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop.Do(func() {
		go func() {
			defer close(s.stopped)
			s.ns.Shutdown()
			s.ns.WaitForShutdown()
			s.err = s.lock.release()
		}()
	})
	select {
	case <-s.stopped:
		return s.err
	case <-ctx.Done():
		return fmt.Errorf("nats: shut down server: %w", ctx.Err())
	}
}
