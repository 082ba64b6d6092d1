package gateway

import (
	"context"
	"fmt"
	"hash/maphash"
	"time"

	"golang.org/x/time/rate"

	"overtake/broker"
	"overtake/gateway/config"
)

// Queue is a message queue as the gateway uses it: an adapter's two ends.
type Queue struct {
	Publisher broker.Publisher
	Consumer  broker.Consumer
	// Ping returns an error while the broker is away or takes no messages, or no states of jobs.
	Ping func(context.Context) error
	// Depths returns how many messages wait in each class's lane, by class
	// name, or an error while the broker is away.
	Depths func(context.Context) (map[string]int, error)
	// Inspect is that of [broker.Inspector], for people; it may cost more.
	Inspect func(context.Context) ([]broker.Lane, error)
	// SetPaused is that of [broker.Inspector].
	SetPaused func(ctx context.Context, class string, paused bool) error
	// Records and Answers are the store for the queue's jobs; queues may share
	// one. Without them, states and answers can't be read.
	Records JobRecords
	Answers JobAnswers
}

// queue is one configured queue.
type queue struct {
	Queue
	name      string
	system    string // the type of its broker
	maxBody   int64
	attempts  int
	deliverTo string // the name of an upstream; "" when nothing is delivered
	path      string // replaces the request's path; "" keeps it
	flow      uint64 // the flow of its deliveries: queues take turns with clients
	dead      func(status int) bool
	refusals  rate.Sometimes // how often they are logged

	book        *jobBook // nil when nothing can be read about its jobs
	keepResults time.Duration
	maxAnswer   int64

	reading shared[queueReading]
	view    shared[queueView]
}

// A queueReading is what a queue's broker says of it. Nobody changes it.
type queueReading struct {
	depths map[string]int // by class; what is known also where there is an error
	err    error          // why jobs are not taken or can't be delivered, if so
}

// A queueView is the same for people, lane by lane. Nobody changes it.
type queueView struct {
	lanes []broker.Lane
	err   error
}

// readingOf returns what was read of a queue within answerAge.
func (g *Gateway) readingOf(q *queue) queueReading {
	return q.reading.get(g.cutOff, func(ctx context.Context) (r queueReading) {
		if r.depths, r.err = q.Depths(ctx); r.err == nil {
			r.err = q.takesJobs(ctx)
		}
		return r
	})
}

// viewOf returns the lanes of a queue as they were within answerAge.
func (g *Gateway) viewOf(q *queue) queueView {
	return q.view.get(g.cutOff, func(ctx context.Context) (v queueView) {
		v.lanes, v.err = q.Inspect(ctx)
		return v
	})
}

// takesJobs returns why the broker takes no messages, or tells no states of jobs, now.
func (q *queue) takesJobs(ctx context.Context) error {
	if err := q.Ping(ctx); err != nil || q.book == nil {
		return err
	}
	if _, err := q.book.records.Load(ctx, "none"); err != nil { // no job has that ID
		return fmt.Errorf("states of its jobs: %w", err)
	}
	return nil
}

func newQueue(name, system string, cfg config.Queue, q Queue) *queue {
	out := &queue{
		Queue: q, name: name, system: system, maxBody: int64(cfg.MaxBody), attempts: cfg.Attempts,
		flow: maphash.String(flowSeed, "queue "+name), refusals: rate.Sometimes{Interval: time.Second},
		dead: cfg.IsDead, keepResults: cfg.KeepResults, maxAnswer: int64(cfg.MaxAnswer),
	}
	if cfg.Deliver != nil {
		out.deliverTo, out.path = cfg.Deliver.Upstream, cfg.Deliver.Path
	}
	return out
}
