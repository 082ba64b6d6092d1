//go:build e2e

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// holdRequests sends requests that the app does not answer yet, and waits until
// reached of them have come there. The statuses are sent, in any order, when the
// requests have ended; 0 is an answer that did not come.
func holdRequests(t *testing.T, g gatewayProgram, app *recorder, count, reached int) <-chan int {
	t.Helper()
	statuses := make(chan int, count)
	var sending sync.WaitGroup
	for range count {
		sending.Go(func() {
			resp, err := http.Get(g.url + "/page")
			if err != nil {
				statuses <- 0
				return
			}
			defer resp.Body.Close()
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				statuses <- 0
				return
			}
			statuses <- resp.StatusCode
		})
	}
	t.Cleanup(sending.Wait)
	app.await(t, "the requests have come", func() bool { return len(app.deliveries) == reached })
	return statuses
}

// SIGTERM lets what runs and what waits finish, and nothing new in.
func TestE2EDrain(t *testing.T) {
	const slots, requests = 2, 6
	app := newRecorder(t, func(*delivery) bool { return true })
	g := startGateway(t, fmt.Sprintf("upstreams: {app: {servers: [%q], limit: {max: %d}}}\n", app.url, slots))
	statuses := holdRequests(t, g, app, requests, slots)
	eventually(t, "the others wait for a slot", func() bool {
		return g.metric(t, `overtake_waiting{class="standard",upstream="app"}`) == requests-slots
	})

	g.signal(t, syscall.SIGTERM)
	g.find(t, "msg=draining")
	eventually(t, "new connections are refused", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	app.hold(nil)
	for range requests {
		if status := <-statuses; status != http.StatusOK {
			t.Errorf("a request that had been accepted got %d, want 200", status)
		}
	}
	if code := g.wait(t); code != exitOK {
		t.Errorf("it exited with %d, want %d", code, exitOK)
	}
}

// A request that outlasts drain_timeout is cut off, and the exit code tells.
func TestE2EDrainTimeout(t *testing.T) {
	app := newRecorder(t, func(*delivery) bool { return true })
	g := startGateway(t, fmt.Sprintf("upstreams: {app: {servers: [%q], timeout: 10m}}\ndrain_timeout: 1s\n", app.url))
	statuses := holdRequests(t, g, app, 1, 1)
	began := time.Now()
	g.signal(t, syscall.SIGTERM)
	checkCutOff(t, g, began)
	lines := strings.Split(strings.TrimSpace(g.text()), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "overtake: ") || !strings.Contains(last, "cut off") {
		t.Errorf("the last line is %q, want it to say what was cut off", last)
	}
	if status := <-statuses; status != http.StatusServiceUnavailable {
		t.Errorf("the request that was cut off got %d, want 503", status)
	}
}

// A delivery that outlasts drain_timeout does not keep the gateway either; the
// message comes again after the restart.
func TestE2EDrainTimeoutOfDelivery(t *testing.T) {
	app := newRecorder(t, func(*delivery) bool { return true })
	file := writeConfig(t, queueConfig(t, app.url)+"drain_timeout: 1s\n")
	g := runGateway(t, file)
	posts := publish(t, g.url, "batch", 1, nil)
	app.await(t, "the job has come", func() bool { return len(app.deliveries) == 1 })
	began := time.Now()
	g.signal(t, syscall.SIGTERM)
	checkCutOff(t, g, began)
	app.hold(nil)
	g = runGateway(t, file)
	app.await(t, "the job is done", func() bool { return app.done(posts) })
	g.stop(t)
	checkDelivered(t, posts, app.all())
}

// Deliveries under way are finished and settled: none comes again.
func TestE2EDrainOfDeliveries(t *testing.T) {
	app := newRecorder(t, func(*delivery) bool { return true })
	file := writeConfig(t, queueConfig(t, app.url))
	g := runGateway(t, file)
	posts := publish(t, g.url, "interactive", 50, nil)
	app.await(t, "jobs have come", func() bool { return len(app.deliveries) == killSlots })
	g.signal(t, syscall.SIGTERM)
	g.find(t, "msg=draining")
	app.hold(nil)
	if code := g.wait(t); code != exitOK {
		t.Errorf("it exited with %d, want %d", code, exitOK)
	}
	g = runGateway(t, file)
	app.await(t, "all jobs are done", func() bool { return app.done(posts) })
	g.stop(t)
	if again := repeated(checkDelivered(t, posts, app.all())); len(again) > 0 {
		t.Errorf("jobs came again after a drain: %v", again)
	}
}

// checkCutOff expects the gateway to exit with 1 soon after its drain timeout of
// 1 s.
func checkCutOff(t *testing.T, g gatewayProgram, began time.Time) {
	t.Helper()
	const soon = 20 * time.Second
	select {
	case <-g.done.Done():
	case <-time.After(soon):
		t.Fatalf("it still runs %v after SIGTERM, with a drain timeout of 1s", soon)
	}
	if code := g.wait(t); code != exitFailed {
		t.Errorf("it exited with %d, want %d", code, exitFailed)
	}
	t.Logf("it exited %v after SIGTERM", time.Since(began).Round(time.Millisecond))
}
