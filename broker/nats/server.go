package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
	// Listen is the host:port where others may connect; port 0 is any that is
	// free. Default: "", no port is opened.
	Listen string
	// Token is what others must know to connect. Required if Listen is not on
	// loopback.
	Token string
	// TLS encrypts the connections of others, with Cert and Key; with CA, they
	// need certificates, too.
	TLS TLSFiles
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
	if c.Listen == "" {
		if c.Token != "" || c.TLS != (TLSFiles{}) {
			errs = append(errs, errors.New("nats: Token and TLS are for Listen, which is not given"))
		}
	} else if host, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, fmt.Errorf("nats: listen: %w; write host:port", err))
	} else if ip := net.ParseIP(host); c.Token == "" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		errs = append(errs, fmt.Errorf("nats: listen on %q without a token: everybody who reaches it could take and add messages; "+
			"give a token, or listen on 127.0.0.1", c.Listen))
	}
	return errors.Join(errs...)
}

// Server is a JetStream server inside this process. Without
// [ServerConfig].Listen it opens no port. [Connect] reaches it, also from another
// process of a user who may use the folder.
type Server struct {
	cfg     ServerConfig
	trouble chan struct{} // of capacity 1, gets a word after each error that the server logs
	lock    *folderLock
	door    *doorway // nil where there can't be one

	stopMending context.CancelFunc
	mended      chan struct{} // closed when nobody mends it any more

	mu sync.Mutex
	ns *server.Server // mend replaces it

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
	_ = os.Remove(filepath.Join(cfg.Dir, trialName)) // of a process that was killed while it wrote it
	trouble := make(chan struct{}, 1)
	ns, err := startServer(&cfg, trouble)
	if err != nil {
		return nil, errors.Join(err, lock.release())
	}
	if address, ok := ns.Addr().(*net.TCPAddr); ok {
		host, _, _ := net.SplitHostPort(cfg.Listen)
		cfg.Listen = net.JoinHostPort(host, strconv.Itoa(address.Port)) // also when it is started anew
	}
	s := &Server{cfg: cfg, trouble: trouble, lock: lock, ns: ns, mended: make(chan struct{}), stopped: make(chan struct{})}
	if s.door, err = openDoorway(cfg.Dir, s); err != nil {
		cfg.Logger.Warn("nats: other processes, such as overtake queue, can't reach the queues while this one runs", "error", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stopMending = cancel
	go s.mend(ctx)
	return s, nil
}

// Addr returns where the server listens, or nil if it does not.
func (s *Server) Addr() net.Addr { return s.running().Addr() }

// storeLimit is far above any disk. What bounds the disk is the bound of each
// lane: a bound of the server would count what lanes reserve, also those of
// former configurations, and then refuse to open the present ones.
const storeLimit = 1 << 50

func startServer(cfg *ServerConfig, trouble chan<- struct{}) (*server.Server, error) {
	options := &server.Options{
		ServerName:             "overtake",
		DontListen:             cfg.Listen == "",
		Authorization:          cfg.Token,
		NoSigs:                 true, // signals belong to main
		JetStream:              true,
		StoreDir:               cfg.Dir,
		JetStreamMaxStore:      storeLimit,
		JetStreamMaxMemory:     cfg.MaxMemory,
		SyncAlways:             cfg.SyncAlways,
		MaxPayload:             int32(cfg.MaxPayload),
		DisableJetStreamBanner: true,
	}
	if err := listening(options, cfg); err != nil {
		return nil, err
	}
	ns, err := server.NewServer(options)
	if err != nil {
		return nil, unusable(cfg.Dir, err)
	}
	log := &serverLog{log: cfg.Logger.With("component", "nats-server"), trouble: trouble}
	ns.SetLoggerV2(log, false, false, false)
	sizes := blockSizes(cfg.Dir)
	ns.Start() // it returns when everything has started
	if err := started(ns, log, cfg.Dir); err != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil, err
	}
	reportCutOff(cfg.Logger, sizes)
	return ns, nil
}

// listening sets where and how the server listens.
func listening(options *server.Options, cfg *ServerConfig) error {
	if cfg.Listen == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err == nil {
		options.Host = host
		options.Port, err = strconv.Atoi(port)
	}
	if err != nil {
		return fmt.Errorf("nats: listen on %q: %w; write host:port", cfg.Listen, err)
	}
	if options.Port == 0 {
		options.Port = server.RANDOM_PORT
	}
	if cfg.TLS == (TLSFiles{}) {
		return nil
	}
	options.TLSConfig, err = server.GenTLSConfig(&server.TLSConfigOpts{
		CertFile: cfg.TLS.Cert, KeyFile: cfg.TLS.Key, CaFile: cfg.TLS.CA, Verify: cfg.TLS.CA != "",
	})
	if err != nil {
		return fmt.Errorf("nats: listen on %q: TLS: %w", cfg.Listen, err)
	}
	return nil
}

// started returns why ns does not work on dir, if so.
func started(ns *server.Server, log *serverLog, dir string) error {
	if fatal := log.fatal.Load(); fatal != nil {
		if strings.HasPrefix(*fatal, "Error listening") {
			return fmt.Errorf("nats: %s; free the address or give another", *fatal)
		}
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
			s.stopMending()
			<-s.mended
			s.door.close()
			s.running().Shutdown()
			s.running().WaitForShutdown()
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
