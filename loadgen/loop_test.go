package loadgen

import (
	"bufio"
	"context"
	"net"
	"runtime"
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

// beat is due every millisecond.
type beat struct {
	at    time.Duration
	beats atomic.Int64
}

func (b *beat) due() time.Duration { return b.at }
func (b *beat) settle()            {}
func (b *beat) expire(now time.Duration) {
	b.at = now + time.Millisecond
	b.beats.Add(1)
}

// A loop does what is due, asleep or not.
func TestLoopKeepsMoments(t *testing.T) {
	l := openLoop(t)
	b := &beat{}
	l.attend(b)
	eventually(t, "beats without a schedule", func() bool { return b.beats.Load() >= 3 })
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
	before := b.beats.Load()
	eventually(t, "beats in a sleep", func() bool { return b.beats.Load() >= before+3 })
	close(end)
}

// endless always has more to do.
type endless struct{ done atomic.Bool }

func (w *endless) work() bool { return !w.done.Load() }

// A loop that is never done lets other goroutines see the network: on one processor,
// those would wait for as long as it goes on.
func TestBusyLoopLetsOthersRun(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
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

// Nothing is opened while answers are left to be read, but not for long; and what the
// generator started late opens no more than enough.
func TestConnectionsThatAreNeeded(t *testing.T) {
	s := openSender(t, serveRaw(t, hang))
	p := s.pools["a"]
	send := func(n int, late time.Duration) {
		for range n {
			c := NewCall("a/1", &s.class, &content.Request{Method: "GET", Target: "/"}, time.Minute, func(*Call, Outcome) {}, nil)
			c.started = late
			s.Send(c)
		}
	}
	s.loop.do(func() {
		send(10, 0)
		s.loop.full = true
		if p.settle(); p.dialing != 0 || !s.loop.again {
			t.Errorf("%d connections are opened while there is something to read, and again is %v", p.dialing, s.loop.again)
		}
		s.loop.now += longestRead
		if p.settle(); p.dialing != 10 {
			t.Errorf("%d connections are opened in the end, want 10", p.dialing)
		}
		send(2*enough, 2*heldLag)
		s.loop.full = false
		if p.settle(); p.dialing != enough {
			t.Errorf("%d connections are opened for what is late, want %d", p.dialing, enough)
		}
		due := p.due()
		if due > s.loop.clock()+patience {
			t.Errorf("patience ends in %v, want %v", due-s.loop.clock(), patience)
		}
		p.expire(due + patience)
		if p.settle(); p.dialing != maxDialing {
			t.Errorf("%d connections are opened for what has lost its patience, want %d", p.dialing, maxDialing)
		}
	})
}
