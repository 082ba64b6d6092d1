package tracing

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// live is how many requests are remembered in the benchmarks, and liveMemory what
// they may take.
const live, liveMemory = 1_000_000, 200 << 20

// BenchmarkProvenanceFind looks up among a million, by each key and in vain, and
// says how much memory they take.
func BenchmarkProvenanceFind(b *testing.B) {
	trails := someTrails(live)
	before := heap()
	p := NewProvenance(live, time.Hour)
	fill(p, trails, "")
	took := heap() - before
	if took > liveMemory {
		b.Errorf("%d MiB for %d requests, want at most %d", took>>20, live, liveMemory>>20)
	}
	for _, among := range []struct {
		name string
		n    int
	}{{"latest", 1 << 13}, {"all", live}} {
		for _, by := range []string{"span", "trace", "request_id", "miss"} {
			b.Run(among.name+"/"+by, func(b *testing.B) {
				findEach(b, p.Find, trails[live-among.n:], by)
				b.ReportMetric(float64(took)/(1<<20), "MiB")
			})
		}
	}
}

// BenchmarkProvenancePeer is what a map behind a mutex costs, which knows one key,
// copies nothing and forgets nothing: mostly, what this machine's memory costs.
func BenchmarkProvenancePeer(b *testing.B) {
	trails := someTrails(live)
	var mu sync.Mutex
	origins := make(map[TraceID]*Origin)
	for i := range trails {
		origins[trails[i].TraceID] = &Origin{By: ByTrace, SpanID: trails[i].SpanID}
	}
	find := func(_ time.Time, t *Trail) (Origin, bool) {
		mu.Lock()
		defer mu.Unlock()
		if origin := origins[t.TraceID]; origin != nil {
			return *origin, true
		}
		return Origin{}, false
	}
	for _, by := range []string{"trace", "miss"} {
		b.Run("all/"+by, func(b *testing.B) { findEach(b, find, trails, by) })
	}
}

// findEach looks for a part of each trail, in no order, at a time.
func findEach(b *testing.B, find func(time.Time, *Trail) (Origin, bool), trails []Trail, by string) {
	sought := make([]Trail, 1<<12) // few enough not to be measured themselves
	random := rand.New(rand.NewPCG(1, 2))
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for i := range sought {
			t := trails[random.IntN(len(trails))]
			switch by {
			case "span":
				sought[i] = Trail{ParentID: t.SpanID, TraceID: t.TraceID, RequestID: t.RequestID}
			case "trace": // by an app that makes spans of its own
				sought[i] = Trail{ParentID: NewSpanID(), TraceID: t.TraceID, RequestID: t.RequestID}
			case "request_id": // by an app that passes nothing else on
				sought[i] = Trail{TraceID: newTraceID(), RequestID: t.RequestID}
			case "miss":
				sought[i] = Trail{ParentID: NewSpanID(), TraceID: newTraceID(), RequestID: newTraceID().String()}
			}
		}
		b.StartTimer()
		for i := range sought {
			origin, ok := find(noon, &sought[i])
			if ok == (by == "miss") || ok && origin.By.String() != by {
				b.Fatalf("found %+v, %t", origin, ok)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(sought)), "ns/find")
}

// BenchmarkProvenanceRemember is a request that comes and ends while a million are
// remembered, and one is forgotten for it.
func BenchmarkProvenanceRemember(b *testing.B) {
	p := NewProvenance(live, time.Hour)
	trails := someTrails(live)
	fill(p, trails, "")
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		t := &trails[i%live]
		t.SpanID = NewSpanID()
		p.Ended(noon, p.Remember(noon, t, 1))
		i++
	}
}

// BenchmarkProvenanceContended has all processors do what a sidecar does for each
// request with one call of the app.
func BenchmarkProvenanceContended(b *testing.B) {
	p := NewProvenance(live, time.Hour)
	trails := someTrails(live)
	fill(p, trails, "")
	var next atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			t := trails[next.Add(1)%live]
			t.SpanID = NewSpanID()
			ticket := p.Remember(noon, &t, 1)
			t.ParentID = t.SpanID
			if _, ok := p.Find(noon, &t); !ok {
				b.Error("not found")
			}
			p.Ended(noon, ticket)
		}
	})
}
