package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"overtake/broker"
	"overtake/broker/nats"
	"overtake/gateway/config"
)

// The commands work on the folder of an embedded broker while no gateway runs.
func TestDesk(t *testing.T) {
	dir := t.TempDir()
	file := writeFile(t, fmt.Sprintf(`
upstreams: {app: {servers: ["http://127.0.0.1:9000"]}}
brokers: {local: {type: nats, embedded: true, dir: %q}}
queues: {jobs: {deliver: {upstream: app, path: /work}}, mails: {deliver: {upstream: app}}}
routes: [{queue: jobs}]
`, dir))
	empty := writeFile(t, "upstreams: {app: {servers: [\"http://127.0.0.1:9000\"]}}\n")
	fillDesk(t, dir)
	away := writeFile(t, fmt.Sprintf("listners: []\nupstreams: {app: {servers: [\"http://127.0.0.1:9000\"]}}\nbrokers: {local: {type: nats, embedded: true, dir: %q}}\nqueues: {jobs: {deliver: {upstream: app}}}\n", dir+"/none"))
	t.Setenv("OVERTAKE_CONFIG", file)
	for _, c := range []struct {
		args   string
		code   int
		stdout string // what the streams contain; empty is that they are empty
		stderr string
	}{
		{"queue show mails", exitFailed, "", `stream not found; a gateway makes it when it starts with this configuration`},
		{"queue show jobs", exitOK, "queue     jobs\nbroker    local (nats)\ndelivers  to upstream app/work, at most 5 times\n", ""},
		{"queue list", exitFailed, "jobs   batch        2 ", `queue "mails"`},
		{"queue peek jobs", exitOK, "text   batch  0         ", ""},
		{"queue peek jobs --limit 1 --json", exitOK, `"body": "one\ttwo"`, ""},
		{"queue peek jobs --class batch", exitOK, "(not text)", ""},
		{"queue pause jobs --class batch", exitOK, "paused jobs: batch\n", ""},
		{"queue pause jobs --json", exitOK, `"paused": true`, ""},
		{"queue resume jobs", exitOK, "resumed jobs: interactive, standard, batch\n", ""},
		{"queue purge jobs", exitUsage, "", "would remove the messages that wait in queue jobs: 0 of interactive, 0 of standard, 2 of batch; add --yes to do it (overtake queue purge --help has an example)\n"},
		{"queue purge jobs --yes --class batch", exitOK, "removed from jobs: 2 of batch\n", ""},
		{"queue peek jobs --json", exitOK, "[]\n", ""},
		{"dead list jobs", exitOK, "  REASON\ntabbed  batch  1         ", ""},
		{"dead show jobs tabbed", exitOK, "reason    no good\nsize      7B\n\nheader\n", ""},
		{"dead show jobs tabbed", exitOK, "\nbody\none\ttwo\n", ""},
		{"dead show jobs binary", exitOK, "\nbody\n00000000  00 01 02 ", ""},
		{"dead show jobs binary --json", exitOK, `"body_base64": "AAEC"`, ""},
		{"dead replay jobs tabbed nothing", exitFailed, "replayed in jobs: 1\n", "queue jobs has no dead letter nothing; overtake dead list jobs shows what there is"},
		{"dead replay jobs --all", exitUsage, "", "would replay 1 dead letters of queue jobs; add --yes"},
		{"dead replay jobs --all --reason other --yes", exitOK, "replayed in jobs: 0\n", ""},
		{"dead replay jobs --all --class batch --yes --json", exitOK, `"replayed": 1`, ""},
		{"dead replay jobs tabbed --reason x", exitUsage, "", "--class and --reason go with --all"},
		{"queue show job", exitUsage, "", `there is no queue "job"; configured: jobs, mails (overtake queue show --help has an example)`},
		{"queue purge jobs --class fast", exitUsage, "", `there is no class "fast"; configured: interactive, standard, batch`},
		{"queue list -c " + empty, exitUsage, "", "there are no queues in " + empty},
		{"queue list -c " + away, exitFailed, "", "none: no such file or directory; no gateway has run with this dir"},
		{"queue list --json -c " + away, exitFailed, "", `listners: unknown key; did you mean "listeners"?`},
		{"queue list -c nowhere.yaml", exitUsage, "", "nowhere.yaml"},
	} {
		t.Run(c.args, func(t *testing.T) {
			code := -1
			stdout, stderr := captured(t, func() { code = run(strings.Fields(c.args)) })
			if code != c.code {
				t.Errorf("the exit code is %d, want %d", code, c.code)
			}
			checkStream(t, "standard output", stdout, c.stdout)
			checkStream(t, "standard error", stderr, c.stderr)
		})
	}
}

// Queues can be steered while the file has a mistake in a part that they do not need:
// it is a warning, once on standard error, and the output is as ever.
func TestDeskGoesOnWithMistakesElsewhere(t *testing.T) {
	dir := t.TempDir()
	fillDesk(t, dir)
	base := fmt.Sprintf(`
upstreams: {app: {servers: ["http://127.0.0.1:9000"]}}
brokers: {local: {type: nats, embedded: true, dir: %q}}
queues: {jobs: {deliver: {upstream: app, path: /work}}}
routes: [{queue: jobs}]
`, dir)
	broken := writeFile(t, base+"rules: [{class: btach}]\nrelais: []\n")
	const goesOn = "this command needs none of that, and goes on\n"
	for _, c := range []struct{ args, stdout string }{
		{"queue list", "jobs   batch        2 "},
		{"queue pause jobs", "paused jobs: interactive, standard, batch\n"},
		{"queue show jobs --json", `"paused": true`},
		{"queue resume jobs --class batch", "resumed jobs: batch\n"},
		{"dead list jobs", "binary"},
	} {
		code := -1
		stdout, stderr := captured(t, func() { code = run(append(strings.Fields(c.args), "-c", broken)) })
		if code != exitOK {
			t.Errorf("%s: the exit code is %d", c.args, code)
		}
		checkStream(t, "standard output of "+c.args, stdout, c.stdout)
		checkStream(t, "standard error of "+c.args, stderr, `: rules[0].class: "btach" is not a class; did you mean "batch"?`)
		checkStream(t, "standard error of "+c.args, stderr, `overtake.yaml:7:1: relais: unknown key; did you mean "relays"?`)
		checkStream(t, "standard error of "+c.args, stderr, goesOn)
	}
	for _, mistake := range []string{"classes: [{name: Batch}]\n", "brokesr: {}\n", "queues: {}\n", "a: [\n"} {
		code := -1
		stdout, stderr := captured(t, func() { code = run([]string{"queue", "pause", "jobs", "-c", writeFile(t, base+mistake)}) })
		if code != exitUsage || stdout != "" || strings.Contains(stderr, goesOn) {
			t.Errorf("%q: the exit code is %d, the output\n%s%s", mistake, code, stdout, stderr)
		}
	}
}

// A queue with RabbitMQ's own priorities has one lane, and only that can be meant.
func TestLanesThatAreMeant(t *testing.T) {
	d := &desk{cfg: &config.Config{
		Classes: []config.Class{{Name: "interactive"}, {Name: "batch"}},
		Brokers: map[string]config.Broker{"rabbit": {Type: "rabbitmq"}, "local": {Type: "nats"}},
		Queues: map[string]config.Queue{
			"lanes": {Broker: "rabbit", Strategy: "lanes"}, "one": {Broker: "rabbit", Strategy: "native"}, "other": {Broker: "local", Strategy: "native"},
		},
	}}
	for _, c := range []struct{ queue, class, want string }{
		{"lanes", "", "[interactive batch]"},
		{"lanes", "batch", "[batch]"},
		{"lanes", "fast", `[] there is no class "fast"; configured: interactive, batch`},
		{"one", "", "[*]"},
		{"one", "batch", "[] queue one has all classes in one lane, as its strategy is native; leave out --class"},
		{"other", "", "[interactive batch]"}, // on NATS, native is lanes
	} {
		lanes, err := d.chosen(c.queue, c.class)
		got := fmt.Sprint(lanes)
		if err != nil {
			got += " " + err.Error()
		}
		if got != c.want {
			t.Errorf("queue %s, class %q: %s, want %s", c.queue, c.class, got, c.want)
		}
	}
}

// fillDesk leaves two waiting messages and two dead letters in a broker folder.
func fillDesk(t *testing.T, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	server, err := nats.StartServer(nats.ServerConfig{Dir: dir})
	check(err)
	conn, err := nats.Connect(nats.ConnConfig{Server: server})
	check(err)
	q, err := conn.OpenQueue(ctx, nats.QueueConfig{Name: "jobs", Classes: []string{"interactive", "standard", "batch"}})
	check(err)
	publisher, consumer := q.Publisher(), q.Consumer()
	for _, m := range []broker.Message{
		{ID: "tabbed", Class: "batch", Body: []byte("one\ttwo")},
		{ID: "binary", Class: "batch", Body: []byte{0, 1, 2}},
	} {
		check(publisher.Publish(ctx, &m))
		d, err := consumer.Next(ctx, "batch")
		check(err)
		check(d.Dead(ctx, "no good"))
	}
	for _, m := range []broker.Message{
		{ID: "text", Class: "batch", Body: []byte("one\ttwo")},
		{ID: "bytes", Class: "batch", Body: []byte{0xff}},
	} {
		check(publisher.Publish(ctx, &m))
	}
	check(publisher.Close(ctx))
	check(consumer.Close(ctx))
	check(conn.Close(ctx))
	check(server.Shutdown(ctx))
}

// What comes from outside can't steer the terminal.
func TestDeskViewsAreSafe(t *testing.T) {
	letter := newDeadView(&broker.DeadLetter{
		Message: broker.Message{ID: "m\x1b", Class: "batch\x1b", Header: broker.Header{"k": {"a\x1b[2Jb"}}, Body: []byte("\x1b[2J")},
		Reason:  "bad\x1b[2J",
	})
	stdout, _ := captured(t, func() {
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		letter.page(w)
		tableDead(w, []messageView{letter})
		tableMessages(w, []messageView{newPeekedView(&broker.Peeked{Message: broker.Message{Body: []byte("\x1b[2J")}})})
		_ = w.Flush()
	})
	// It was not published by Overtake: nobody says when it died.
	if strings.Contains(stdout, "\x1b") || !strings.Contains(stdout, `a\x1b[2Jb`) || !strings.Contains(stdout, "died      -\n") {
		t.Errorf("printed %q", stdout)
	}
}

// A broker that does not tell something is not taken to say 0.
func TestLanesThatAreNotTold(t *testing.T) {
	lanes := newLaneViews("jobs", []broker.Lane{
		{Class: "batch", Waiting: 3, InHand: broker.Unknown, Bytes: broker.Unknown},
		{Class: "slow", InHand: broker.Unknown, Bytes: broker.Unknown, MaxBytes: 8 << 20, MaxMessages: 8 << 10},
	})
	o := deskOptions{JSON: true}
	stdout, _ := captured(t, func() {
		if err := o.print(lanes, nil); err != nil {
			t.Error(err)
		}
		o.JSON = false
		if err := o.print(lanes, func(w *tabwriter.Writer) { tableLanes(w, lanes) }); err != nil {
			t.Error(err)
		}
	})
	for _, want := range []string{
		`"in_hand": null`, `"bytes": null`, `"oldest": null`, `"max_bytes": null`, `"max_bytes": 8388608`, `"max_messages": 8192`,
		"jobs   batch  3        -        -     -        -       0          delivers\n",
		"jobs   slow   0        -        -     8192KiB  -       0          delivers\n",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("printed\n%s\nwant in it %q", stdout, want)
		}
	}
}
