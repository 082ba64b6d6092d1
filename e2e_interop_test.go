//go:build e2e

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"overtake/broker/nats/natstest"
	"overtake/broker/rabbitmq/rabbitmqtest"
)

// nodeFiles is where the programs in Node.js are, which the documentation shows.
const nodeFiles = "e2e/node"

// nodeClient runs these programs on one broker.
type nodeClient struct {
	dir    string // with the packages that they need
	broker string // the prefix of the files' names
	env    []string
}

// newNodeClient installs the packages for clients of the broker of that URL.
func newNodeClient(t *testing.T, broker, url string) *nodeClient {
	t.Helper()
	n := &nodeClient{dir: t.TempDir(), broker: broker, env: []string{strings.ToUpper(broker) + "_URL=" + url}}
	if err := os.CopyFS(n.dir, os.DirFS(nodeFiles)); err != nil {
		t.Fatal(err)
	}
	tool(t, "npm", "ci", "--prefix", n.dir, "--no-audit", "--no-fund", "--ignore-scripts")
	return n
}

func (n *nodeClient) file(name string) string {
	return filepath.Join(n.dir, n.broker+"-"+name+".mjs")
}

// publish publishes a message whose body is its name. Without an id it has no
// header either, as from somebody who has not heard of Overtake.
func (n *nodeClient) publish(t *testing.T, class, body, id string, header map[string]any) {
	t.Helper()
	options, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{n.file("publish"), "jobs", class, body}
	if n.broker == "nats" {
		args = append(args, string(options), id)
	} else {
		// As its clients do: the content type is a property, the deadline a number.
		contentType, _ := header["content-type"].(string)
		fields := map[string]any{}
		for name, value := range header {
			if name != "content-type" {
				fields[name] = value
			}
		}
		if text, ok := header["latency-deadline"].(string); ok {
			fields["latency-deadline"] = json.Number(text)
		}
		options, err = json.Marshal(map[string]any{"messageId": id, "contentType": contentType, "headers": fields})
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, string(options))
	}
	if r := runTool(t, n.env, nil, "node", args...); r.code != 0 {
		t.Fatalf("node %s: %s%s", strings.Join(args, " "), r.stdout, r.stderr)
	}
}

// A nodeMessage is what a program prints of a message.
type nodeMessage struct {
	ID          string         `json:"id"`          // AMQP's message_id
	ContentType string         `json:"contentType"` // AMQP's property
	Priority    int            `json:"priority"`
	Headers     map[string]any `json:"headers"`
	Body        string         `json:"body"`
}

func parseNodeMessage(t *testing.T, line string) (m nodeMessage) {
	t.Helper()
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	if id := m.get("Nats-Msg-Id"); id != "" {
		m.ID = id
	}
	return m
}

// get returns the value of a header, which NATS has lists of.
func (m nodeMessage) get(name string) string {
	value, ok := m.Headers[name]
	if list, many := value.([]any); many {
		value = list[0]
	}
	if !ok {
		return ""
	}
	return fmt.Sprint(value)
}

// consume takes messages from a lane until there are count, acknowledges them
// and ends.
func (n *nodeClient) consume(t *testing.T, queue, class string, count int) (messages []nodeMessage) {
	t.Helper()
	p := startTool(t, n.env, "node", n.file("consume"), queue, class)
	p.find(t, fmt.Sprintf(`(?:\{.*\}\n){%d}`, count))
	p.stop(t)
	for line := range strings.Lines(p.text()) {
		messages = append(messages, parseNodeMessage(t, line))
	}
	if len(messages) != count {
		t.Fatalf("%d messages came from lane %s.%s, want %d", len(messages), queue, class, count)
	}
	return messages
}

// dead returns the dead letters, of which there are count.
func (n *nodeClient) dead(t *testing.T, count int) (letters []nodeMessage) {
	t.Helper()
	if n.broker == "rabbitmq" {
		return n.consume(t, "jobs", "dead", count)
	}
	r := runTool(t, n.env, nil, "node", n.file("dead"), "jobs")
	for line := range strings.Lines(r.stdout) {
		letters = append(letters, parseNodeMessage(t, line))
	}
	if r.code != 0 || len(letters) != count {
		t.Fatalf("%d dead letters, want %d; %s", len(letters), count, r.stderr)
	}
	return letters
}

// interopClasses are the classes with the priority that AMQP has for them.
var interopClasses = map[string]int{"interactive": 3, "standard": 2, "batch": 1}

// interopConfig has a queue that is delivered to the app, one at a time, and
// one that other programs work on.
func interopConfig(broker, app string) string {
	return fmt.Sprintf(`
classes: [{name: interactive, reserve: 0}, {name: standard, floor: 0%%}, {name: batch, floor: 0%%}]
rules: [{name: urgent, class: interactive, match: {path: /exports/urgent}}]
upstreams: {app: {servers: [%q], limit: {mode: fixed, max: 1}, timeout: 10m}}
brokers: {far: %s}
queues: {jobs: {deliver: {upstream: app, path: /work}, attempts: 2}, exports: {}}
routes: [{queue: exports}]
`, app, broker)
}

// interopTrace is the trace of a class's messages, its traceparent that of the
// publisher.
func interopTrace(class string) (trace, traceparent string) {
	trace = fmt.Sprintf("%032x", 0xabc0+interopClasses[class])
	return trace, "00-" + trace + "-00f067aa0ba902b7-01"
}

// TestE2EInterop has programs in another language publish into lanes that a
// gateway delivers, and take what a gateway has published.
func TestE2EInterop(t *testing.T) {
	t.Run("rabbitmq", func(t *testing.T) {
		s, err := rabbitmqtest.Start(rabbitmqtest.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		testInterop(t, "rabbitmq", s.URL(), fmt.Sprintf("{type: rabbitmq, url: %q}", s.URL()))
	})
	t.Run("nats", func(t *testing.T) {
		s := natstest.Start(t, natstest.Options{})
		testInterop(t, "nats", s.URL(), fmt.Sprintf("{type: nats, url: %q}", s.URL()))
	})
}

func testInterop(t *testing.T, broker, url, config string) {
	n := newNodeClient(t, broker, url)
	app := newRecorder(t, func(*delivery) bool { return true })
	g := startGateway(t, interopConfig(config, app.url))
	eventually(t, "ready", func() bool {
		resp, _ := get(t, g.admin+"/readyz")
		return resp.StatusCode == 200
	})
	testNodePublishes(t, n, g, app)
	testNodeConsumes(t, n, g)
	testNodeReadsDead(t, n, g, app)
	if r := runTool(t, n.env, nil, "node", n.file("publish"), "jobs", "nosuchclass", "x"); r.code == 0 {
		t.Error("publishing in a class that there is not succeeds")
	}
	g.stop(t)
}

// testNodePublishes publishes behind a message that keeps the app busy, least
// urgent first. Then the app answers one by one, each time when every lane's
// next message waits for it.
func testNodePublishes(t *testing.T, n *nodeClient, g gatewayProgram, app *recorder) {
	n.publish(t, "standard", "bare", "", map[string]any{})
	app.await(t, "the first message comes", func() bool { return len(app.deliveries) == 1 })
	deadline := strconv.FormatInt(time.Now().Add(time.Hour).UnixMilli(), 10)
	waiting := map[string]int{}
	for _, class := range []string{"batch", "standard", "interactive"} {
		_, traceparent := interopTrace(class)
		for i := range 2 {
			id := fmt.Sprintf("%s-%d", class, i)
			n.publish(t, class, id, id, map[string]any{
				"traceparent": traceparent, "tracestate": "shop=1", "baggage": "tenant=acme",
				"latency-deadline": deadline, "content-type": "text/x-order",
			})
			waiting[class]++
		}
	}
	want := []string{"bare", "interactive-0", "interactive-1", "standard-0", "standard-1", "batch-0", "batch-1"}
	for i, body := range want {
		app.await(t, body+" comes", func() bool { return len(app.deliveries) == i+1 })
		d := app.all()[i]
		if d.body != body || d.path != "/work" || d.attempt != "1" {
			t.Fatalf("delivery %d is %+v, want %s", i, d, body)
		}
		if class, _, ok := strings.Cut(body, "-"); ok {
			waiting[class]--
			checkInterop(t, &d, class, deadline)
		} else if d.class != "standard" || d.id == "" || len(d.header.Get("Traceparent")) != 55 {
			t.Errorf("what had no header came as %+v", d)
		}
		for class, count := range waiting {
			eventually(t, "the next of each lane waits", func() bool {
				return g.metric(t, fmt.Sprintf(`overtake_waiting{class=%q,upstream="app"}`, class)) == float64(min(count, 1))
			})
		}
		app.hold(func(d *delivery) bool { return !slices.Contains(want[:i+1], d.body) })
	}
	app.hold(nil)
}

// checkInterop checks the trail and the rest of a delivery that was published
// with them.
func checkInterop(t *testing.T, d *delivery, class, deadline string) {
	t.Helper()
	trace, _ := interopTrace(class)
	for name, want := range map[string]string{
		"Latency-Class": class, "Latency-Deadline": deadline, "Tracestate": "shop=1", "Idempotency-Key": d.body, "Content-Type": "text/x-order",
	} {
		if got := d.header.Get(name); got != want {
			t.Errorf("%s came with %s %q, want %q", d.body, name, got, want)
		}
	}
	if !strings.HasPrefix(d.header.Get("Traceparent"), "00-"+trace+"-") {
		t.Errorf("%s came with the traceparent %q, not of trace %s", d.body, d.header.Get("Traceparent"), trace)
	}
	baggage := strings.Join(d.header.Values("Baggage"), ",")
	for _, member := range []string{"tenant=acme", "latency.class=" + class} {
		if !strings.Contains(baggage, member) {
			t.Errorf("%s came with the baggage %q, want %s in it", d.body, baggage, member)
		}
	}
}

// testNodeConsumes posts jobs to the queue that the gateway does not deliver. One
// that was not acknowledged would come a second time, before the next.
func testNodeConsumes(t *testing.T, n *nodeClient, g gatewayProgram) {
	for path, class := range map[string]string{"/exports/urgent": "interactive", "/exports/nightly?day=1": "standard", "/exports/old": "batch"} {
		trace, traceparent := interopTrace(class)
		deadline := strconv.FormatInt(time.Now().Add(time.Hour).UnixMilli(), 10)
		for range 2 {
			id := strings.TrimPrefix(newJob(t, g.url, path, "Latency-Class: "+class, "Latency-Deadline: "+deadline, "Traceparent: "+traceparent,
				"Tracestate: shop=1", "Baggage: tenant=acme", "Content-Type: text/x-order", "X-Shop: 17"), "/_overtake/jobs/")
			m := n.consume(t, "exports", class, 1)[0]
			if m.ID != id || m.Body != "work" || !strings.HasPrefix(m.get("traceparent"), "00-"+trace+"-") {
				t.Errorf("job %s of trace %s came as %+v", id, trace, m)
			}
			for name, want := range map[string]string{
				"latency-class": class, "latency-deadline": deadline, "tracestate": "shop=1", "content-type": "text/x-order",
				"http-method": "POST", "http-target": path, "http-field-X-Shop": "17",
			} {
				if got := m.get(name); got != want {
					t.Errorf("job %s came with %s %q, want %q", id, name, got, want)
				}
			}
			if baggage := m.get("baggage"); !strings.Contains(baggage, "tenant=acme") || !strings.Contains(baggage, "latency.class="+class) {
				t.Errorf("job %s came with the baggage %q", id, baggage)
			}
			if n.broker == "rabbitmq" && (m.Priority != interopClasses[class] || m.ContentType != "text/x-order") {
				t.Errorf("job %s has priority %d and content type %q", id, m.Priority, m.ContentType)
			}
			eventually(t, "the lane is empty", func() bool {
				return g.metric(t, fmt.Sprintf(`overtake_lane_depth{class=%q,queue="exports"}`, class)) == 0
			})
		}
	}
}

// testNodeReadsDead publishes messages for which the app fails.
func testNodeReadsDead(t *testing.T, n *nodeClient, g gatewayProgram, app *recorder) {
	fails := func(d *delivery) bool { return strings.HasPrefix(d.body, "fails") }
	app.state.change(func() { app.fails = fails })
	trace, traceparent := interopTrace("batch")
	n.publish(t, "batch", "fails", "order-17", map[string]any{"traceparent": traceparent, "content-type": "text/x-order"})
	n.publish(t, "batch", "fails bare", "", map[string]any{})
	eventually(t, "both are dead", func() bool { return g.metric(t, `overtake_lane_depth{class="dead",queue="jobs"}`) == 2 })
	attempts, ids := map[string]string{}, map[string]string{}
	for _, d := range app.all() {
		if fails(&d) {
			attempts[d.body] += d.attempt
			ids[d.body] = d.id
		}
	}
	if attempts["fails"] != "12" || attempts["fails bare"] != "12" || ids["fails"] != "order-17" {
		t.Errorf("the attempts were %v of %v", attempts, ids)
	}
	for _, m := range n.dead(t, 2) {
		reason, count := m.get("overtake-dead-reason"), m.get("overtake-dead-attempts")
		if reason != "attempt 2 of 2: the app answered 500" || count != "2" || m.get("latency-class") != "batch" {
			t.Errorf("dead letter %q has reason %q and attempts %q in %v", m.Body, reason, count, m.Headers)
		}
		if id := ids[m.Body]; id == "" || m.ID != id {
			t.Errorf("dead letter %q has ID %q, and was delivered as %q", m.Body, m.ID, id)
		}
		if m.Body == "fails" && !strings.HasPrefix(m.get("traceparent"), "00-"+trace+"-") {
			t.Errorf("the dead letter's traceparent is %q, not of trace %s", m.get("traceparent"), trace)
		}
	}
}

// The examples in the documentation are the programs that the tests run.
func TestE2EInteropDocumented(t *testing.T) {
	doc, err := os.ReadFile("docs/queues.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(nodeFiles + "/*.mjs")
	if err != nil || len(files) == 0 {
		t.Fatal("no programs", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(doc), "```js\n"+string(text)+"```\n") {
			t.Errorf("docs/queues.md does not show %s as it is", file)
		}
	}
}
