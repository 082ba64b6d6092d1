package gateway

import (
	"cmp"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/gateway/config"
)

// benchJobs runs a gateway whose every request is a job on the embedded broker.
// With no app, the jobs stay in their lane.
func benchJobs(b *testing.B, records bool, app string) *Gateway {
	deliver := ""
	if app != "" {
		deliver = "deliver: {upstream: app}"
	}
	cfg, err := config.Parse("bench.yaml", []byte(`
listeners: [{address: "127.0.0.1:0"}]
admin: off
upstreams: {app: {servers: [`+strconv.Quote(cmp.Or(app, "http://127.0.0.1:1"))+`], limit: {max: 64}}}
routes: [{queue: jobs}]
queues: {jobs: {`+deliver+`}}
`), nil)
	if err != nil {
		b.Fatal(err)
	}
	queues, _ := openNATS(b)
	if !records {
		q := queues["jobs"]
		q.Records, q.Answers = nil, nil
		queues["jobs"] = q
	}
	g, err := New(Options{Config: cfg, Queues: queues, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	if err := g.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { g.Shutdown(b.Context()) })
	return g
}

// BenchmarkJob is the whole way from a POST of 256 bytes to its 202, client
// included, on loopback: as fast as 64 clients can, and at 2,500 per second with
// the p99 from the intended start. "message" is without records: what a 202 cost
// before jobs could be read.
func BenchmarkJob(b *testing.B) {
	for _, kind := range []struct {
		name    string
		records bool
		key     bool
	}{{"message", false, false}, {"job", true, false}, {"key", true, true}} {
		b.Run(kind.name+"/full", func(b *testing.B) {
			post := benchPost(b, benchJobs(b, kind.records, ""), kind.key)
			b.SetParallelism(max(64/runtime.GOMAXPROCS(0), 1))
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					post()
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
		})
		b.Run(kind.name+"/2500", func(b *testing.B) {
			const rate = 2500
			post := benchPost(b, benchJobs(b, kind.records, ""), kind.key)
			took := make([]time.Duration, b.N)
			var all sync.WaitGroup
			start := time.Now()
			for i := range b.N {
				intended := start.Add(time.Duration(i) * time.Second / rate)
				time.Sleep(time.Until(intended))
				all.Go(func() {
					post()
					took[i] = time.Since(intended)
				})
			}
			all.Wait()
			slices.Sort(took)
			b.ReportMetric(took[b.N*99/100].Seconds()*1000, "p99-ms")
		})
	}
}

// BenchmarkJobDelivered is the same and on to the app, until its answer is kept
// and the message settled. The app costs next to nothing.
func BenchmarkJobDelivered(b *testing.B) {
	for _, kind := range []struct {
		name    string
		records bool
	}{{"message", false}, {"job", true}} {
		b.Run(kind.name, func(b *testing.B) {
			g := benchJobs(b, kind.records, benchApp(b, 64))
			post := benchPost(b, g, false)
			b.SetParallelism(max(64/runtime.GOMAXPROCS(0), 1))
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					post()
				}
			})
			for left := 1; left > 0; time.Sleep(time.Millisecond) {
				depths, err := g.queues["jobs"].Depths(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				left = depths["standard"]
				for _, lane := range g.lanes {
					left += int(lane.working.Load())
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
		})
	}
}

// benchPost returns what posts one job and fails the benchmark without its 202.
func benchPost(b *testing.B, g *Gateway, key bool) func() {
	client := &fasthttp.Client{
		NoDefaultUserAgentHeader: true, MaxConnsPerHost: 512,
		Dial: func(addr string) (net.Conn, error) { return net.Dial("tcp", addr) },
	}
	b.Cleanup(client.CloseIdleConnections)
	url, body := "http://"+g.Addr("public").String()+"/jobs", make([]byte, 256)
	var mu sync.Mutex
	n := 0
	return func() {
		req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		defer fasthttp.ReleaseRequest(req)
		defer fasthttp.ReleaseResponse(resp)
		req.SetRequestURI(url)
		req.Header.SetMethod("POST")
		req.SetBody(body)
		if key {
			mu.Lock()
			n++
			req.Header.Set("Idempotency-Key", strconv.Itoa(n))
			mu.Unlock()
		}
		if err := client.DoTimeout(req, resp, time.Minute); err != nil || resp.StatusCode() != 202 {
			b.Errorf("%d %s, %v", resp.StatusCode(), resp.Body(), err)
		}
	}
}
