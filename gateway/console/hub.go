package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	// tickTime is how often those who look get the state.
	tickTime = time.Second
	// mostStreams is how many streams there may be at a time.
	mostStreams = 200
	// mostUnsent is how many states may wait for a stream to take them.
	mostUnsent = 4
	// streamPatience is how long a client may take for one state, and lastPatience for
	// the rest of it when the stream is to end.
	streamPatience = 10 * time.Second
	lastPatience   = time.Second
	// freshTime is for how long a whole state is given to others who ask.
	freshTime = tickTime / 2
)

// frame is one state, encoded once for all who get it.
type frame struct {
	at       time.Time
	over     int // how many steps were over
	text     []byte
	deflated func() []byte // text, for streams that are gzipped; compressed once
}

// hub gives the state to all who look.
type hub struct {
	state func(now time.Time, behind int) (*State, int)
	over  func() int // how many steps of the history are over

	making sync.Mutex // held while a state is made
	kept   *frame     // a whole state with all points that there are; guarded by making

	mu      sync.Mutex
	streams map[*stream]struct{} // guarded by mu
	ticking bool                 // there is a goroutine for it; guarded by mu
	closed  bool                 // guarded by mu
	stop    chan struct{}        // closed with closed
	ticker  sync.WaitGroup
}

// stream is one client who looks.
type stream struct {
	frames chan *frame
	over   chan struct{} // closed when it was dropped
	// writeBy says until when the client may be written to. Called with hub.mu held,
	// and only while the stream is in the hub.
	writeBy func(time.Time) error
}

func newHub(state func(time.Time, int) (*State, int), over func() int) *hub {
	return &hub{state: state, over: over, streams: make(map[*stream]struct{}), stop: make(chan struct{})}
}

// makeLocked makes a frame with the points behind the first so many. Called with making
// held.
func (h *hub) makeLocked(behind int) (*frame, error) {
	f := &frame{at: time.Now()}
	state, over := h.state(f.at, behind)
	var err error
	if f.text, err = json.Marshal(state); err != nil {
		return nil, fmt.Errorf("console: the state can't be encoded: %w; please report it", err)
	}
	f.over = over
	f.deflated = sync.OnceValue(func() []byte { return deflate(f.text) })
	return f, nil
}

// whole returns a state with all points. The rest of it may be a moment old.
func (h *hub) whole() (*frame, error) {
	h.making.Lock()
	defer h.making.Unlock()
	if h.kept != nil && time.Since(h.kept.at) < freshTime && h.kept.over == h.over() {
		return h.kept, nil
	}
	f, err := h.makeLocked(0)
	if err == nil {
		h.kept = f
	}
	return f, err
}

// part returns a state with the points behind the first so many.
func (h *hub) part(behind int) (*frame, error) {
	h.making.Lock()
	defer h.making.Unlock()
	return h.makeLocked(behind)
}

// errors of join.
var (
	errTooMany = &Error{http.StatusServiceUnavailable, fmt.Sprintf("%d consoles are open, which is the most; close one, or ask for /console/state now and then", mostStreams)}
	errClosing = &Error{http.StatusServiceUnavailable, "the gateway is shutting down"}
)

// join adds a stream, which is to leave. It gets all points from now on, so that a whole
// state that is made after this has the others.
func (h *hub) join(s *stream) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return errClosing
	case len(h.streams) >= mostStreams:
		return errTooMany
	}
	h.streams[s] = struct{}{}
	if !h.ticking {
		h.ticking = true
		over := h.over()
		h.ticker.Go(func() { h.tick(over) })
	}
	return nil
}

func (h *hub) leave(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, s)
}

// tick sends the state every second, until nobody looks any more.
func (h *hub) tick(over int) {
	ticker := time.NewTicker(tickTime)
	defer ticker.Stop()
	for {
		select {
		case <-h.stop:
			return
		case <-ticker.C:
		}
		if h.idle() {
			return
		}
		f, err := h.part(over)
		if err != nil {
			continue // who asks for the state is told
		}
		over = f.over
		h.send(f)
	}
}

// idle reports whether nobody looks, and then ends the ticking.
func (h *hub) idle() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ticking = len(h.streams) > 0
	return !h.ticking
}

// send gives a frame to all streams, and drops those that have not taken the ones
// before.
func (h *hub) send(f *frame) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.streams {
		select {
		case s.frames <- f:
		default:
			h.dropLocked(s)
		}
	}
}

func (h *hub) dropLocked(s *stream) {
	_ = s.writeBy(time.Now().Add(lastPatience)) // on a closed connection nothing is written
	delete(h.streams, s)
	close(s.over)
}

// arm gives a client time for the next state. It fails when the stream is over.
func (h *hub) arm(s *stream) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.streams[s]; !ok {
		return errClosing
	}
	return s.writeBy(time.Now().Add(streamPatience))
}

// close drops all streams and waits until nothing is sent any more.
func (h *hub) close() {
	h.mu.Lock()
	if !h.closed {
		h.closed = true
		close(h.stop)
		for s := range h.streams {
			h.dropLocked(s)
		}
	}
	h.mu.Unlock()
	h.ticker.Wait()
}
