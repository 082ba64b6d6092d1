package rabbitmq

import (
	"testing"

	"overtake/broker"
	"overtake/broker/brokertest"
)

func TestConformance(t *testing.T) {
	for _, kind := range []string{Quorum, Classic} {
		t.Run(kind, func(t *testing.T) { conformance(t, kind) })
	}
}

func conformance(t *testing.T, kind string) {
	const tooLarge = 2 << 20
	brokertest.Run(t, func(t *testing.T) brokertest.Harness {
		cfg := QueueConfig{
			Name:       newName(),
			Classes:    []string{"interactive", "standard", "batch"},
			Type:       kind,
			MaxBytes:   16 << 20,
			MaxMessage: tooLarge,
		}
		conn := connect(t)
		q := open(t, conn, cfg)
		return brokertest.Harness{
			Classes:    cfg.Classes,
			Publisher:  func(t *testing.T) broker.Publisher { return publisher(t, q) },
			Consumer:   func(t *testing.T) broker.Consumer { return consumer(t, q) },
			Inspector:  func() broker.Inspector { return q },
			Morgue:     func() broker.Morgue { return q },
			TooLarge:   tooLarge,
			LaneBytes:  int(cfg.MaxBytes),
			Disconnect: brokertest.Hook{Do: func(t *testing.T) { disconnect(t, conn) }},
			Restart: brokertest.Hook{Do: func(t *testing.T) {
				if err := server.Restart(); err != nil {
					t.Fatal(err)
				}
				conn = connect(t)
				q = open(t, conn, cfg)
			}},
		}
	})
}

// disconnect cuts both connections, as a broken network would.
func disconnect(t *testing.T, c *Conn) {
	t.Helper()
	for _, l := range []*link{c.publishing, c.consuming} {
		s, err := l.session()
		if err != nil {
			t.Fatal(err)
		}
		s.raw.Close()
	}
}
