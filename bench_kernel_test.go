//go:build e2e

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"overtake/broker/nats/natstest"
	"overtake/broker/rabbitmq/rabbitmqtest"
	"overtake/loadgen"
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
	markedBatch = ", priority: 1, dscp: LE"
)

// kernelSides are compared everywhere, congestionSides for answers only.
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

	config      string // of the gateway
	interactive loadgen.Stream
	batch       func(*kernelLoad) error // does one request
}

// kernelLoad is the batch load of one run.
type kernelLoad struct {
	ctx    context.Context
	client *http.Client
	url    string
	moved  *atomic.Int64 // bytes
}

// TestBenchKernel measures what classes are worth on a link that is full: of 100
// Mbit/s, away from the gateway's host, where everything else is on the other.
func TestBenchKernel(t *testing.T) {
	host := onOtherHost(t)
	if host == "" {
		return
	}
	host.run(t, "ip", "link", "set", "eth0", "gso_max_segs", "1") // single packets, as on the wire
	var moved atomic.Int64                                        // of uploads, which their app counts
	parts := kernelParts(t, host, &moved)
	for round := range *benchRounds {
		for _, part := range parts {
			for _, row := range part.Rows {
				row.measure(t, host, part, &moved, uint64(round+1))
				fmt.Printf("round %d of %d: %s, %s: p50 %.2f ms, p99 %.2f ms, batch %.1f Mbit/s\n", round+1, *benchRounds,
					part.Name, row.Name, row.P50[round], row.P99[round], row.Batch[round]/1e6)
			}
		}
	}
	var b strings.Builder
	for _, part := range parts {
		part.table(&b)
	}
	fmt.Print("\n" + b.String())
	saveBench(t, "kernel", b.String(), parts)
	saveKernelPicture(t, parts[0], "kernel.png")
}

func kernelParts(t *testing.T, host namespace, moved *atomic.Int64) []*kernelPart {
	t.Helper()
	near := host.start(t, binary, "app", "--listen", "127.0.0.1:9000", "--workers", "64")
	near.find(t, `(http://\S+)`)
	far := serveOther(t, otherIPv4, func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		if n > smallSize {
			moved.Add(n)
		}
	})
	upstream := "upstreams: {app: {servers: [%q], limit: {mode: off}}}\n"
	answers := fmt.Sprintf(upstream, "http://127.0.0.1:9000")
	small := fmt.Sprintf("/work?ms=0&bytes=%d", smallSize)
	parts := []*kernelPart{
		{
			Name: "answers, 2 KiB and 1 MiB", config: answers,
			interactive: loadgen.Stream{Path: small}, batch: download(largeSize), Rows: kernelRows(kernelSides, congestionSides),
		},
		{
			Name: "answers, 2 KiB and 400 KiB", config: answers,
			interactive: loadgen.Stream{Path: small}, batch: download(paperSize), Rows: kernelRows(kernelSides),
		},
		{
			Name: "requests to the app, 2 KiB and 1 MiB", config: fmt.Sprintf(upstream, "http://"+far.String()),
			interactive: loadgen.Stream{Method: http.MethodPost, Path: "/", BodyBytes: smallSize}, batch: uploadLarge, Rows: kernelRows(kernelSides),
		},
	}
	nats := natstest.Start(t, natstest.Options{}).URL()
	rabbit, err := rabbitmqtest.Start(rabbitmqtest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rabbit.Close)
	for _, broker := range []struct{ name, kind, url, address string }{
		{"publishes to NATS, 2 KiB and 256 KiB", "nats", nats, strings.TrimPrefix(nats, "nats://")},
		{"publishes to RabbitMQ, 2 KiB and 256 KiB", "rabbitmq", rabbit.URL(), rabbit.Addr()},
	} {
		parts = append(parts, &kernelPart{
			Name: broker.name,
			config: answers + fmt.Sprintf(`
brokers: {far: {type: %s, url: %q}}
queues: {jobs: {broker: far, deliver: {upstream: app, path: /work}}}
routes: [{queue: jobs}]
`, broker.kind, strings.Replace(broker.url, broker.address, open(t, broker.address), 1)),
			interactive: loadgen.Stream{Method: http.MethodPost, Path: "/", Body: bytes.Repeat([]byte("x"), smallSize)},
			batch:       postLarge, Rows: kernelRows(kernelSides),
		})
	}
	return parts
}

func kernelRows(sides ...[]kernelSide) []*kernelRow {
	var rows []*kernelRow
	for _, side := range slices.Concat(sides...) {
		rows = append(rows, &kernelRow{Name: side.name, side: side})
	}
	return rows
}

// do sends a request of class batch and returns the body of its answer.
func (l *kernelLoad) do(method, path string, body []byte, status int) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(l.ctx, method, l.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Latency-Class", "batch")
	resp, err := l.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != status {
		resp.Body.Close()
		return nil, fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	return resp.Body, nil
}

// Write counts what is downloaded.
func (l *kernelLoad) Write(p []byte) (int, error) {
	l.moved.Add(int64(len(p)))
	return len(p), nil
}

func download(size int) func(*kernelLoad) error {
	path := fmt.Sprintf("/work?ms=0&bytes=%d", size)
	return func(l *kernelLoad) error {
		body, err := l.do(http.MethodGet, path, nil, http.StatusOK)
		if err != nil {
			return err
		}
		defer body.Close()
		_, err = io.Copy(l, body)
		return err
	}
}

var largeBody = bytes.Repeat([]byte("x"), largeSize)

func uploadLarge(l *kernelLoad) error {
	body, err := l.do(http.MethodPost, "/", largeBody, http.StatusOK)
	if err != nil {
		return err
	}
	return body.Close()
}

func postLarge(l *kernelLoad) error {
	body, err := l.do(http.MethodPost, "/", largeBody[:jobSize], http.StatusAccepted)
	if err != nil {
		return err
	}
	l.moved.Add(jobSize)
	defer body.Close()
	_, err = io.Copy(io.Discard, body)
	return err
}

// saturate keeps all batch clients busy until stop is called.
func (p *kernelPart) saturate(t *testing.T, url string, moved *atomic.Int64) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	transport := &http.Transport{MaxIdleConnsPerHost: batchClients}
	l := &kernelLoad{ctx: ctx, client: &http.Client{Transport: transport}, url: url, moved: moved}
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
func (r *kernelRow) measure(t *testing.T, host namespace, part *kernelPart, moved *atomic.Int64, seed uint64) {
	t.Helper()
	host.run(t, "sh", "-ec", `tc qdisc del dev eth0 root 2>/dev/null || true
tc qdisc add dev eth0 root handle 1: tbf rate 100mbit burst 16k limit 10m; tc qdisc add dev eth0 parent 1:1 handle 2: pfifo_fast`)
	classes := fmt.Sprintf("classes: [{name: interactive, socket: {%s}}, {name: standard}, {name: batch, max_wait: 1m, socket: {%s}}]\n", r.side.interactive, r.side.batch)
	if r.side.tree {
		file := writeConfig(t, classes+part.config)
		host.run(t, binary, "qdisc", "apply", "--dev", "eth0", "--rate", "100mbit", "--force", "-c", file)
	}
	g := startGatewayOn(t, host, nil, classes+part.config)
	defer g.kill(t)
	if !r.side.idle {
		defer part.saturate(t, g.url, moved)()
		const ramp = 2 * time.Second
		time.Sleep(ramp)
	}
	interactive := part.interactive
	interactive.Name, interactive.Rate, interactive.Header = "interactive", 100, http.Header{"Latency-Class": {"interactive"}}
	scenario := loadgen.Scenario{Target: g.url, Duration: *benchMeasure, Seed: seed, Streams: []loadgen.Stream{interactive}}
	before, start := moved.Load(), time.Now()
	report, err := loadgen.Run(t.Context(), scenario, loadgen.Options{Warmup: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	r.Batch = append(r.Batch, float64(moved.Load()-before)*8/time.Since(start).Seconds())
	s := stream(t, report.Phases[0], "interactive")
	r.P50, r.P99 = append(r.P50, float64(s.Latency.P50)), append(r.P99, float64(s.Latency.P99))
	r.curves = append(r.curves, s.Curve)
	if done := s.OK + s.Accepted; done < s.Sent || report.Verdict.State != loadgen.Valid {
		r.Trouble = append(r.Trouble, fmt.Sprintf("round %d: %d of %d answered, %s", seed, done, s.Sent, report.Verdict))
	}
}
