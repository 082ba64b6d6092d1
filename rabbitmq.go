package main

import (
	"context"
	"fmt"

	"overtake/broker/rabbitmq"
	"overtake/gateway"
	"overtake/gateway/config"
)

// connectRabbit connects to a RabbitMQ broker.
func (b *brokers) connectRabbit(name string, broker config.Broker) (*rabbitmq.Conn, error) {
	conn, err := rabbitmq.Connect(rabbitmq.ConnConfig{URL: broker.URL, Logger: b.log.With("broker", name)})
	if err != nil {
		return nil, fmt.Errorf("broker %s: %w", name, err)
	}
	b.closers = append(b.closers, conn.Close)
	return conn, nil
}

// openRabbit opens the queues on a RabbitMQ broker.
func (b *brokers) openRabbit(ctx context.Context, name string, cfg *config.Config, classes []string, queues map[string]gateway.Queue) error {
	conn, err := b.connectRabbit(name, cfg.Brokers[name])
	if err != nil {
		return err
	}
	for queueName, q := range cfg.Queues {
		if q.Broker != name {
			continue
		}
		queue, err := conn.OpenQueue(ctx, rabbitmq.QueueConfig{Name: queueName, Classes: classes})
		if err != nil {
			return fmt.Errorf("broker %s: %w", name, err)
		}
		publisher, consumer := queue.Publisher(), queue.Consumer()
		b.closers = append(b.closers, publisher.Close, consumer.Close)
		queues[queueName] = gateway.Queue{Publisher: publisher, Consumer: consumer, Depths: func(ctx context.Context) (map[string]int, error) {
			lanes, err := queue.Lanes(ctx)
			depths := make(map[string]int, len(lanes))
			for _, lane := range lanes {
				depths[lane.Class] = lane.Depth
			}
			return depths, err
		}}
	}
	return nil
}
