package waterfall

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"overtake/tracing"
	"overtake/tracing/jaegerquery"
)

// anySpan draws a span as no sound software would record it.
func anySpan(t *rapid.T, spans int) (s jaegerquery.Span) {
	s.ID[7] = byte(rapid.IntRange(1, spans).Draw(t, "id"))
	s.Parent[7] = byte(rapid.IntRange(0, spans+1).Draw(t, "parent"))
	s.Kind = tracing.Kind(rapid.IntRange(0, 4).Draw(t, "kind"))
	s.Service = rapid.SampledFrom([]string{"gateway", "shop", ""}).Draw(t, "service")
	s.Start = time.UnixMicro(rapid.OneOf(rapid.Int64Range(1e15, 1e15+100), rapid.Int64Range(0, 1<<52)).Draw(t, "start"))
	s.End = s.Start.Add(time.Duration(rapid.OneOf(rapid.Int64Range(0, 100), rapid.Int64Range(0, 1<<50)).Draw(t, "duration")) * time.Microsecond)
	s.Name = rapid.OneOf(rapid.SampledFrom([]string{queueSpan, laneSpan, "GET /"}), rapid.String()).Draw(t, "name")
	s.Failure = rapid.SampledFrom([]string{"", "", "reset\x1b[2J"}).Draw(t, "failure")
	if class := rapid.SampledFrom([]string{"", "interactive", "batch", "\x1b]0;a\a"}).Draw(t, "class"); class != "" {
		s.Attributes = []tracing.Attribute{{Key: jaegerquery.ClassKey, Value: class}, {Key: "overtake.upstream", Value: rapid.String().Draw(t, "upstream")}}
	}
	if attempt := rapid.IntRange(0, 3).Draw(t, "attempt"); attempt > 0 {
		s.Attributes = append(s.Attributes, tracing.Attribute{Key: "overtake.attempt", Value: int64(attempt)},
			tracing.Attribute{Key: "messaging.message.id", Value: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "message")})
	}
	return s
}

// Whatever a trace is like: every span is in one tree, the times add up, and the
// drawing stays within the screen.
func TestAnyTrace(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 12).Draw(rt, "spans")
		var spans []jaegerquery.Span
		for range n {
			spans = append(spans, anySpan(rt, n))
		}
		r := NewRequest(jaegerquery.Trace{ID: tracing.TraceID{15: 1}, Spans: spans})
		seen := map[*jaegerquery.Span]int{}
		r.walk(func(n *node) { seen[n.Span]++ })
		for i := range spans {
			if seen[&spans[i]] != 1 {
				rt.Fatalf("span %d is in the trees %d times", i, seen[&spans[i]])
			}
		}
		if r.Waited < 0 || r.Worked < 0 || r.Paused < 0 || r.Waited+r.Worked+r.Paused > r.Total || r.SlowestTime > r.Total ||
			max(r.Queued, r.Laned) > r.Waited || r.Queued+r.Laned < r.Waited {
			rt.Fatalf("total %v, waited %v (%v and %v), worked %v, paused %v, slowest %v", r.Total, r.Waited, r.Queued, r.Laned, r.Worked, r.Paused, r.SlowestTime)
		}
		screen := Screen{Width: rapid.IntRange(0, 200).Draw(rt, "width"), Colour: rapid.Bool().Draw(rt, "colour"), Link: "http://jaeger.example/trace/1", Now: begin}
		var out strings.Builder
		if err := r.Write(&out, screen); err != nil {
			rt.Fatal(err)
		}
		checkScreen(rt, out.String(), screen)
		if err := WriteTable(&out, []*Request{r}); err != nil {
			rt.Fatal(err)
		}
	})
}

// Traces of thousands of spans, deep or wide, are read in time that grows with them.
func TestLargeTraces(t *testing.T) {
	const many = 5000
	for name, parent := range map[string]func(i int) int{
		"a chain":  func(i int) int { return i - 1 },
		"a fan":    func(int) int { return 1 },
		"strewn":   func(i int) int { return i + many },
		"a circle": func(i int) int { return i%many + 1 },
	} {
		t.Run(name, func(t *testing.T) {
			spans := make([]jaegerquery.Span, many)
			for i := range spans {
				s := &spans[i]
				s.ID, s.Parent = spanID(i+1), spanID(parent(i+1))
				s.Service, s.Kind, s.Name = "gateway", tracing.Server, fmt.Sprint("span ", i)
				s.Attributes = []tracing.Attribute{{Key: jaegerquery.ClassKey, Value: "batch"}}
				s.Start, s.End = begin.Add(time.Duration(i)), begin.Add(time.Second)
			}
			r := NewRequest(jaegerquery.Trace{ID: tracing.TraceID{15: 1}, Spans: spans})
			if r.Hops != many {
				t.Errorf("%d hops, want %d", r.Hops, many)
			}
			if err := r.Write(io.Discard, Screen{Width: 80, Now: begin}); err != nil {
				t.Error(err)
			}
		})
	}
}

func spanID(i int) tracing.SpanID {
	return tracing.SpanID{4: byte(i >> 24), 5: byte(i >> 16), 6: byte(i >> 8), 7: byte(i)}
}
