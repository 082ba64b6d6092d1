package loadgen

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/loadgen/content"
)

// Requests wait for no answers to others, also when more of them need connections than
// may be opened at a time.
func TestWhatWaitsForADialIsDialedFor(t *testing.T) {
	var asked, finished atomic.Int32
	answer := make(chan struct{})
	url := serve(t, func(*fasthttp.RequestCtx) {
		asked.Add(1)
		<-answer
	})
	defer close(answer)
	class := Class{Name: "a"}
	s, err := openHTTP(t.Context(), Endpoint{URL: url}, []Class{class}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := s.pools["a"]
	p.mu.Lock()
	const requests = maxDialing + 20
	for range requests { // before any dial has ended
		c := NewCall("a/1", &class, &content.Request{Method: "GET", Target: "/"}, time.Minute,
			func(*Call, Outcome) { finished.Add(1) }, func(*Call) {})
		p.waiting.push(waiter{c, p.sender.now() + c.Timeout})
		p.dialLocked()
	}
	p.mu.Unlock()
	eventually(t, "all are asked", func() bool { return asked.Load() == requests })
	if err := s.Close(); err != nil || finished.Load() != requests {
		t.Errorf("closed: %v; %d finished, want %d", err, finished.Load(), requests)
	}
}
