//go:build e2e

package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"overtake/broker/nats/natstest"
)

// A full disk of the embedded broker is said by everything that tells of health, and
// costs jobs only: they are refused at once, requests are served. When there is room
// again, all goes on by itself. A gateway that is stopped meanwhile does not wait for
// that for as long as it might.
func TestE2EDiskFull(t *testing.T) {
	disk := mountDisk(t)
	app := newRecorder(t, func(d *delivery) bool { return d.job == "job-0" })
	g := startGateway(t, fmt.Sprintf(`
drain_timeout: 1m
classes: [{name: interactive}, {name: batch}]
rules: [{name: jobs, class: batch, match: {path: "/batch/**"}}]
default_class: interactive
upstreams: {app: {servers: [%q], limit: {mode: fixed, max: %d}, timeout: 10m}}
brokers: {local: {type: nats, embedded: true, dir: %q, max_bytes: 32MiB}}
queues: {jobs: {deliver: {upstream: app}}}
routes: [{match: {path: "/batch/**"}, queue: jobs}, {upstream: app}]
`, app.url, killSlots, disk.data))
	var posted []post
	job := func() string {
		p := post{job: fmt.Sprint("job-", len(posted)), class: "batch"}
		p.id = postJob(http.DefaultClient, g.url, &p)
		if p.id != "" {
			posted = append(posted, p)
		}
		return p.id
	}
	if job() == "" {
		t.Fatal("a job was refused")
	}
	app.await(t, "the job has come, and is held", func() bool { return len(app.deliveries) == 1 })
	ready := func() (code int, text string) {
		resp, body := get(t, g.admin+"/readyz")
		return resp.StatusCode, body
	}
	up := func() bool { return g.metric(t, `overtake_queue_up{queue="jobs"}`) == 1 }
	full := func() {
		t.Helper()
		disk.fill(t)
		eventually(t, "a job is refused, and the queue is said to be down", func() bool { return job() == "" && !up() })
	}

	full()
	if code, text := ready(); code != 503 || !strings.Contains(text, "no space left on device") {
		t.Errorf("/readyz says %d %s", code, text)
	}
	const refusals = 200
	began := time.Now()
	for range refusals {
		if job() != "" {
			t.Error("a job was taken")
		}
	}
	if took := time.Since(began); took > refusals*time.Second/4 {
		t.Errorf("%d refusals took %v", refusals, took)
	}
	for range 2 * killSlots {
		if resp, _ := get(t, g.url+"/page"); resp.StatusCode != 200 {
			t.Errorf("a request got %d", resp.StatusCode)
		}
	}
	disk.free(t)
	eventually(t, "the queue is said to be up", up)
	if code, text := ready(); code != 200 {
		t.Errorf("/readyz says %d %s", code, text)
	}
	if job() == "" {
		t.Error("a job was refused")
	}
	app.await(t, "all jobs but the one that is held are answered", func() bool { return app.answered("batch") >= len(posted)-1 })

	full()
	app.hold(nil) // it is done, which can't be written down
	app.await(t, "the job is answered", func() bool {
		return !slices.ContainsFunc(app.deliveries, func(d *delivery) bool { return !d.answered })
	})
	began = time.Now()
	g.signal(t, syscall.SIGTERM)
	if code := g.wait(t); code != exitOK {
		t.Errorf("after SIGTERM it exited with %d, want %d", code, exitOK)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %v to stop, want about 10 s", took)
	} else {
		t.Logf("it stopped after %v", took)
	}
}

// The same of a server elsewhere, which its operator has to start again: it takes
// nothing more into what it could not write to.
func TestE2EDiskFullElsewhere(t *testing.T) {
	disk := mountDisk(t)
	server := natstest.Start(t, natstest.Options{
		NoJetStream: true, // but this one
		Config:      fmt.Sprintf("jetstream {store_dir: %q, max_memory_store: 64MB, max_file_store: 100GB}", disk.data),
	})
	app := newRecorder(t, nil)
	g := startGateway(t, fmt.Sprintf(`
upstreams: {app: {servers: [%q]}}
brokers: {far: {type: nats, url: %q}}
queues: {jobs: {broker: far, deliver: {upstream: app}}}
routes: [{queue: jobs}]
`, app.url, server.URL()))
	number := 0
	job := func() string {
		number++
		return postJob(http.DefaultClient, g.url, &post{job: fmt.Sprint("job-", number), class: "any"})
	}
	up := func() bool { return g.metric(t, `overtake_queue_up{queue="jobs"}`) == 1 }
	eventually(t, "a job is taken", func() bool { return job() != "" })
	disk.fill(t)
	eventually(t, "a job is refused, and the queue is said to be down", func() bool { return job() == "" && !up() })
	if resp, body := get(t, g.admin+"/readyz"); resp.StatusCode != 503 || !strings.Contains(body, "then restart it") {
		t.Errorf("/readyz says %d %s", resp.StatusCode, body)
	}
	disk.free(t)
	server.Kill(t)
	server.Restart(t)
	eventually(t, "the queue is said to be up", up)
	eventually(t, "a job is taken", func() bool { return job() != "" })
}
