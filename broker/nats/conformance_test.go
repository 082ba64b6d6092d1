package nats

import (
	"testing"
	"time"

	"overtake/broker"
	"overtake/broker/brokertest"
)

func TestConformance(t *testing.T) {
	cfg := QueueConfig{
		Name:     "jobs",
		Classes:  []string{"interactive", "standard", "batch"},
		MaxBytes: 16 << 20,
		AckWait:  time.Second,
	}
	brokertest.Run(t, func(t *testing.T) brokertest.Harness {
		b := startBroker(t, t.TempDir())
		q := b.open(t, cfg)
		return brokertest.Harness{
			Classes:   cfg.Classes,
			Publisher: func(t *testing.T) broker.Publisher { return publisher(t, q) },
			Consumer:  func(t *testing.T) broker.Consumer { return consumer(t, q) },
			DeadLetters: func(t *testing.T) []broker.Message {
				letters, err := q.DeadLetters(testContext(t), 1000)
				if err != nil {
					t.Fatal(err)
				}
				var messages []broker.Message
				for _, l := range letters {
					messages = append(messages, l.Message)
				}
				return messages
			},
			TooLarge:  testMaxPayload,
			LaneBytes: int(cfg.MaxBytes),
			Disconnect: brokertest.Hook{Do: func(t *testing.T) {
				if err := b.conn.nc.ForceReconnect(); err != nil {
					t.Fatal(err)
				}
			}},
			Restart: brokertest.Hook{Do: func(t *testing.T) {
				b.stop(t)
				b.start(t)
				q = b.open(t, cfg)
			}},
		}
	})
}
