package tracing

import "testing"

// browser is what a browser sends through a mesh: 20 lines.
func browser() []string {
	return []string{
		"Host: shop.example", "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
		"Accept: text/html,application/xhtml+xml", "Accept-Language: en-US,en;q=0.5", "Accept-Encoding: gzip, deflate, br, zstd",
		"Referer: https://shop.example/cart", "Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark",
		"Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.ZRrHA1JJJW8opsbCGfG", "Upgrade-Insecure-Requests: 1",
		"Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: same-origin", "X-Forwarded-For: 192.0.2.7",
		"Cache-Control: no-cache", "x-request-id: 0e3c1a66-6d0c-4b41-8a7d-1a5b5b0f4c56",
		"traceparent: " + parentOf + "00", "tracestate: rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
		"baggage: latency.class=interactive,tenant=acme,session=8f14e45f",
		"Latency-Class: interactive", "Latency-Deadline: 1800000000123",
	}
}

// slice is a header that is written once, from the start: lines in a slice, and
// values in memory that it uses again.
type slice struct {
	lines
	values []byte
}

func (s *slice) Set(name, value string) {
	start := len(s.values)
	s.values = append(s.values, value...)
	s.lines = append(s.lines, line{name, alias(s.values[start:])})
}

func (s *slice) reset() { s.lines, s.values = s.lines[:0], s.values[:0] }

// BenchmarkTrail is what a request costs that is not sampled: read, and stamped
// in all formats.
func BenchmarkTrail(b *testing.B) {
	for name, received := range map[string][]string{
		"continue": browser(),
		"begin":    browser()[:14],
		"jaeger":   append(browser()[:14], "uber-trace-id: "+traceHex+":"+spanHex+":0:0", "uberctx-latency.class: batch"),
		"b3":       append(browser()[:14], "X-B3-TraceId: "+traceHex, "X-B3-SpanId: "+spanHex, "X-B3-Sampled: 0"),
		"grpc":     append(browser(), "grpc-timeout: 5S"),
	} {
		b.Run(name, func(b *testing.B) {
			in, out := sent(received...), &slice{}
			trail := Trail{Propagate: AllFormats}
			b.ReportAllocs()
			for b.Loop() {
				out.reset()
				trail.Extract(in, now)
				trail.Stamp(out, now)
			}
		})
	}
}

// A request that is not sampled costs no memory.
func TestTrailAllocates(t *testing.T) {
	in, out := sent(append(browser(), "grpc-timeout: 5S")...), &slice{}
	trail := Trail{Propagate: AllFormats}
	if n := testing.AllocsPerRun(1000, func() {
		out.reset()
		trail.Extract(in, now)
		trail.Stamp(out, now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
