//go:build e2e

package main

import (
	"fmt"
	"strings"
	"testing"

	"overtake/broker/rabbitmq/rabbitmqtest"
)

// The messages are on RabbitMQ and the results in the embedded NATS server. The
// gateway is killed in mid-delivery, and the next one knows all jobs.
func TestE2ERabbitMQWithResults(t *testing.T) {
	s, err := rabbitmqtest.Start(rabbitmqtest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	app := newRecorder(t, func(d *delivery) bool { return true })
	both := fmt.Sprintf("brokers: {rabbit: {type: rabbitmq, url: %q}, ", s.URL())
	config := strings.Replace(jobsConfig(t, app.url), "brokers: {", both, 1)
	config = strings.Replace(config, "queues: {jobs: {", "queues: {jobs: {broker: rabbit, results: local, ", 1)
	file := writeConfig(t, config)
	g := runGateway(t, file)

	key := "Idempotency-Key: one"
	running, queued := newJob(t, g.url, "/running", key), newJob(t, g.url, "/queued")
	app.await(t, "a job runs", func() bool { return len(app.deliveries) == 1 })
	if j := readJob(t, g.url+running); j.State != "running" || j.Attempts != 1 {
		t.Errorf("the job that runs is %+v", j)
	}
	if j := readJob(t, g.url+queued); j.State != "queued" || j.Attempts != 0 {
		t.Errorf("the job that waits is %+v", j)
	}
	if again := newJob(t, g.url, "/running", key); again != running {
		t.Errorf("the repeated request is job %s, want %s", again, running)
	}
	if resp, body := send(t, "DELETE", g.url+queued, ""); resp.StatusCode != 200 {
		t.Errorf("DELETE of a queued job: %d %s", resp.StatusCode, body)
	}

	g.kill(t)
	app.hold(nil)
	g = runGateway(t, file)
	if again := newJob(t, g.url, "/running", key); again != running {
		t.Errorf("after a kill, the repeated request is job %s, want %s", again, running)
	}
	if j := awaitJob(t, g.url+running, "done"); j.Attempts < 2 || j.Answer.Status != 200 || !j.Answer.Kept {
		t.Errorf("delivered again, the job is %+v", j)
	}
	for range 2 {
		if resp, body := send(t, "GET", g.url+running+"/response", ""); resp.StatusCode != 200 || body != "done\n" {
			t.Errorf("the answer: %d %q", resp.StatusCode, body)
		}
	}
	last := newJob(t, g.url, "/last")
	awaitJob(t, g.url+last, "done") // it was behind the cancelled one
	if j := readJob(t, g.url+queued); j.State != "cancelled" {
		t.Errorf("after a kill, the cancelled job is %+v", j)
	}
	g.stop(t)
	for _, d := range app.all() {
		if d.path == "/queued" {
			t.Error("the cancelled job reached the app")
		}
	}
}
