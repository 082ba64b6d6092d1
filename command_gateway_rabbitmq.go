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
	conn, err := b.connectRabbitMQ(name, cfg.Brokers[name])
	if err != nil {
		return err
	}
	for queueName, q := range cfg.Queues {
		if q.Broker != name {
			continue
		}
		opened, err := conn.OpenQueue(ctx, rabbitMQQueue(queueName, q, classes))
		if err != nil {
			return err
		}
		depths := depthsOf(opened.Lanes, func(l rabbitmq.Lane) (string, int) { return l.Class, l.Depth })
		queues[queueName] = b.ends(opened.Publisher(), opened.Consumer(), depths)
	}
	return nil
}

func (b *brokers) connectRabbitMQ(name string, settings config.Broker) (*rabbitmq.Conn, error) {
	connection := rabbitmq.ConnConfig{URL: settings.URL, Logger: b.log.With("broker", name)}
	if settings.TLS != nil {
		connection.TLS = rabbitmq.TLSFiles(*settings.TLS)
	}
	conn, err := rabbitmq.Connect(connection)
	if err != nil {
		return nil, err
	}
	b.closers = append(b.closers, conn.Close)
	return conn, nil
}

func rabbitMQQueue(name string, q config.Queue, classes []string) rabbitmq.QueueConfig {
	return rabbitmq.QueueConfig{
		Name: name, Classes: classes, Native: q.Strategy == "native", Type: q.QueueType, MaxBytes: int64(q.LaneBytes),
	}
}
