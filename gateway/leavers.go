package gateway

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// leavers finds the clients that closed their connection while their request
// waits or runs. fasthttp reads a connection only between requests and so never
// learns of it.
//
// Every lookEvery, the connections of requests that are older than that are
// looked at in one system call; short requests cost two atomic stores.
type leavers struct {
	epoch time.Time

	mu    sync.Mutex
	conns map[*clientConn]struct{} // all open client connections
}

// lookEvery is how often, and so how late at the most, a leaver is noticed.
const lookEvery = 100 * time.Millisecond

func newLeavers() *leavers {
	return &leavers{epoch: time.Now(), conns: make(map[*clientConn]struct{})}
}

func (w *leavers) add(c *clientConn) {
	w.mu.Lock()
	w.conns[c] = struct{}{}
	w.mu.Unlock()
}

func (w *leavers) remove(c *clientConn) {
	w.mu.Lock()
	delete(w.conns, c)
	w.mu.Unlock()
}

// begin marks c as busy with a request, and end as idle again.
func (w *leavers) begin(c *clientConn) {
	c.serial.Add(1)
	c.busySince.Store(max(1, int64(time.Since(w.epoch))))
}

func (w *leavers) end(c *clientConn) { c.busySince.Store(0) }

// run looks for leavers until stop is closed.
func (w *leavers) run(stop <-chan struct{}) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			w.look()
		}
	}
}

// suspect is a connection that is looked at, with the request it was serving.
type suspect struct {
	conn   *clientConn
	serial uint64
}

// look ends the requests of all clients that have left.
func (w *leavers) look() {
	before := int64(time.Since(w.epoch) - lookEvery)
	var suspects []suspect
	w.mu.Lock()
	for c := range w.conns {
		serial := c.serial.Load()
		since := c.busySince.Load()
		if since != 0 && since < before && c.fd >= 0 && c.settings.abortOnClose && !c.tunnelled.Load() {
			suspects = append(suspects, suspect{c, serial})
		}
	}
	w.mu.Unlock()
	for _, s := range hungUp(suspects) {
		// Meanwhile the connection may have been closed, and its descriptor
		// belong to another: then its request has ended and the serial or the
		// mark has changed.
		s.conn.request.life.endIf(errClientLeft, func() bool {
			return s.conn.serial.Load() == s.serial && s.conn.busySince.Load() != 0 && !s.conn.tunnelled.Load()
		})
	}
}

// each calls f for all connections.
func (w *leavers) each(f func(*clientConn)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		f(c)
	}
}

// closeAll closes all connections.
func (w *leavers) closeAll() {
	w.mu.Lock()
	conns := slices.Collect(maps.Keys(w.conns))
	w.mu.Unlock()
	for _, c := range conns {
		c.linger.Store(false)
		_ = c.Close() // takes it out of conns; nobody can act on an error
	}
}

// endAll ends the requests under way on all connections.
func (w *leavers) endAll(cause error) {
	w.each(func(c *clientConn) {
		c.request.life.endIf(cause, func() bool { return c.busySince.Load() != 0 })
	})
}
