package main

import (
	"context"

	"overtake/broker/rabbitmq"
	"overtake/gateway"
	"overtake/gateway/config"
)

// openRabbitMQ connects to a RabbitMQ broker and opens its queues.
func (b *brokers) openRabbitMQ(
	ctx context.Context, name string, cfg *config.Config, classes []string, queues map[string]gateway.Queue,
) error {
	settings := cfg.Brokers[name]
	connection := rabbitmq.ConnConfig{URL: settings.URL, Logger: b.log.With("broker", name)}
	if settings.TLS != nil {
		connection.TLS = rabbitmq.TLSFiles(*settings.TLS)
	}
	conn, err := rabbitmq.Connect(connection)
	if err != nil {
		return err
	}
	b.closers = append(b.closers, conn.Close)
	for queueName, q := range cfg.Queues {
		if q.Broker != name {
			continue
		}
		opened, err := conn.OpenQueue(ctx, rabbitmq.QueueConfig{
			Name: queueName, Classes: classes, Native: q.Strategy == "native", Type: q.QueueType, MaxBytes: int64(q.LaneBytes),
		})
		if err != nil {
			return err
		}
		depths := depthsOf(opened.Lanes, func(l rabbitmq.Lane) (string, int) { return l.Class, l.Depth })
		queues[queueName] = b.ends(opened.Publisher(), opened.Consumer(), depths)
	}
	return nil
}
