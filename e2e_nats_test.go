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

	"overtake/broker/nats/natstest"
)

// natsConfig is queueConfig on NATS servers elsewhere.
func natsConfig(t *testing.T, app string, replicas int, urls ...string) string {
	t.Helper()
	lines := strings.Split(queueConfig(t, app), "\n")
	i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "brokers:") })
	lines[i] = fmt.Sprintf(`brokers: {far: {type: nats, urls: ["%s"], replicas: %d}}`, strings.Join(urls, `", "`), replicas)
	return strings.Join(lines, "\n")
}

// publishUntil posts jobs of a class by several clients, which go on after a
// refusal, until enough, which is asked after each.
func publishUntil(gateway, class string, confirmed func(), enough func() bool) []post {
	const clients = 8
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()
	var number atomic.Int64
	var posts [clients][]post
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for !enough() {
				p := post{job: fmt.Sprintf("%s-%d", class, number.Add(1)), class: class}
				if p.id = postJob(client, gateway, &p); p.id != "" {
					confirmed()
				} else {
					time.Sleep(50 * time.Millisecond) // as it was told by Retry-After, only sooner
				}
				posts[c] = append(posts[c], p)
			}
		})
	}
	wg.Wait()
	return slices.Concat(posts[:]...)
}

// One of three servers is killed, the one that leads the batch lane, while jobs
// of both classes are published and delivered. What was answered with 202 before,
// during and after is done.
func TestE2EClusterLosesAServer(t *testing.T) {
	cluster := natstest.StartCluster(t, 3, natstest.Options{})
	app := newRecorder(t, nil)
	g := startGateway(t, natsConfig(t, app.url, 3, cluster.URLs()...))

	const wave = 400 // confirmed of each class before the kill, and again after it
	var state watched
	count := map[string]int{}
	goal := wave
	classes := []string{"interactive", "batch"}
	posts := make([][]post, len(classes))
	var publishing sync.WaitGroup
	for i, class := range classes {
		publishing.Go(func() {
			posts[i] = publishUntil(g.url, class,
				func() { state.change(func() { count[class]++ }) },
				func() (enough bool) {
					state.change(func() { enough = goal > wave && count[class] >= goal })
					return enough
				})
		})
	}
	bothReached := func(n int) func() bool {
		return func() bool { return count["interactive"] >= n && count["batch"] >= n }
	}
	if !state.await(t.Context(), bothReached(wave)) {
		t.Fatal("the jobs are not confirmed")
	}
	victim := cluster.Leader(t, "jobs_batch")
	victim.Kill(t)
	state.change(func() { goal = max(count["interactive"], count["batch"]) + wave })
	publishing.Wait()
	all := slices.Concat(posts...)
	app.await(t, "what was confirmed is done", func() bool { return app.done(all) })
	victim.Restart(t)
	eventually(t, "ready with three servers", func() bool {
		resp, _ := get(t, g.admin+"/readyz")
		return resp.StatusCode == http.StatusOK
	})
	g.stop(t)

	times := checkDelivered(t, all, app.all())
	refused := 0
	for _, p := range all {
		if p.id == "" {
			refused++
		}
	}
	t.Logf("%d jobs, %d not confirmed; repeated: %d", len(all), refused, len(repeated(times)))
}

func TestE2EBrokerAway(t *testing.T) {
	server := natstest.Start(t, natstest.Options{})
	server.Stop(t)
	app := newRecorder(t, nil)
	brokerAway(t, app, natsConfig(t, app.url, 1, server.URL()), func() { server.Restart(t) }, func() { server.Kill(t) })
}

// brokerAway checks that while the broker is away, from the start or later, requests
// are served and jobs are refused at once; when it comes, jobs are taken, without a
// restart.
func brokerAway(t *testing.T, app *recorder, config string, start, kill func()) {
	t.Helper()
	g := startGateway(t, strings.Replace(config,
		"routes: [{queue: jobs}]", "routes: [{queue: jobs, match: {methods: [POST]}}, {upstream: app}]", 1))

	jobs := 0
	for range 2 {
		if resp, text := get(t, g.admin+"/readyz"); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, "queue jobs") {
			t.Errorf("without the broker, /readyz is %d %s", resp.StatusCode, text)
		}
		began := time.Now()
		resp, text := request(t, http.MethodPost, g.url+"/batch/job", "work")
		if reason := resp.Header.Get("Overtake-Reason"); resp.StatusCode != http.StatusServiceUnavailable || reason != "broker_unavailable" {
			t.Errorf("without the broker, a job got %d %q %s", resp.StatusCode, reason, text)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the refusal took %v, which is not at once", took)
		}
		if resp, text := get(t, g.url+"/batch/page"); resp.StatusCode != http.StatusOK {
			t.Errorf("without the broker, a request got %d %s", resp.StatusCode, text)
		}

		start()
		eventually(t, "ready when the broker has come", func() bool {
			resp, _ := get(t, g.admin+"/readyz")
			return resp.StatusCode == http.StatusOK
		})
		posts := publish(t, g.url, "batch", 20, nil)
		app.await(t, "the jobs are done", func() bool { return app.done(posts) })
		for _, p := range posts {
			if p.id == "" {
				t.Errorf("job %s was not confirmed", p.job)
			}
		}
		jobs += len(posts)
		eventually(t, "the broker knows that they are done", func() bool { return g.settled(t) == jobs })
		kill()
		eventually(t, "not ready when the broker has gone", func() bool {
			resp, _ := get(t, g.admin+"/readyz")
			return resp.StatusCode != http.StatusOK
		})
	}
	g.stop(t)
	if n, want := len(app.all()), jobs+2; n != want {
		t.Errorf("%d requests and deliveries came, want %d", n, want)
	}
}

// A broker that refuses is a mistake that the gateway names, and does not start.
func TestE2EBrokerRefuses(t *testing.T) {
	server := natstest.Start(t, natstest.Options{Config: "authorization {token: right}"})
	file := writeConfig(t, natsConfig(t, "http://127.0.0.1:1", 1, server.URL()))
	r := runProgram(t, nil, "gateway", "-c", file)
	address := strings.TrimPrefix(server.URL(), "nats://")
	for _, want := range []string{"broker far", address, "Authorization Violation", "give the credentials"} {
		if r.code != exitFailed || !strings.Contains(r.stderr, want) {
			t.Errorf("it exited with %d and said %q, want %d and %q in it", r.code, r.stderr, exitFailed, want)
		}
	}
}
