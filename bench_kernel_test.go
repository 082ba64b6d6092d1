//go:build e2e

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"overtake/broker/nats/natstest"
	"overtake/broker/rabbitmq/rabbitmqtest"
	"overtake/loadgen"
	"overtake/loadgen/arrival"
	"overtake/loadgen/content"
)

// What the p99 of interactive requests may be beside batch ones, compared with the
// idle link, and what share of the link they must leave to batch, compared with
// classes that the kernel can't tell apart.
const (
	goalBesideBatch = 1.5
	goalLinkUse     = 0.95
)

const (
	linkRate     = 100e6 // bits per second
	batchClients = 16    // each asks again when it has its answer
	smallSize    = 2 << 10
	largeSize    = 1 << 20
	paperSize    = 200 * smallSize // of batch answers in the paper
	jobSize      = 256 << 10
)

// kernelSide is one way of telling the kernel of classes, or of not doing so.
type kernelSide struct {
	name               string
	interactive, batch string // socket options
	tree               bool   // of overtake qdisc apply; else pfifo_fast below the limit
	idle               bool   // no batch requests
}

// The congestion control is that of most Linux systems, whatever this one's is.
const (
	cubic       = "congestion: cubic"
	bbr         = "congestion: bbr"
	marked      = cubic + ", priority: 6, dscp: AF21"
	markedTOS   = cubic + ", priority: 6, dscp: AF22"
	markedBatch = ", priority: 1, dscp: LE"
)

// kernelSides are compared everywhere, congestionSides for answers only, and
// routerSides where the full queue is not on the gateway's host. The router is Linux,
// which takes a packet's band from what was the type of service in its header.
var (
	kernelSides = []kernelSide{
		{name: "idle link", interactive: marked, batch: cubic + markedBatch, idle: true},
		{name: "without marks", interactive: cubic, batch: cubic},
		{name: "marks", interactive: marked, batch: cubic + markedBatch},
		{name: "marks, qdisc apply", interactive: marked, batch: cubic + markedBatch, tree: true},
	}
	congestionSides = []kernelSide{
		{name: "without marks, batch BBR", interactive: cubic, batch: bbr},
		{name: "marks, batch BBR", interactive: marked, batch: bbr + markedBatch},
		{name: "marks, qdisc apply, batch BBR", interactive: marked, batch: bbr + markedBatch, tree: true},
	}
	routerSides = []kernelSide{
		{name: "idle link", interactive: cubic, batch: cubic, idle: true},
		{name: "without marks", interactive: cubic, batch: cubic},
		{name: "without marks, batch BBR", interactive: cubic, batch: bbr},
		{name: "AF21", interactive: marked, batch: cubic + markedBatch},
		{name: "AF22", interactive: markedTOS, batch: cubic + markedBatch},
	}
)

// kernelRow is what was measured of a side, round by round.
type kernelRow struct {
	Name    string    `json:"name"`
	P50     []float64 `json:"p50_ms"`
	P99     []float64 `json:"p99_ms"`
	Batch   []float64 `json:"batch_bit_per_second"`
	Trouble []string  `json:"trouble,omitempty"` // why a round is no result

	side   kernelSide
	curves [][]loadgen.CurvePoint
}

// kernelPart is one direction that the packets of both classes leave the gateway's
// host in.
type kernelPart struct {
	Name string       `json:"name"`
	Rows []*kernelRow `json:"rows"`

	routed      bool   // the gateway's host is not the bottleneck
	config      string // of the gateway
	interactive loadgen.Class
	batch       func(*kernelLoad) error // does one request
	moved       counter                 // of batch
}

// kernelLoad is the batch load of one run.
type kernelLoad struct {
	ctx     context.Context
	client  *http.Client
	url     string
	answers io.Writer // gets their bodies
}

// TestBenchKernel measures what classes are worth on a link that is full: of 100
// Mbit/s, away from the gateway's host, where everything else is on the other.
func TestBenchKernel(t *testing.T) {
	benchKernel(t, "kernel", kernelParts, byLink)
}

// TestBenchRouter measures what classes are worth where a router between the
// hosts is the bottleneck.
func TestBenchRouter(t *testing.T) {
	benchKernel(t, "kernel-router", routerParts, byRouter)
}

// benchKernel runs a test on the other host and saves what it found under a name.
func benchKernel(t *testing.T, name string, tests []kernelTest, join func(t *testing.T, gateway, other namespace)) {
	t.Helper()
	host := onOtherHost(t, join)
	if host == "" {
		return
	}
	host.run(t, "ip", "link", "set", "eth0", "gso_max_segs", "1") // single packets, as on the wire
	near := host.start(t, binary, "app", "--listen", "127.0.0.1:9000", "--workers", "64")
	near.find(t, `(http://\S+)`)
	var b strings.Builder
	var parts []*kernelPart
	for _, p := range tests {
		t.Run(p.name, func(t *testing.T) {
			part := p.prepare(t)
			part.run(t, host)
			part.table(&b)
			parts = append(parts, part)
		})
	}
	if t.Failed() {
		return
	}
	fmt.Print("\n" + b.String())
	saveBench(t, name, b.String(), parts)
	parts[0].picture(t, name+".png")
}

// run measures all sides in turns.
func (p *kernelPart) run(t *testing.T, host namespace) {
	t.Helper()
	for round := range *benchRounds {
		for _, row := range p.Rows {
			row.measure(t, host, p, uint64(round+1))
			fmt.Printf("round %d of %d: %s, %s: p50 %.2f ms, p99 %.2f ms, batch %.1f Mbit/s\n", round+1, *benchRounds,
				p.Name, row.Name, row.P50[round], row.P99[round], row.Batch[round]/1e6)
		}
	}
}

// nearApp is an app beside the gateway.
const nearApp = "upstreams: {app: {servers: [\"http://127.0.0.1:9000\"], limit: {mode: off}}}\n"

// kernelTest is a part by the name of its test.
type kernelTest struct {
	name    string
	prepare func(*testing.T) *kernelPart
}

var routerParts = []kernelTest{
	{"answers", func(*testing.T) *kernelPart {
		part := answersPart("answers through a router, 2 KiB and 1 MiB", largeSize, routerSides)
		part.routed = true
		return part
	}},
}

var kernelParts = []kernelTest{
	{"answers", func(*testing.T) *kernelPart {
		return answersPart("answers, 2 KiB and 1 MiB", largeSize, kernelSides, congestionSides)
	}},
	{"paper", func(*testing.T) *kernelPart {
		return answersPart("answers, 2 KiB and 400 KiB", paperSize, kernelSides)
	}},
	{"requests", requestsPart},
	{"nats", func(t *testing.T) *kernelPart {
		url := natstest.Start(t, natstest.Options{}).URL()
		return publishesPart(t, "publishes to NATS, 2 KiB and 256 KiB", "nats", url, strings.TrimPrefix(url, "nats://"))
	}},
	{"rabbitmq", func(t *testing.T) *kernelPart {
		s, err := rabbitmqtest.Start(rabbitmqtest.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return publishesPart(t, "publishes to RabbitMQ, 2 KiB and 256 KiB", "rabbitmq", s.URL(), s.Addr())
	}},
}

func answersPart(name string, size int, sides ...[]kernelSide) *kernelPart {
	path := "/work?ms=0&bytes="
	return &kernelPart{
		Name: name, Rows: kernelRows(sides...), config: nearApp,
		interactive: loadgen.Class{Request: content.Spec{Path: path + strconv.Itoa(smallSize)}},
		batch: func(l *kernelLoad) error {
			return l.do(http.MethodGet, path+strconv.Itoa(size), nil, http.StatusOK)
		},
	}
}

// requestsPart has its app on the other host.
func requestsPart(t *testing.T) *kernelPart {
	p := &kernelPart{
		Name: "requests to the app, 2 KiB and 1 MiB", Rows: kernelRows(kernelSides),
		interactive: loadgen.Class{Request: content.Spec{Method: http.MethodPost, Path: "/", BodyBytes: smallSize}},
		batch: func(l *kernelLoad) error {
			return l.do(http.MethodPost, "/", largeBody, http.StatusOK)
		},
	}
	app := serveOther(t, otherIPv4, func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Latency-Class") == "batch" {
			_, _ = io.Copy(&p.moved, r.Body)
		}
	})
	p.config = strings.Replace(nearApp, "127.0.0.1:9000", app.String(), 1)
	return p
}

func publishesPart(t *testing.T, name, kind, url, address string) *kernelPart {
	p := &kernelPart{
		Name: name, Rows: kernelRows(kernelSides),
		interactive: loadgen.Class{Request: content.Spec{Method: http.MethodPost, Path: "/", BodyBytes: smallSize}},
		config: nearApp + fmt.Sprintf(`
brokers: {far: {type: %s, url: %q}}
queues: {jobs: {broker: far, deliver: {upstream: app, path: /work}}}
routes: [{queue: jobs}]
`, kind, strings.Replace(url, address, open(t, address), 1)),
	}
	p.batch = func(l *kernelLoad) error {
		err := l.do(http.MethodPost, "/", largeBody[:jobSize], http.StatusAccepted)
		if err == nil {
			p.moved.Add(jobSize)
		}
		return err
	}
	return p
}

func kernelRows(sides ...[]kernelSide) []*kernelRow {
	var rows []*kernelRow
	for _, side := range slices.Concat(sides...) {
		rows = append(rows, &kernelRow{Name: side.name, side: side})
	}
	return rows
}

// do sends a request of class batch and reads its answer.
func (l *kernelLoad) do(method, path string, body []byte, status int) error {
	req, err := http.NewRequestWithContext(l.ctx, method, l.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Latency-Class", "batch")
	resp, err := l.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != status {
		return fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	_, err = io.Copy(l.answers, resp.Body)
	return err
}

// counter counts the bytes that are written to it.
type counter struct{ atomic.Int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.Add(int64(len(p)))
	return len(p), nil
}

var largeBody = bytes.Repeat([]byte("x"), largeSize)

// saturate keeps all batch clients busy until stop is called.
func (p *kernelPart) saturate(t *testing.T, url string) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	transport := &http.Transport{MaxIdleConnsPerHost: batchClients}
	l := &kernelLoad{ctx: ctx, client: &http.Client{Transport: transport}, url: url, answers: &p.moved}
	var clients sync.WaitGroup
	for range batchClients {
		clients.Go(func() {
			for ctx.Err() == nil {
				if err := p.batch(l); err != nil && ctx.Err() == nil {
					t.Errorf("%s: %v", p.Name, err)
					return
				}
			}
		})
	}
	return func() {
		cancel()
		clients.Wait()
		transport.CloseIdleConnections()
	}
}

// measure does one round: with a gateway and a queue of its own.
func (r *kernelRow) measure(t *testing.T, host namespace, part *kernelPart, seed uint64) {
	t.Helper()
	if !part.routed {
		host.run(t, "sh", "-ec", `tc qdisc del dev eth0 root 2>/dev/null || true
tc qdisc add dev eth0 root handle 1: tbf rate 100mbit burst 16k limit 10m; tc qdisc add dev eth0 parent 1:1 handle 2: pfifo_fast`)
	}
	classes := fmt.Sprintf("classes: [{name: interactive, socket: {%s}}, {name: standard}, {name: batch, max_wait: 1m, socket: {%s}}]\n", r.side.interactive, r.side.batch)
	if r.side.tree {
		file := writeConfig(t, classes+part.config)
		host.run(t, binary, "qdisc", "apply", "--dev", "eth0", "--rate", "100mbit", "--force", "-c", file)
	}
	g := startGatewayOn(t, host, nil, classes+part.config)
	defer g.kill(t)
	if !r.side.idle {
		defer part.saturate(t, g.url)()
		const ramp = 2 * time.Second
		time.Sleep(ramp)
	}
	interactive := part.interactive
	interactive.Name, interactive.Arrivals = "interactive", arrival.Steady(100)
	interactive.Request.Fields = []content.Field{{Name: "Latency-Class", Value: "interactive"}}
	scenario := loadgen.Scenario{Target: g.url, Warmup: time.Second, Duration: *benchMeasure, Seed: seed, Classes: []loadgen.Class{interactive}}
	before, start := part.moved.Load(), time.Now()
	report, err := loadgen.Run(t.Context(), scenario, loadgen.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.Batch = append(r.Batch, float64(part.moved.Load()-before)*8/time.Since(start).Seconds())
	s := stream(t, report.Runs[0], "interactive")
	r.P50, r.P99 = append(r.P50, float64(s.Latency.P50)), append(r.P99, float64(s.Latency.P99))
	r.curves = append(r.curves, s.Curve)
	starved := part.routed && s.OK == 0
	if s.OK < s.Sent && !starved || report.Verdict.State != loadgen.Valid {
		r.Trouble = append(r.Trouble, fmt.Sprintf("round %d: %d of %d answered, %s", seed, s.OK, s.Sent, report.Verdict))
	}
}
