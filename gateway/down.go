package gateway

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// Down servers are tried every firstProbe at first, and more and more seldom up
// to every lastProbe.
const (
	firstProbe    = 250 * time.Millisecond
	lastProbe     = 2 * time.Second
	probePatience = 2 * time.Second
)

// setDown has the scheduler send nothing to a server that takes no connections,
// as long as there are others, and a goroutine find out when it does again.
func (u *upstream) setDown(i int, why error) {
	s := u.servers[i]
	if u.unrouted || !u.mark(i, true) {
		return
	}
	message := "server is down; it is tried again until it takes connections"
	if u.allDown() {
		message = "upstream can't be reached; its requests get 502 until it can: is it running there?"
	}
	u.log.Warn(message, "server", s.name, "error", why)
	u.probes.Go(func() {
		for wait := firstProbe; pause(u.stop, wait/2+rand.N(wait/2)); wait = min(2*wait, lastProbe) {
			if s.probe(u.stop) {
				u.mark(i, false)
				u.log.Info("server is back", "server", s.name)
				return
			}
		}
	})
}

// mark notes whether a server is down, and reports whether that is new.
func (u *upstream) mark(i int, down bool) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.down[i] == down {
		return false
	}
	u.down[i] = down
	u.scheduler.SetDown(i, down)
	return true
}

func (u *upstream) allDown() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return !slices.Contains(u.down, false)
}

// probe reports whether the server takes a connection.
func (s *server) probe(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	return s.knock(ctx) == nil
}

// knock makes a connection for nobody in particular.
func (s *server) knock(ctx context.Context) error {
	const mostUrgent = 0 // if it can't get through, nobody can
	conn, err := s.open(ctx, mostUrgent)
	if err != nil {
		return err
	}
	return conn.Close()
}
