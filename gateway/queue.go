package gateway

import (
	"context"
	"hash/maphash"

	"overtake/broker"
	"overtake/gateway/config"
)

// Queue is a message queue as the gateway uses it: an adapter's two ends.
type Queue struct {
	Publisher broker.Publisher
	Consumer  broker.Consumer
	// Depths returns how many messages wait in each class's lane, by class
	// name, or an error while the broker is away.
	Depths func(context.Context) (map[string]int, error)
}

// queue is one configured queue.
type queue struct {
	Queue
	name     string
	maxBody  int64
	attempts int
	upstream *upstream // nil when nothing is delivered
	path     string    // replaces the request's path; "" keeps it
	flow     uint64    // the flow of its deliveries: queues take turns with clients
}

func newQueue(name string, cfg config.Queue, q Queue, upstreams map[string]*upstream) *queue {
	out := &queue{
		Queue: q, name: name, maxBody: int64(cfg.MaxBody), attempts: cfg.Attempts,
		flow: maphash.String(flowSeed, "queue "+name),
	}
	if cfg.Deliver != nil {
		out.upstream, out.path = upstreams[cfg.Deliver.Upstream], cfg.Deliver.Path
	}
	return out
}
