package loadgen

import (
	"bufio"
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"overtake/loadgen/content"
)

// What is posted runs in order, on one goroutine, whoever posts and whatever it posts.
func TestLoopRunsWhatIsPosted(t *testing.T) {
	l := openLoop(t)
	const each = 1000
	got := make(map[int][]int) // only the loop touches it
	var posters sync.WaitGroup
	for poster := range 4 {
		posters.Go(func() {
			for n := range each {
				l.post(func() { got[poster] = append(got[poster], n) })
			}
		})
	}
	posters.Wait()
	l.do(func() { l.post(func() { got[-1] = append(got[-1], len(got)) }) })
	l.do(func() {})
	for poster := range 4 {
		if len(got[poster]) != each || !slices.IsSorted(got[poster]) {
			t.Errorf("poster %d: %d, in order %v", poster, len(got[poster]), slices.IsSorted(got[poster]))
		}
	}
	if !slices.Equal(got[-1], []int{4}) {
		t.Errorf("posted by what was posted: %v", got[-1])
	}
}

// A schedule sleeps as long as it wants, and what is posted runs meanwhile.
func TestLoopSleeps(t *testing.T) {
	l := openLoop(t)
	begun, posted := time.Now(), make(chan struct{})
	type slept struct {
		ok   bool
		took time.Duration
	}
	ended := make(chan slept)
	l.start(func() {
		ok := true
		for i := range 50 {
			ok = l.sleepUntil(begun.Add(time.Duration(i)*time.Millisecond)) && ok
		}
		ok = l.sleepUntil(begun) && ok // is over
		ended <- slept{ok, time.Since(begun)}
		<-posted
	})
	l.post(func() { close(posted) })
	if s := <-ended; !s.ok || s.took < 49*time.Millisecond {
		t.Errorf("slept %v, %v", s.took, s.ok)
	}
}

// The end of the context ends sleeping, and not the loop.
func TestLoopOutlivesItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l, err := newLoop(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	asleep, ended := make(chan struct{}), make(chan bool)
	l.start(func() {
		l.post(func() { close(asleep) })
		ended <- l.sleepUntil(time.Now().Add(time.Hour))
	})
	<-asleep
	cancel()
	if <-ended {
		t.Error("the sleep was not ended")
	}
	l.do(func() {})
}

// A loop ticks, asleep or not.
func TestLoopTicks(t *testing.T) {
	l := openLoop(t)
	var ticks atomic.Int64
	l.tickEvery(time.Millisecond, func() { ticks.Add(1) })
	eventually(t, "ticks without a schedule", func() bool { return ticks.Load() >= 3 })
	end := make(chan struct{})
	l.start(func() {
		for {
			select {
			case <-end:
				return
			default:
				l.sleepUntil(time.Now().Add(time.Second))
			}
		}
	})
	before := ticks.Load()
	eventually(t, "ticks in a sleep", func() bool { return ticks.Load() >= before+3 })
	close(end)
}

// endless always has more to do.
type endless struct{ done atomic.Bool }

func (w *endless) work() bool { return !w.done.Load() }

// A loop that is never done lets other goroutines see the network: on one processor,
// those would wait for as long as it goes on.
func TestBusyLoopLetsOthersRun(t *testing.T) {
	l := openLoop(t)
	w := &endless{}
	defer w.done.Store(true)
	l.do(func() { l.busy = append(l.busy, w) })
	url := serveRaw(t, func(nc net.Conn, _ *bufio.Reader) { _, _ = nc.Write([]byte("x")) })
	for range 20 {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
		_ = c.Close()
	}
}

// Connections are opened for what waits only when no answer is left to be read.
func TestConnectionsAreOpenedWhenAllIsRead(t *testing.T) {
	s := openSender(t, serveRaw(t, func(_ net.Conn, in *bufio.Reader) { _, _ = io.Copy(io.Discard, in) }))
	p := s.pools["a"]
	var whileFull, then int
	s.loop.do(func() {
		for range 10 {
			s.Send(NewCall("a/1", &s.class, &content.Request{Method: "GET", Target: "/"}, time.Minute, func(*Call, Outcome) {}, nil))
		}
		s.loop.full = true
		if !p.work() {
			t.Error("it does not come back to it")
		}
		whileFull = p.dialing
		s.loop.full = false
		if p.work() {
			t.Error("it comes back to what is done")
		}
		then = p.dialing
	})
	if whileFull != 0 || then != 10 {
		t.Errorf("%d connections are opened while there is something to read, then %d; want 0 and 10", whileFull, then)
	}
}
