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
	s := openSender(t, url)
	const requests = maxDialing + 20
	s.loop.do(func() {
		for range requests { // before any dial has ended
			s.Send(NewCall("a/1", &s.class, &content.Request{Method: "GET", Target: "/"}, time.Minute,
				func(*Call, Outcome) { finished.Add(1) }, func(*Call) {}))
		}
	})
	eventually(t, "all are asked", func() bool { return asked.Load() == requests })
	if err := s.Close(); err != nil || finished.Load() != requests {
		t.Errorf("closed: %v; %d finished, want %d", err, finished.Load(), requests)
	}
}
