package nats

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// lookForRoom is how often a server that could not write looks whether it can.
	lookForRoom = time.Second
	// trialName is the file that is written for that.
	trialName = "overtake.trial"
)

// mend starts the server anew when it could not write and now can, until ctx ends.
// Into a stream that it could not write to, a server takes nothing more as long as it
// runs: that of somebody else is started again by its operator, this one by us. Its
// clients connect again, as they do to any server.
func (s *Server) mend(ctx context.Context) {
	defer close(s.mended)
	for {
		select {
		case <-s.trouble:
		case <-ctx.Done():
			return
		}
		why := writeError(s.running())
		if why == nil { // a client's error, perhaps, of which there may be many
			if !pause(ctx, lookForRoom) {
				return
			}
			continue
		}
		s.cfg.Logger.Error("nats: the embedded server can't write and takes no messages; it goes on when there is room", "folder", s.cfg.Dir, "error", why)
		for said := ""; why != nil; {
			if !pause(ctx, lookForRoom) {
				return
			}
			if why = s.tryWrite(); why != nil {
				continue
			}
			// The same refusal, again and again, is news once.
			if why = s.startAnew(); why != nil && why.Error() != said {
				said = why.Error()
				s.cfg.Logger.Error("nats: the embedded server can't be started anew, trying on", "error", why)
			}
		}
		s.cfg.Logger.Info("nats: the embedded server can write again and goes on", "folder", s.cfg.Dir)
	}
}

// writeError returns why a stream takes nothing more, or that JetStream has stopped.
func writeError(ns *server.Server) error {
	if !ns.JetStreamEnabled() {
		return errors.New("JetStream has stopped")
	}
	for _, e := range ns.Healthz(&server.HealthzOptions{Details: true}).Errors {
		if e.Type == server.HealthzErrorStream && strings.Contains(e.Error, "write error") {
			return errors.New(e.Error)
		}
	}
	return nil
}

// tryWrite returns nil if the folder has room for the largest message.
func (s *Server) tryWrite() (err error) {
	path := filepath.Join(s.cfg.Dir, trialName)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	part := make([]byte, 64<<10)
	for left := s.cfg.MaxPayload; left > 0; left -= len(part) {
		if _, err := f.Write(part); err != nil {
			return err
		}
	}
	return f.Sync()
}

// startAnew replaces the server that runs, if one does.
func (s *Server) startAnew() error {
	s.running().Shutdown()
	s.running().WaitForShutdown()
	ns, err := startServer(&s.cfg, s.trouble)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ns = ns
	return nil
}

// running returns the present server.
func (s *Server) running() *server.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ns
}

// InProcessConn implements natsgo.InProcessConnProvider.
func (s *Server) InProcessConn() (net.Conn, error) {
	conn, err := s.running().InProcessConn()
	if err != nil {
		return nil, fmt.Errorf("nats: connect to the embedded server: %w", err)
	}
	return conn, nil
}

// pause waits for d and reports false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
