//go:build e2e

package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"overtake/broker/rabbitmq/rabbitmqtest"
)

// startRabbitMQ returns a server that ends with the test, and queueConfig on it.
func startRabbitMQ(t *testing.T, app, queue string) (*rabbitmqtest.Server, string) {
	t.Helper()
	s, err := rabbitmqtest.Start(rabbitmqtest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	lines := strings.Split(queueConfig(t, app), "\n")
	for i, line := range lines {
		switch key, _, _ := strings.Cut(line, ":"); key {
		case "brokers":
			lines[i] = fmt.Sprintf("brokers: {rabbit: {type: rabbitmq, url: %q}}", s.URL())
		case "queues":
			lines[i] = fmt.Sprintf("queues: {jobs: {deliver: {upstream: app}, %s}}", queue)
		}
	}
	return s, strings.Join(lines, "\n")
}

// postUntil posts jobs of a class by several clients to the gateway of that URL,
// which try the next one after a refusal, until enough were confirmed.
func postUntil(gateway *atomic.Value, class string, enough int64, confirmed func()) []post {
	const clients = 8
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}, Timeout: patience}
	defer client.CloseIdleConnections()
	var number, stored atomic.Int64
	var posts [clients][]post
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for stored.Load() < enough {
				p := post{job: fmt.Sprintf("%s-%d", class, number.Add(1)), class: class}
				if p.id = postJob(client, gateway.Load().(string), &p); p.id != "" {
					stored.Add(1)
					confirmed()
				} else {
					time.Sleep(20 * time.Millisecond) // what refuses a client that waits would refuse it sooner
				}
				posts[c] = append(posts[c], p)
			}
		})
	}
	wg.Wait()
	return slices.Concat(posts[:]...)
}

// The broker is killed and comes back, and then the gateway, while jobs of both
// classes are posted and delivered. What was answered with 202 is done.
func TestE2ERabbitMQ(t *testing.T) {
	for _, queue := range []string{"queue_type: quorum", "queue_type: classic", "strategy: native"} {
		t.Run(queue, func(t *testing.T) {
			app := newRecorder(t, nil)
			server, config := startRabbitMQ(t, app.url, queue)
			file := writeConfig(t, config)
			g := runGateway(t, file)
			var url atomic.Value
			url.Store(g.url)

			const wave = 300 // confirmed of each class between the kills
			var state watched
			confirmed := map[string]int{}
			classes := []string{"interactive", "batch"}
			posts := make([][]post, len(classes))
			var posting sync.WaitGroup
			for i, class := range classes {
				posting.Go(func() {
					posts[i] = postUntil(&url, class, 3*wave, func() { state.change(func() { confirmed[class]++ }) })
				})
			}
			reached := func(n int) {
				t.Helper()
				if !state.await(t.Context(), func() bool { return confirmed["interactive"] >= n && confirmed["batch"] >= n }) {
					t.Fatalf("%v jobs are confirmed, want %d of each class", confirmed, n)
				}
			}
			reached(wave)
			server.Kill()
			if resp, _ := request(t, http.MethodPost, g.url+"/batch/job", "work"); resp.StatusCode != http.StatusServiceUnavailable ||
				resp.Header.Get("Overtake-Reason") != "broker_unavailable" {
				t.Errorf("without a broker: %s, %s; want 503, broker_unavailable", resp.Status, resp.Header.Get("Overtake-Reason"))
			}
			if err := server.Restart(); err != nil {
				t.Fatal(err)
			}
			reached(2 * wave)
			g.kill(t)
			g = runGateway(t, file)
			url.Store(g.url)
			posting.Wait()
			all := slices.Concat(posts...)
			app.await(t, "what was confirmed is done", func() bool { return app.done(all) })
			eventually(t, "the lanes are empty", func() bool {
				return g.metric(t, `overtake_lane_depth{class="batch",queue="jobs"}`)+g.metric(t, `overtake_lane_depth{class="interactive",queue="jobs"}`) == 0
			})
			g.stop(t)
			times := checkDelivered(t, all, app.all())
			t.Logf("%d jobs, %d of them confirmed; repeated: %d", len(all), 2*3*wave, len(repeated(times)))
		})
	}
}
