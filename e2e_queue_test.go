//go:build e2e

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"overtake/broker/nats/natstest"
	"overtake/broker/rabbitmq/rabbitmqtest"
)

// deskProgram is a configuration whose queues the commands look at.
type deskProgram struct {
	file  string
	queue string
}

// run runs a command, which must exit with code, and returns what it printed.
func (d deskProgram) run(t *testing.T, code int, args ...string) result {
	t.Helper()
	r := runProgram(t, []string{"OVERTAKE_CONFIG=" + d.file}, args...)
	if r.code != code {
		t.Fatalf("overtake %s exited with %d and said %s%s, want %d", strings.Join(args, " "), r.code, r.stdout, r.stderr, code)
	}
	return r
}

// json runs a command that must succeed and decodes what it printed.
func (d deskProgram) json(t *testing.T, into any, args ...string) {
	t.Helper()
	r := d.run(t, exitOK, append(args, "--json")...)
	if err := json.Unmarshal([]byte(r.stdout), into); err != nil {
		t.Fatalf("overtake %s printed %s: %v", strings.Join(args, " "), r.stdout, err)
	}
}

// lane returns a lane of the queue as queue list has it.
func (d deskProgram) lane(t *testing.T, class string) laneView {
	t.Helper()
	var lanes []laneView
	d.json(t, &lanes, "queue", "list")
	i := slices.IndexFunc(lanes, func(l laneView) bool { return l.Queue == d.queue && l.Class == class })
	if i < 0 {
		t.Fatalf("queue list has no lane %s of %s: %+v", class, d.queue, lanes)
	}
	return lanes[i]
}

func (d deskProgram) wantLines(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, line := range want {
		if !strings.Contains(text, line) {
			t.Errorf("printed\n%s\nwant in it %q", text, line)
		}
	}
}

// poisonable is an app that refuses poisoned jobs until it is cured.
type poisonable struct {
	*httptest.Server
	cured atomic.Bool
	state watched
	done  []string // the attempts and ids of the poisoned jobs that were done
	work  int      // other jobs
}

func newPoisonable(t *testing.T) *poisonable {
	p := &poisonable{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		poisoned := r.Header.Get("X-Job") == "poison"
		if poisoned && !p.cured.Load() {
			http.Error(w, "no", http.StatusUnprocessableEntity)
			return
		}
		p.state.change(func() {
			if poisoned {
				p.done = append(p.done, r.Header.Get("Latency-Attempt")+" "+r.Header.Get("Idempotency-Key"))
			} else {
				p.work++
			}
		})
	}))
	t.Cleanup(p.Close)
	return p
}

// The whole story of a desk, with a gateway at work, on each kind of broker.
func TestE2EQueueCommands(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		deskStory(t, fmt.Sprintf("{type: nats, embedded: true, dir: %q}", t.TempDir()), false)
	})
	t.Run("nats", func(t *testing.T) {
		s := natstest.Start(t, natstest.Options{})
		deskStory(t, fmt.Sprintf("{type: nats, url: %q}", s.URL()), false)
	})
	t.Run("cluster", func(t *testing.T) {
		c := natstest.StartCluster(t, 3, natstest.Options{})
		deskStory(t, fmt.Sprintf("{type: nats, urls: [%q, %q], replicas: 3}", c.URLs()[0], c.URLs()[1]), false)
	})
	t.Run("rabbitmq", func(t *testing.T) {
		s, err := rabbitmqtest.Start(rabbitmqtest.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		deskStory(t, fmt.Sprintf("{type: rabbitmq, url: %q}", s.URL()), true)
	})
}

func deskStory(t *testing.T, broker string, peekCounts bool) {
	app := newPoisonable(t)
	lines := strings.Split(queueConfig(t, app.URL), "\n")
	i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "brokers:") })
	lines[i] = fmt.Sprintf("brokers: {kept: %s}", broker)
	d := deskProgram{file: writeConfig(t, strings.Join(lines, "\n")), queue: "jobs"}
	g := runGateway(t, d.file)

	d.backlog(t, g, app, peekCounts)
	d.mistakes(t)
	d.poison(t, g, app)

	// It all works without a gateway, too, and a pause is there in the next one.
	d.run(t, exitOK, "queue", "pause", "jobs", "--class", "batch")
	g.stop(t)
	if !d.lane(t, "batch").Paused {
		t.Error("without the gateway, the lane is not paused")
	}
	g = runGateway(t, d.file)
	worked := app.worked()
	enqueue(t, g.url, "batch", 5)
	enqueue(t, g.url, "interactive", 5)
	app.await(t, "interactive work", func() bool { return app.work >= worked+5 })
	if l := d.lane(t, "batch"); l.Waiting != 5 || !l.Paused {
		t.Errorf("after a restart, the paused lane is %+v", l)
	}
	d.run(t, exitOK, "queue", "resume", "jobs")
	app.await(t, "batch work", func() bool { return app.work >= worked+10 })
	g.stop(t)
}

// enqueue has the gateway confirm n jobs. While a cluster chooses who leads a lane,
// it refuses some.
func enqueue(t *testing.T, gateway, class string, n int) {
	t.Helper()
	for n > 0 {
		for _, p := range publish(t, gateway, class, n, nil) {
			if p.id != "" {
				n--
			}
		}
	}
}

func (p *poisonable) worked() (n int) {
	p.state.change(func() { n = p.work })
	return n
}

func (p *poisonable) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	if !p.state.await(t.Context(), holds) {
		t.Fatal(what)
	}
}

// backlog builds one in a paused lane, looks at it and purges it.
func (d deskProgram) backlog(t *testing.T, g gatewayProgram, app *poisonable, peekCounts bool) {
	t.Helper()
	r := d.run(t, exitOK, "queue", "pause", "jobs", "--class", "batch")
	d.wantLines(t, r.stdout, "paused jobs: batch\n")
	// The gateway takes heed within a few seconds, and then a backlog grows. On NATS,
	// the server does so at once, and keeps the consumers.
	if peekCounts {
		eventually(t, "the gateway takes heed", func() bool { return d.lane(t, "batch").Consumers == 0 })
	}
	waiting := func() int { return d.lane(t, "batch").Waiting }
	for waiting() < 40 {
		enqueue(t, g.url, "batch", 20)
	}
	backlog := waiting()
	worked := app.worked()
	enqueue(t, g.url, "interactive", 5)
	app.await(t, "interactive work goes on", func() bool { return app.work >= worked+5 })
	d.wantLines(t, d.run(t, exitOK, "queue", "list").stdout, "QUEUE", "WAITING", "paused", "dead")
	d.wantLines(t, d.run(t, exitOK, "queue", "show", "jobs").stdout, "kept (", "to upstream app", "paused", "dead")
	if _, page := get(t, g.admin+"/debug/queues"); !regexp.MustCompile(`"paused": \[\s*"batch"\s*\]`).MatchString(page) {
		t.Errorf("/debug/queues does not show that batch is paused: %s", page)
	}

	peek := []string{"queue", "peek", "jobs", "--class", "batch", "--limit", "3"}
	if peekCounts {
		r := d.run(t, exitUsage, peek...)
		d.wantLines(t, r.stderr, "would look at 3 messages of queue jobs", "add --yes")
		peek = append(peek, "--yes")
	}
	var first, again []messageView
	d.json(t, &first, peek...)
	d.json(t, &again, peek...)
	if len(first) != 3 || first[0].Body != "some work" || first[0].Class != "batch" || first[0].Headers.Get("http-method") != http.MethodPost {
		t.Fatalf("peeked at %+v", first)
	}
	for i := range first {
		if first[i].ID != again[i].ID || again[i].Attempts != 0 && !peekCounts {
			t.Errorf("peeked again at %+v, before at %+v", again[i], first[i])
		}
	}
	d.wantLines(t, d.run(t, exitOK, peek...).stdout, "ID", "BODY", first[2].ID, "some work")

	r = d.run(t, exitUsage, "queue", "purge", "jobs", "--class", "batch")
	d.wantLines(t, r.stderr, fmt.Sprintf("would remove the messages that wait in queue jobs: %d of batch", backlog), "add --yes")
	if n := waiting(); n != backlog {
		t.Errorf("%d messages wait, want %d", n, backlog)
	}
	r = d.run(t, exitOK, "queue", "purge", "jobs", "--class", "batch", "--yes")
	d.wantLines(t, r.stdout, fmt.Sprintf("removed from jobs: %d of batch\n", backlog))
	if !peekCounts { // on NATS, states are kept
		d.wantLines(t, r.stdout, fmt.Sprintf("cancelled jobs: %d\n", backlog))
	}
	d.run(t, exitOK, "queue", "resume", "jobs", "--class", "batch")
	worked = app.worked()
	enqueue(t, g.url, "batch", 5)
	app.await(t, "batch work after the pause", func() bool { return app.work >= worked+5 })
	if l := d.lane(t, "batch"); l.Paused {
		t.Errorf("the resumed lane is %+v", l)
	}
}

// mistakes are answered with their remedy.
func (d deskProgram) mistakes(t *testing.T) {
	t.Helper()
	for _, c := range []struct {
		code int
		args string
		want []string
	}{
		{exitUsage, "queue show job", []string{`there is no queue "job"; configured: jobs`, "overtake queue show --help"}},
		{exitUsage, "queue peek jobs --class fast", []string{`there is no class "fast"; configured: interactive, batch`}},
		{exitUsage, "queue peek jobs --limit 0", []string{"--limit 0, want at least 1"}},
		{exitUsage, "dead replay jobs", []string{"give the IDs of dead letters, or --all"}},
		{exitUsage, "dead replay jobs x --all", []string{"not both"}},
		{exitUsage, "dead replay jobs --all", []string{"would replay 0 dead letters of queue jobs; add --yes"}},
		{exitFailed, "dead show jobs x", []string{"queue jobs has no dead letter x; overtake dead list jobs"}},
		{exitFailed, "dead replay jobs x", []string{"queue jobs has no dead letter x"}},
	} {
		d.wantLines(t, d.run(t, c.code, strings.Fields(c.args)...).stderr, c.want...)
	}
	r := d.run(t, exitOK, "dead", "list", "jobs", "--json")
	if r.stdout != "[]\n" {
		t.Errorf("no dead letters are printed as %q", r.stdout)
	}
}

// poison has a job die, looks at it, and replays it when the app is cured.
func (d deskProgram) poison(t *testing.T, g gatewayProgram, app *poisonable) {
	t.Helper()
	var ids []string
	for range 3 {
		p := post{job: "poison", class: "batch"}
		ids = append(ids, postJob(http.DefaultClient, g.url, &p))
	}
	eventually(t, "the poisoned jobs are dead", func() bool { return d.lane(t, "dead").Waiting == len(ids) })

	var letters []messageView
	d.json(t, &letters, "dead", "list", "jobs")
	if len(letters) != 3 || letters[0].Class != "batch" || letters[0].Attempts != 1 || !strings.Contains(letters[0].Reason, "422") || letters[0].Died == nil {
		t.Fatalf("dead letters %+v", letters)
	}
	letter := letters[0].ID
	if !slices.Contains(ids, letter) {
		t.Errorf("dead is %s, want one of %q", letter, ids)
	}
	d.json(t, &letters, "dead", "list", "jobs", "--limit", "2")
	if len(letters) != 2 {
		t.Errorf("--limit 2 lists %d", len(letters))
	}
	d.json(t, &letters, "dead", "list", "jobs", "--class", "interactive")
	if len(letters) != 0 {
		t.Errorf("of another class are %+v", letters)
	}
	d.wantLines(t, d.run(t, exitOK, "dead", "list", "jobs", "--reason", "422").stdout, "REASON", ids[0], ids[1], ids[2])
	d.wantLines(t, d.run(t, exitOK, "dead", "show", "jobs", letter).stdout, "id        "+letter, "http-field-X-Job", "\nbody\nsome work\n")

	// Not cured, it dies again, and is there once.
	d.wantLines(t, d.run(t, exitOK, "dead", "replay", "jobs", letter).stdout, "replayed in jobs: 1\n")
	eventually(t, "it is dead again", func() bool { return d.lane(t, "dead").Waiting == len(ids) })
	app.cured.Store(true)
	d.wantLines(t, d.run(t, exitOK, "dead", "replay", "jobs", letter).stdout, "replayed in jobs: 1\n")
	app.await(t, "the replayed job is done", func() bool { return len(app.done) == 1 })
	d.wantLines(t, d.run(t, exitUsage, "dead", "replay", "jobs", "--all").stderr, "would replay 2 dead letters")
	d.run(t, exitOK, "dead", "replay", "jobs", "--all", "--yes")
	app.await(t, "all are done", func() bool { return len(app.done) == len(ids) })
	if n := d.lane(t, "dead").Waiting; n != 0 {
		t.Errorf("%d dead letters are left", n)
	}
	for _, id := range ids {
		if !slices.Contains(app.done, "1 "+id) {
			t.Errorf("done are %q, want each of %q at its first attempt", app.done, ids)
		}
	}
}

// A folder that is not there, and a broker that is not, are named.
func TestE2EQueueCommandsWithoutBroker(t *testing.T) {
	dir := t.TempDir()
	for broker, want := range map[string]string{
		fmt.Sprintf("{type: nats, embedded: true, dir: %q}", dir+"/none"): "no gateway has run with this dir",
		`{type: nats, url: "nats://127.0.0.1:1"}`:                         "127.0.0.1:1",
		fmt.Sprintf("{type: nats, embedded: true, dir: %q}", dir):         "a gateway makes it when it starts",
	} {
		file := writeConfig(t, fmt.Sprintf("upstreams: {app: {servers: [\"http://127.0.0.1:1\"]}}\nbrokers: {kept: %s}\nqueues: {jobs: {deliver: {upstream: app}}}\n", broker))
		r := runProgram(t, nil, "queue", "list", "-c", file)
		if r.code != exitFailed || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: it exited with %d and said %q, want %q in it", broker, r.code, r.stderr, want)
		}
	}
	if _, err := os.Stat(dir + "/none"); err == nil {
		t.Error("the folder was made")
	}
}
