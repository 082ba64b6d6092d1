package gateway

import (
	"context"
	"hash/maphash"
	"strings"

	"overtake/broker"
	"overtake/gateway/config"
	"overtake/tracing"
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

// Message headers in which a request travels through a queue, beside those of
// the contract.
const (
	messageMethod = "http-method"
	messageTarget = "http-target"
	// messageField is the prefix of the request's own header fields.
	messageField = "http-field-"
)

// messageCarrier is a message's header as a trail's carrier: message headers
// have a case, and the contract's are lower.
type messageCarrier struct{ header broker.Header }

// Get implements tracing.Carrier.
func (c messageCarrier) Get(name string) string { return c.header.Get(strings.ToLower(name)) }

// Set implements tracing.Carrier.
func (c messageCarrier) Set(name, value string) { c.header.Set(strings.ToLower(name), value) }

// Del implements tracing.Carrier.
func (c messageCarrier) Del(name string) { delete(c.header, strings.ToLower(name)) }

var _ tracing.Carrier = messageCarrier{}
