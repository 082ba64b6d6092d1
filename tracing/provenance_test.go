package tracing

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"overtake/classifier"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// let is a request that a provenanceOracle knows of.
type let struct {
	number  int
	trail   Trail
	class   classifier.Class
	running bool
	ended   int // number of the event
	expires time.Time
}

// provenanceOracle is what Provenance promises, in the most naive way.
type provenanceOracle struct {
	most   int
	keep   time.Duration
	events int
	known  []*let
	stats  ProvenanceStats
}

func (o *provenanceOracle) forget(now time.Time) {
	o.known = slices.DeleteFunc(o.known, func(l *let) bool { return !l.running && !now.Before(l.expires) })
	o.stats.Entries = len(o.known)
}

func (o *provenanceOracle) remember(now time.Time, t Trail, class classifier.Class) *let {
	o.forget(now)
	if len(o.known) == o.most {
		first := slices.MinFunc(o.known, func(a, b *let) int {
			switch {
			case a.running != b.running:
				if b.running {
					return -1
				}
				return 1
			case a.running:
				return a.number - b.number
			}
			return a.ended - b.ended
		})
		o.known = slices.DeleteFunc(o.known, func(l *let) bool { return l == first })
		o.stats.Evicted++
	}
	o.events++
	l := &let{number: o.events, trail: t, class: class, running: true}
	o.known = append(o.known, l)
	o.stats.Entries = len(o.known)
	return l
}

func (o *provenanceOracle) end(now time.Time, l *let) {
	o.forget(now)
	if !slices.Contains(o.known, l) || !l.running {
		return
	}
	o.events++
	l.running, l.ended, l.expires = false, o.events, now.Add(o.keep)
}

func (o *provenanceOracle) find(now time.Time, t Trail) (Origin, bool) {
	o.forget(now)
	for by := range provenanceKeys {
		var found *let
		matching := 0
		for _, l := range o.known {
			matches := [...]bool{
				BySpan:      l.trail.SpanID == t.ParentID && l.trail.TraceID == t.TraceID && t.ParentID != SpanID{},
				ByTrace:     l.trail.TraceID == t.TraceID && t.TraceID != TraceID{} && !t.Begins(),
				ByRequestID: l.trail.RequestID == t.RequestID && t.RequestID != "",
			}
			if !matches[by] {
				continue
			}
			matching++
			if found == nil || found.before(l) {
				found = l
			}
		}
		if found != nil {
			o.stats.Found[by]++
			t := found.trail
			if matching > 1 || !found.running {
				t.Deadline = time.Time{}
			}
			return Origin{by, t.TraceID, t.SpanID, t.Flags, found.class, t.Deadline, t.State, t.Baggage}, true
		}
	}
	o.stats.Missed++
	return Origin{}, false
}

// before reports whether other is to be found rather than l.
func (l *let) before(other *let) bool {
	switch {
	case l.class != other.class:
		return l.class < other.class
	case l.running != other.running:
		return other.running
	case l.running:
		return l.number < other.number
	}
	return l.ended < other.ended
}

// someTrail has few ids, so that they are used by many. A span is stamped once.
func someTrail(t *rapid.T, spans int) Trail {
	trail := Trail{
		RequestID: rapid.SampledFrom([]string{"", "a", "b", strings.Repeat("c", 1000)}).Draw(t, "request"),
		Flags:     rapid.Byte().Draw(t, "flags"),
		State:     rapid.SampledFrom([]string{"", "a=1"}).Draw(t, "state"),
		Baggage:   rapid.SampledFrom([]string{"", "b=1,c=2"}).Draw(t, "baggage"),
	}
	trail.TraceID[15] = byte(rapid.IntRange(0, 4).Draw(t, "trace"))
	trail.SpanID = spanOf(spans)
	if rapid.Bool().Draw(t, "has deadline") {
		trail.Deadline = time.UnixMicro(noon.UnixMicro() + int64(spans))
	}
	return trail
}

func spanOf(n int) SpanID { return SpanID{byte(n >> 8), byte(n)} }

func TestProvenanceMatchesOracle(t *testing.T) {
	for range 20 { // of 100 histories each
		rapid.Check(t, testProvenanceHistory)
	}
}

func testProvenanceHistory(t *rapid.T) {
	most := rapid.IntRange(1, 12).Draw(t, "most")
	keep := time.Duration(rapid.IntRange(0, 20).Draw(t, "keep"))
	p, o := NewProvenance(most, keep), &provenanceOracle{most: most, keep: keep}
	p.store.room = 1 << 20 // for the tracestate and baggage of any one
	var tickets []Ticket
	var lets []*let
	now := noon
	for range rapid.IntRange(1, 200).Draw(t, "calls") {
		now = now.Add(time.Duration(rapid.IntRange(0, 6).Draw(t, "later")))
		switch call := rapid.IntRange(0, 9).Draw(t, "call"); {
		case call < 4:
			trail := someTrail(t, len(lets)+1)
			class := classifier.Class(rapid.IntRange(0, 3).Draw(t, "class"))
			tickets = append(tickets, p.Remember(now, &trail, class))
			lets = append(lets, o.remember(now, trail, class))
		case call < 7 && len(lets) > 0:
			i := len(lets) - 1 - min(rapid.IntRange(0, 15).Draw(t, "which"), len(lets)-1)
			p.Ended(now, tickets[i])
			o.end(now, lets[i])
		default:
			trail := someTrail(t, 0)
			trail.ParentID = spanOf(max(0, len(lets)-rapid.IntRange(0, 20).Draw(t, "parent")))
			got, ok := p.Find(now, &trail)
			want, wantOK := o.find(now, trail)
			if got != want || ok != wantOK {
				t.Fatalf("found %+v, %t; want %+v, %t", got, ok, want, wantOK)
			}
		}
	}
	o.forget(now)
	if got := p.Stats(now); got != o.stats {
		t.Fatalf("stats %+v, want %+v", got, o.stats)
	}
}

// The index grows and shrinks by one bucket at a time and loses nothing, and the
// memory of what is forgotten is given back.
func TestProvenanceGrowsAndShrinks(t *testing.T) {
	const most, keep = 20 * chunkLen, time.Minute
	p := NewProvenance(most, keep)
	trails, tickets := make([]Trail, most), make([]Ticket, most)
	for i := range trails {
		trails[i] = Trail{TraceID: newTraceID(), SpanID: NewSpanID(), RequestID: fmt.Sprint("request ", i), State: "a=1"}
		tickets[i] = p.Remember(noon, &trails[i], 1)
	}
	check := func(now time.Time, from int) {
		t.Helper()
		for i := range trails {
			for by, trail := range []Trail{{ParentID: trails[i].SpanID, TraceID: trails[i].TraceID}, {ParentID: NewSpanID(), TraceID: trails[i].TraceID}, {RequestID: trails[i].RequestID}} {
				origin, ok := p.Find(now, &trail)
				if ok != (i >= from) || ok && (origin.SpanID != trails[i].SpanID || origin.By != ProvenanceKey(by)) {
					t.Fatalf("request %d by %v: found %+v, %t", i, ProvenanceKey(by), origin, ok)
				}
			}
		}
	}
	check(noon, 0)
	full := p.index.n
	if full < 2*most {
		t.Errorf("%d buckets for %d requests", full, most)
	}
	for i := range most - 100 {
		p.Ended(noon, tickets[i])
	}
	check(noon.Add(keep-1), 0)
	check(noon.Add(keep), most-100)
	if stats := p.Stats(noon.Add(keep)); stats.Entries != 100 || stats.Evicted != 0 || stats.Cut != 0 {
		t.Errorf("stats %+v, want 100 entries, none evicted, none cut", stats)
	}
	if p.index.n != chunkLen || len(p.index.tables[0]) != 1 {
		t.Errorf("%d buckets in %d chunks left of %d", p.index.n, len(p.index.tables[0]), full)
	}
	chunks := 0
	for _, chunk := range p.store.chunks {
		if chunk.origins != nil {
			chunks++
		}
	}
	if chunks > 3 { // the first, and one or two neighbours
		t.Errorf("%d chunks for 100 requests that came in a row", chunks)
	}
}

// Ids that all requests have in common are found and forgotten as fast as others:
// their chains stay short.
func TestProvenanceOfOneID(t *testing.T) {
	const most = 10_000
	p := NewProvenance(most, time.Minute)
	var trace TraceID
	trace[0] = 1
	sought := Trail{ParentID: NewSpanID(), TraceID: trace, RequestID: "the same"}
	now := noon
	var tickets []Ticket
	for i := range 3 * most {
		now = now.Add(time.Millisecond)
		trail := Trail{TraceID: trace, SpanID: NewSpanID(), RequestID: "the same"}
		tickets = append(tickets, p.Remember(now, &trail, classifier.Class(i%classifier.MaxClasses)))
		if i%2 == 1 {
			p.Ended(now, tickets[i/2]) // not the latest: from the middle of its group
		}
		if _, ok := p.Find(now, &sought); !ok {
			t.Fatal("not found")
		}
	}
	for by := ByTrace; by <= ByRequestID; by++ {
		leaders := 0
		for link := *p.index.first(by, p.index.hash(by, &origin{trace: trace, request: p.hash("the same")})); link != 0; {
			leaders++
			link = p.store.at(p.index.id(link)).places[by].next
		}
		if leaders > 2*classifier.MaxClasses {
			t.Errorf("by %v: %d in one chain, want at most two per class", by, leaders)
		}
	}
	if stats := p.Stats(now); stats.Entries != most {
		t.Errorf("%d entries, want %d", stats.Entries, most)
	}
}

// Texts are cut between members, and are bounded altogether.
func TestProvenanceCutsTexts(t *testing.T) {
	p := NewProvenance(100, time.Minute)
	p.store.room = 640
	find := func(state, baggage string) Origin {
		trail := Trail{SpanID: NewSpanID(), State: state, Baggage: baggage}
		p.Ended(noon, p.Remember(noon, &trail, 0))
		origin, ok := p.Find(noon, &Trail{ParentID: trail.SpanID, TraceID: trail.TraceID})
		if !ok {
			t.Fatal("not found")
		}
		return origin
	}
	members := strings.Repeat("k=v,", 200)[:799]
	if origin := find("a=1", members); origin.State != "a=1" || origin.Baggage != members[:507] {
		t.Errorf("state %q, baggage %q of %d bytes", origin.State, origin.Baggage, len(origin.Baggage))
	}
	if origin := find(strings.Repeat("x", 513), "b=1"); origin.State != "" || origin.Baggage != "b=1" {
		t.Errorf("state of %d bytes, baggage %q; want what fits only", len(origin.State), origin.Baggage)
	}
	if origin := find(members, "b=1"); origin.State != members[:79] || origin.Baggage != "" {
		t.Errorf("state of %d bytes, baggage %q; want 79, what all together may have", len(origin.State), origin.Baggage)
	}
	if origin := find("a=1", "b=1"); origin.State != "" || origin.Baggage != "" {
		t.Errorf("state %q, baggage %q beyond what all together may have", origin.State, origin.Baggage)
	}
	if got := p.Stats(noon).Cut; got != 4 {
		t.Errorf("%d cut, want 4", got)
	}
	p.Stats(noon.Add(time.Minute))
	if p.store.room != 640 {
		t.Errorf("room for %d bytes after all is forgotten, want %d", p.store.room, 640)
	}
}

// A ticket ends its own request only, and once.
func TestProvenanceStaleTickets(t *testing.T) {
	p := NewProvenance(1, time.Minute)
	p.Ended(noon, Ticket{})
	first := p.Remember(noon, &Trail{SpanID: spanOf(1)}, 0)
	second := p.Remember(noon, &Trail{SpanID: spanOf(2)}, 0)
	p.Ended(noon, first) // forgotten: its place is the second's now
	if _, ok := p.Find(noon.Add(time.Hour), &Trail{ParentID: spanOf(2)}); !ok {
		t.Error("a request was ended by the ticket of another")
	}
	p.Ended(noon.Add(time.Hour), second)
	p.Ended(noon.Add(time.Hour+time.Minute-1), second)
	if _, ok := p.Find(noon.Add(time.Hour+time.Minute), &Trail{ParentID: spanOf(2)}); ok {
		t.Error("a request that ended twice is kept for longer")
	}
}

// Each of many goroutines finds its own requests by the exact key, whatever others
// do with the same trace, and clocks that differ do no harm.
func TestProvenanceConcurrently(t *testing.T) {
	const workers, each = 8, 2000
	p := NewProvenance(workers*each, time.Millisecond)
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for i := range each {
				now := noon.Add(time.Duration(i)*time.Millisecond - time.Duration(worker))
				trail := Trail{TraceID: TraceID{1}, SpanID: NewSpanID(), RequestID: "x", Baggage: fmt.Sprint("w=", worker)}
				ticket := p.Remember(now, &trail, classifier.Class(worker))
				origin, ok := p.Find(now, &Trail{ParentID: trail.SpanID, TraceID: TraceID{1}})
				if !ok || origin.By != BySpan || origin.SpanID != trail.SpanID || int(origin.Class) != worker || origin.Baggage != trail.Baggage {
					t.Errorf("found %+v, %t", origin, ok)
				}
				if origin, ok := p.Find(now, &Trail{ParentID: NewSpanID(), TraceID: TraceID{1}}); !ok || int(origin.Class) < worker {
					t.Errorf("by trace: class %d, %t; want %d or less urgent", origin.Class, ok, worker)
				}
				p.Ended(now, ticket)
			}
		})
	}
	wg.Wait()
	if stats := p.Stats(noon.Add(time.Hour)); stats.Entries != 0 || stats.Evicted != 0 {
		t.Errorf("stats %+v, want all forgotten in time", stats)
	}
}

// Requests, each with as much tracestate and baggage as may be, take no more than
// 200 MiB for a million, and give nearly all of it back.
func TestProvenanceMemory(t *testing.T) {
	const most, limit = live / 10, liveMemory / 10
	trails := someTrails(most)
	before := heap()
	p := NewProvenance(most, time.Second)
	fill(p, trails, strings.Repeat("k=v,", 1000))
	if took := heap() - before; took > limit {
		t.Errorf("%d KiB for %d requests, want at most %d", took>>10, most, limit>>10)
	}
	if stats := p.Stats(noon.Add(time.Second)); stats.Entries != 0 {
		t.Errorf("%d requests are not forgotten", stats.Entries)
	}
	if left := int64(heap()) - int64(before); left > limit/100 {
		t.Errorf("%d KiB are left after all is forgotten", left>>10)
	}
	runtime.KeepAlive(p)
	runtime.KeepAlive(trails)
}

// someTrails are of requests that have nothing in common.
func someTrails(n int) []Trail {
	trails := make([]Trail, n)
	for i := range trails {
		trails[i] = Trail{TraceID: newTraceID(), SpanID: NewSpanID(), RequestID: newTraceID().String()}
	}
	return trails
}

// fill remembers requests that have ended at noon.
func fill(p *Provenance, trails []Trail, baggage string) {
	for _, t := range trails {
		t.Baggage = baggage
		p.Ended(noon, p.Remember(noon, &t, 1))
	}
}

func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// A format that is not stamped passes through an app as its client wrote it: it can
// name anybody's trace. So does a span in another trace than its own.
func TestProvenanceBelievesWhatWasStamped(t *testing.T) {
	victim := Trail{TraceID: TraceID{15: 7}, SpanID: SpanID{7: 9}}
	p := NewProvenance(10, time.Minute)
	p.Remember(noon, &victim, 0)
	b3 := victim.TraceID.String() + "-" + victim.SpanID.String() + "-1"
	for _, test := range []struct {
		what      string
		propagate Formats
		name      string
		value     string
		found     bool
	}{
		{"stamped", AllFormats, "b3", b3, true},
		{"not stamped", Jaeger, "b3", b3, false},
		{"W3C's, which always is", 0, "traceparent", "00-" + victim.TraceID.String() + "-" + victim.SpanID.String() + "-00", true},
		{"cut to 64 bits", AllFormats, "b3", b3[16:], true},
		{"in another trace", AllFormats, "b3", "1" + b3[:31] + b3[32:], false},
	} {
		trail := Trail{Propagate: test.propagate}
		trail.Extract(&lines{{test.name, test.value}}, noon)
		if _, found := p.Find(noon, &trail); found != test.found {
			t.Errorf("%s: found %t", test.what, found)
		}
	}
}
