package topology

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/classifier/strictyaml"
)

// task is the work of an endpoint or a consumer, done once for each request or
// message.
type task struct {
	work
	seed  uint64
	begun atomic.Uint64
}

func newTask(w work, seed uint64, service, name string) *task {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\n%s", service, name)
	return &task{work: w, seed: seed ^ h.Sum64()}
}

// begin counts a request and returns what it draws from: a function of the seed
// and its number alone.
func (t *task) begin() *rand.Rand { return rand.New(rand.NewPCG(t.seed, t.begun.Add(1))) }

// chance draws whether something with probability p happens.
func chance(random *rand.Rand, p strictyaml.Percent) bool {
	return p > 0 && random.IntN(100_00) < int(p)
}

// failure is why a request is not answered with 200.
type failure struct {
	status int
	text   string
}

// perform does the work of one request with a worker. Of the calls of one request,
// the first that failed is told.
func (v *server) perform(t *task, random *rand.Rand, headers []header) *failure {
	if !v.takeWorker() {
		return &failure{fasthttp.StatusServiceUnavailable, "shutting down"}
	}
	if v.line != nil {
		defer v.line.Release()
	}
	hold := t.time.Draw(random)
	switch {
	case hold <= 0:
	case t.cpu:
		burn(hold)
	case !v.sleep(hold):
		return &failure{fasthttp.StatusServiceUnavailable, "shutting down"}
	}
	if chance(random, t.failures) {
		return &failure{fasthttp.StatusInternalServerError, "failed, as its failures ask for"}
	}
	for i := range t.calls {
		if err := v.makeCall(&t.calls[i], random, headers); err != nil {
			return &failure{fasthttp.StatusBadGateway, fmt.Sprintf("call %d %v", i+1, err)}
		}
	}
	for i := range t.publish {
		if err := v.makePublish(&t.publish[i], random, headers); err != nil {
			return &failure{fasthttp.StatusBadGateway, fmt.Sprintf("publish %d %v", i+1, err)}
		}
	}
	return nil
}

// takeWorker waits for a worker. It reports false if the service is shutting down.
func (v *server) takeWorker() bool {
	if v.line == nil {
		return true
	}
	ready := make(chan struct{})
	v.line.Take(func() { close(ready) }) // never refused: the queue has no bound
	select {
	case <-ready:
		return true
	case <-v.stop:
		return false
	}
}

func (v *server) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-v.stop:
		return false
	}
}

// makeCall makes a call, or several at the same time, and waits for what comes
// back.
func (v *server) makeCall(c *Call, random *rand.Rand, headers []header) error {
	if c.Parallel == nil {
		if !chance(random, c.Probability) {
			return nil
		}
		return v.callOnce(c, int64(c.Body.Draw(random)), headers)
	}
	errs := make([]error, len(c.Parallel))
	var running sync.WaitGroup
	for i := range c.Parallel {
		call := &c.Parallel[i]
		if !chance(random, call.Probability) {
			continue
		}
		body := int64(call.Body.Draw(random))
		running.Go(func() { errs[i] = v.callOnce(call, body, headers) })
	}
	running.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("parallel %d %w", i+1, err)
		}
	}
	return nil
}

func (v *server) callOnce(c *Call, body int64, headers []header) error {
	v.calls.Add(1)
	err := v.out.send(request{
		service: c.Service, url: c.URL, path: c.Path, method: c.Method, body: body, timeout: c.Timeout, headers: headers,
	})
	if err == nil {
		return nil
	}
	v.failedCalls.Add(1)
	if c.Optional {
		return nil
	}
	return fmt.Errorf("to %s: %w", c.destination(), err)
}

// destination says where a call goes.
func (c *Call) destination() string {
	if c.URL != "" {
		return c.URL
	}
	return c.Service + " " + c.Path
}

func (v *server) makePublish(p *Publish, random *rand.Rand, headers []header) error {
	if !chance(random, p.Probability) {
		return nil
	}
	body := int64(p.Body.Draw(random))
	err := v.publishOnce(p, body, headers)
	if err == nil {
		v.published.Add(1)
		return nil
	}
	v.failedCalls.Add(1)
	if p.Optional {
		return nil
	}
	return fmt.Errorf("to %s: %w", p.destination(), err)
}

func (v *server) publishOnce(p *Publish, body int64, headers []header) error {
	if p.URL != "" {
		return v.out.send(request{url: p.URL, method: fasthttp.MethodPost, body: body, timeout: p.Timeout, headers: headers})
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.Timeout)
	defer cancel()
	return v.brokers[p.Broker].publish(ctx, p.Queue, headers, filled(body))
}

func (p *Publish) destination() string {
	if p.URL != "" {
		return p.URL
	}
	return "queue " + p.Queue + " at " + p.Broker
}
