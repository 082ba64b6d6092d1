package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"overtake/broker/nats"
)

// openNATS opens the queue jobs on an embedded broker, with a store for jobs.
func openNATS(t testing.TB) (map[string]Queue, *nats.Queue) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	server, err := nats.StartServer(nats.ServerConfig{Dir: t.TempDir(), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Shutdown(context.Background()) })
	conn, err := nats.Connect(nats.ConnConfig{Server: server, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	q, err := conn.OpenQueue(testContext(t), nats.QueueConfig{
		Name: "jobs", Classes: []string{"interactive", "standard", "batch"}, MaxBytes: 1 << 30, DeadBytes: 8 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := conn.OpenJobs(testContext(t), nats.JobsConfig{AnswerBytes: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { jobs.Close(context.Background()) })
	publisher, consumer := q.Publisher(), q.Consumer()
	t.Cleanup(func() { publisher.Close(context.Background()); consumer.Close(context.Background()) })
	depths := func(ctx context.Context) (map[string]int, error) {
		lanes, err := q.Lanes(ctx)
		depths := make(map[string]int)
		for _, lane := range lanes {
			depths[lane.Class] = lane.Depth
		}
		return depths, err
	}
	return map[string]Queue{"jobs": {Publisher: publisher, Consumer: consumer, Ping: conn.Ping, Depths: depths, Inspect: q.Inspect, SetPaused: q.SetPaused, Records: jobs, Answers: jobs}}, q
}

// TestJobsThroughNATS puts jobs of all classes into the real broker while the
// app is busy, and lets them go.
func TestJobsThroughNATS(t *testing.T) {
	var mu sync.Mutex
	bodies := make(map[string]int)
	app := newGate()
	url := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		bodies[string(body)]++
		mu.Unlock()
		if strings.HasSuffix(r.URL.Path, "/bad") {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		app.ServeHTTP(w, r)
	})
	queues, q := openNATS(t)
	g := start(t, `
classes: [{name: interactive, max_wait: 0s}, {name: standard, floor: 0%, max_wait: 0s}, {name: batch, floor: 0%, max_wait: 0s}]
rules: [{class: interactive, match: {path: "/jobs/interactive/*"}}, {class: batch, match: {path: "/jobs/batch/*"}}]
routes: [{match: {path: "/jobs/**"}, queue: jobs}, {upstream: app}]
upstreams: {app: {servers: [$APP], limit: {max: 1}}}
queues: {jobs: {deliver: {upstream: app}}}
`, url, queues)
	letGo := g.hold(app)
	for i := range 3 {
		for _, class := range []string{"batch", "standard", "interactive"} {
			target := fmt.Sprintf("/jobs/%s/%d", class, i)
			if f := g.fetch("POST", target, strings.NewReader(target)); f.StatusCode != 202 {
				t.Fatalf("%s: %d %s", target, f.StatusCode, f.body)
			}
		}
	}
	eventually(t, "every lane waits for the slot", func() bool { return g.waiting() == 3 })
	letGo()
	var order []string
	for range 9 {
		r := receive(t, "a delivery", app.arrived)
		order = append(order, strings.Split(r.URL.Path, "/")[2])
		if len(order) < 9 {
			// The next message of the lane must be here before its turn is.
			eventually(t, "the lanes that have more wait again", func() bool { return g.waiting() == lanesLeft(order) })
		}
		app.pass <- struct{}{}
	}
	if !slices.IsSortedFunc(order, func(a, b string) int { return slices.Index(classOrder, a) - slices.Index(classOrder, b) }) {
		t.Errorf("the order was %v", order)
	}
	if f := g.fetch("POST", "/jobs/standard/bad", strings.NewReader("bad")); f.StatusCode != 202 {
		t.Fatalf("status %d", f.StatusCode)
	}
	eventually(t, "what the app refused is dead, and readable", func() bool {
		dead, err := q.DeadLetters(testContext(t), 10)
		return err == nil && len(dead) == 1 && string(dead[0].Body) == "bad"
	})
	mu.Lock()
	defer mu.Unlock()
	for body, n := range bodies {
		if n != 1 {
			t.Errorf("%q was delivered %d times", body, n)
		}
	}
}

var classOrder = []string{"interactive", "standard", "batch"}

// lanesLeft is how many lanes have messages after the dispatches, of 3 each.
func lanesLeft(dispatched []string) (n int) {
	for _, class := range classOrder {
		count := 0
		for _, d := range dispatched {
			if d == class {
				count++
			}
		}
		if count < 3 {
			n++
		}
	}
	return n
}
