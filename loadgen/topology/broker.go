package topology

import (
	"context"
	"errors"
	"fmt"
	"io"

	"overtake/loadgen/app"
)

// broker is where queues are. It reconnects by itself, and is safe for concurrent
// use.
type broker interface {
	// publish returns when the broker has confirmed the message, or ctx has ended.
	publish(ctx context.Context, queue string, headers []header, body []byte) error
	// consume hands messages to handle, up to concurrency at the same time, until
	// ctx ends and those at hand are done. A message that handle reports false for
	// is rejected for good.
	consume(ctx context.Context, queue string, concurrency int, handle func(headers []header) bool)
	// close is called when nobody publishes or consumes any more.
	close() error
}

// openBrokers opens those that are used by services that run here.
func (a *App) openBrokers() error {
	for _, name := range a.order {
		for _, used := range a.graph.Services[name].brokerNames() {
			if a.brokers[used] != nil {
				continue
			}
			b, err := a.openBroker(used)
			if err != nil {
				return fmt.Errorf("topology: broker %s: %w", used, err)
			}
			a.brokers[used] = b
		}
	}
	return nil
}

func (a *App) openBroker(name string) (broker, error) {
	log := func(format string, args ...any) {
		a.log(fmt.Sprintf("broker=%s ", name) + fmt.Sprintf(format, args...))
	}
	if spec := a.graph.Brokers[name]; spec.NATS != "" {
		return openNATS(spec.NATS, log)
	}
	return openAMQP(a.graph.Brokers[name].AMQP, log), nil
}

// brokerNames returns the brokers that s uses; one may come twice.
func (s *Service) brokerNames() []string {
	var names []string
	add := func(publishes []Publish) {
		for _, p := range publishes {
			if p.Broker != "" {
				names = append(names, p.Broker)
			}
		}
	}
	for i := range s.Endpoints {
		add(s.Endpoints[i].Publish)
	}
	for i := range s.Consumes {
		names = append(names, s.Consumes[i].Broker)
		add(s.Consumes[i].Publish)
	}
	return names
}

// consume starts the consumers of all services.
func (a *App) consume() {
	ctx, cancel := context.WithCancel(context.Background())
	a.consuming = cancel
	for _, name := range a.order {
		v := a.servers[name]
		for i := range v.service.Consumes {
			q, t := &v.service.Consumes[i], v.consumers[i]
			a.consumers.Go(func() {
				a.brokers[q.Broker].consume(ctx, q.Queue, q.Concurrency, func(headers []header) bool { return v.handleMessage(t, headers) })
			})
		}
	}
}

// handleMessage does the work for one message and reports whether it went well.
func (v *server) handleMessage(t *task, headers []header) bool {
	v.messages.Add(1)
	kept := headers[:0]
	for _, h := range headers {
		if v.forwards(h.name) {
			kept = append(kept, h)
		}
	}
	if v.perform(t, t.begin(), kept) != nil {
		v.failures.Add(1)
		return false
	}
	return true
}

func (a *App) closeBrokers() error {
	var errs []error
	for _, b := range a.brokers {
		errs = append(errs, b.close())
	}
	return errors.Join(errs...)
}

// filled returns a body of size bytes. It is shared and must not be changed.
func filled(size int64) []byte {
	if size <= int64(len(payload)) {
		return payload[:size]
	}
	body := make([]byte, size)
	_, _ = io.ReadFull(app.Filler{}, body)
	return body
}
