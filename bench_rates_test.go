//go:build e2e

package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"overtake/broker"
)

var (
	benchTurns = flag.Int("turns", 3, "of the brokers' benchmarks: how often each side's rates are measured, in turns")
	benchTurn  = flag.Duration("turn", 3*time.Second, "of the brokers' benchmarks: time of one turn")
)

const (
	benchInFlight = 64  // publishes
	goalRate      = 0.8 // of what the client written by hand does
)

var benchBody = make([]byte, benchSize)

// client is one side of a comparison: ours, or one that is written by hand for
// the one purpose, with the same library and server.
type client struct {
	name string
	// publish returns when the message is confirmed. It is called from
	// benchInFlight goroutines.
	publish func(ctx context.Context, id string) error
	// consume has benchWorkers workers settle what comes and call settled. It
	// returns when ctx has ended and nothing is left of it.
	consume func(ctx context.Context, settled func()) error
	depth   func() int
}

// rates are messages per second, turn by turn.
type rates struct {
	Server  string    `json:"server"`
	Client  string    `json:"client"`
	Publish []float64 `json:"publish"`
	Consume []float64 `json:"consume"`
}

// playRates measures the clients of one queue in turns. What all have published
// in a turn, all consume in equal parts.
func playRates(t *testing.T, server string, clients ...client) []rates {
	t.Helper()
	all := make([]rates, len(clients))
	for turn := range *benchTurns {
		for i, c := range clients {
			all[i].Server, all[i].Client = server, c.name
			all[i].Publish = append(all[i].Publish, publishRate(t, c))
		}
		n := clients[0].depth() / len(clients)
		for next := range clients {
			i := (turn + next) % len(clients) // the first finds the messages of the first
			c := clients[i]
			all[i].Consume = append(all[i].Consume, consumeRate(t, c, n))
			fmt.Printf("%s, turn %d of %d: %s: publish %.0f/s, consume %.0f/s\n",
				server, turn+1, *benchTurns, c.name, all[i].Publish[turn], all[i].Consume[turn])
		}
	}
	return all
}

var benchIDs atomic.Int64

func publishRate(t *testing.T, c client) float64 {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	began := time.Now()
	var confirmed atomic.Int64
	var wg sync.WaitGroup
	for range benchInFlight {
		wg.Go(func() {
			for time.Since(began) < *benchTurn {
				if err := c.publish(ctx, fmt.Sprint("r", benchIDs.Add(1))); err != nil {
					t.Error(err)
					return
				}
				confirmed.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(confirmed.Load()) / time.Since(began).Seconds()
}

// consumeRate consumes n messages, or as many as a turn's time is enough for.
func consumeRate(t *testing.T, c client, n int) float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), *benchTurn)
	defer cancel()
	var mu sync.Mutex
	var settled int
	var first, last time.Time
	err := c.consume(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		switch settled++; {
		case settled > n:
			return
		case settled == n:
			cancel()
		}
		last = time.Now()
		if settled == 1 {
			first = last
		}
	})
	if err != nil || settled < 2 {
		t.Fatalf("%s consumed %d of %d messages: %v", c.name, settled, n, err)
	}
	return float64(min(settled, n)-1) / last.Sub(first).Seconds()
}

// consumeOurs is the consume of our client: one goroutine takes the messages of a
// lane and hands them to the workers.
func consumeOurs(open func() broker.Consumer) func(context.Context, func()) error {
	return func(ctx context.Context, settled func()) error {
		c := open()
		work := make(chan *broker.Delivery)
		var wg sync.WaitGroup
		var failed atomic.Pointer[error]
		for range benchWorkers {
			wg.Go(func() {
				for d := range work {
					if err := d.Done(context.WithoutCancel(ctx)); err != nil {
						failed.Store(&err)
						return
					}
					settled()
				}
			})
		}
		for {
			d, err := c.Next(ctx, "batch")
			if err != nil {
				break
			}
			work <- d
		}
		close(work)
		wg.Wait()
		if err := failed.Load(); err != nil {
			return *err
		}
		return c.Close(context.WithoutCancel(ctx))
	}
}

// ratesTable compares the first client of each server with the second, which is
// written by hand with the same promises.
func ratesTable(servers ...[]rates) string {
	var b strings.Builder
	b.WriteString("| server | client | publish/s | ratio | consume/s | ratio |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, clients := range servers {
		ours, hand := clients[0], clients[1]
		for i, c := range clients {
			publish, consume := "", ""
			if i == 0 {
				cell := func(r float64) string { return fmt.Sprintf("**%.2f**%s", r, verdictOf(r >= goalRate)) }
				publish, consume = cell(medianOf(ours.Publish)/medianOf(hand.Publish)), cell(medianOf(ours.Consume)/medianOf(hand.Consume))
			}
			fmt.Fprintf(&b, "| %s | %s | %.0f | %s | %.0f | %s |\n", c.Server, c.Client, medianOf(c.Publish), publish, medianOf(c.Consume), consume)
		}
	}
	fmt.Fprintf(&b, "\n%d publishes in flight, %d workers that settle each message, %d bytes; medians of %d turns. The goal is %.1f of the client by hand.\n",
		benchInFlight, benchWorkers, benchSize, *benchTurns, goalRate)
	return b.String()
}

func medianOf(all []float64) float64 {
	s := slices.Sorted(slices.Values(all))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}
