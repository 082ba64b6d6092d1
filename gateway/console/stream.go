package console

import (
	"errors"
	"net/http"
)

// serveEvents streams the state as server-sent events, until the client leaves, reads
// too slowly, or the console is closed.
func (c *Console) serveEvents(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	s := &stream{
		frames: make(chan *frame, mostUnsent), over: make(chan struct{}),
		writeBy: rc.SetWriteDeadline,
	}
	if err := c.hub.join(s); err != nil {
		refuse(w, err)
		return
	}
	defer c.hub.leave(s)
	f, err := c.hub.whole()
	if err != nil {
		refuse(w, err)
		return
	}
	guarded(w, "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold events back
	e := newEventWriter(w, r)
	defer e.end()
	for {
		if c.hub.arm(s) != nil || errors.Join(e.write(f), rc.Flush()) != nil {
			return
		}
		select {
		case f = <-s.frames:
		case <-s.over:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// What is around each state, which is of one line, as json.Marshal makes it.
var (
	eventHead, eventEnd       = []byte("event: state\ndata: "), []byte("\n\n")
	deflatedHead, deflatedEnd = deflate(eventHead), deflate(eventEnd)
)

// eventWriter writes states as events, compressed for a client that takes it.
type eventWriter struct {
	w   http.ResponseWriter
	zip *gzipped // nil for a client that does not
	err error    // of the last write
}

// newEventWriter sets the header fields that say how the events are encoded.
func newEventWriter(w http.ResponseWriter, r *http.Request) *eventWriter {
	e := &eventWriter{w: w}
	w.Header().Set("Vary", "Accept-Encoding")
	if acceptsGzip(r) {
		w.Header().Set("Content-Encoding", "gzip")
		e.zip = new(gzipped)
		e.put(gzipHead)
	}
	return e
}

// write writes one state.
func (e *eventWriter) write(f *frame) error {
	if e.zip == nil {
		e.put(eventHead, f.text, eventEnd)
		return e.err
	}
	for _, text := range [][]byte{eventHead, f.text, eventEnd} {
		e.zip.add(text)
	}
	e.put(deflatedHead, f.deflated(), deflatedEnd)
	return e.err
}

// end ends the stream, so that the client need not take it for broken off.
func (e *eventWriter) end() {
	if e.zip != nil {
		e.put(e.zip.end())
	}
}

// put writes parts, unless a write has failed.
func (e *eventWriter) put(parts ...[]byte) {
	for _, part := range parts {
		if e.err == nil {
			_, e.err = e.w.Write(part)
		}
	}
}
