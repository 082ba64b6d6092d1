//go:build e2e

package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"overtake/broker/nats"
	"overtake/broker/nats/natstest"
)

// A natsFault adds a strike and its end to a site, and what the client says of it.
type natsFault func(server *natstest.Server, p *proxy, s *site)

func natsSite(f natsFault) func(*testing.T, *ledger) site {
	return func(t *testing.T, l *ledger) site {
		server := natstest.Start(t, natstest.Options{})
		p := newProxy(t, strings.TrimPrefix(server.URL(), "nats://"))
		s := natsAdapter(t, l, 1, "nats://"+p.address)
		s.heal = nothing
		s.stored = func(t *testing.T) map[string]int { return storedInNATS(t, server) }
		f(server, p, &s)
		return s
	}
}

func natsAdapter(t *testing.T, l *ledger, replicas int, urls ...string) site {
	t.Helper()
	log := &witness{}
	conn, err := nats.Connect(nats.ConnConfig{URLs: urls, Logger: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeFor(t, conn.Close) })
	ctx, cancel := faultContext(t)
	defer cancel()
	q, err := conn.OpenQueue(ctx, nats.QueueConfig{Name: "jobs", Classes: faultClasses, Replicas: replicas, AckWait: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	s := adapterSite(t, l, q.Publisher(), q.Consumer())
	s.log = log.take
	return s
}

// storedInNATS adds up what all servers have.
func storedInNATS(t *testing.T, servers ...*natstest.Server) map[string]int {
	t.Helper()
	stored := map[string]int{}
	for _, s := range servers {
		for name, n := range s.Stored(t) {
			stored[strings.TrimPrefix(name, "jobs_")] += n
		}
	}
	return stored
}

func killNATS(server *natstest.Server, _ *proxy, s *site) {
	s.strike = func(t *testing.T) { server.Kill(t) }
	s.heal = func(t *testing.T) { server.Restart(t) }
	s.said = natsLost
}

// natsLost is what the client says when its connection is lost.
var natsLost = []string{"nats: connection lost", "nats: connected"}

func cutNATS(_ *natstest.Server, p *proxy, s *site) { s.strike, s.said = p.cut, natsLost }

func swallowNATS(_ *natstest.Server, p *proxy, s *site) {
	s.strike, s.heal = p.swallow, p.forward
	s.said = []string{"nats: connection lost.*stale connection", "nats: connected"}
}

// clusterSite kills one of three servers, the one that leads the batch lane or one
// that does not. The others never go: healed is when both lanes and
// their consumers have leaders.
func clusterSite(leader bool) func(*testing.T, *ledger) site {
	return func(t *testing.T, l *ledger) site {
		c := natstest.StartCluster(t, 3, natstest.Options{})
		s := natsAdapter(t, l, 3, c.URLs()...)
		var victim *natstest.Server
		s.strike = func(t *testing.T) {
			victim = c.Leader(t, "jobs_batch")
			if !leader {
				first := c.Leader(t, "jobs_interactive")
				victim = c[slices.IndexFunc(c, func(n *natstest.Server) bool { return n != victim && n != first })]
			}
			victim.Kill(t)
		}
		s.heal = func(t *testing.T) {
			for _, class := range faultClasses {
				c.Leader(t, "jobs_"+class)
			}
		}
		s.mend = func(t *testing.T) { victim.Restart(t) }
		s.stored = func(t *testing.T) map[string]int { return storedInNATS(t, c...) }
		return s
	}
}
