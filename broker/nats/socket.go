package nats

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
)

// socketName is the Unix socket in a broker folder over which other processes
// reach the server that has it. Who may use it is who may use the folder.
const socketName = "overtake.sock"

// maxSocketPath is as long as the path of a Unix socket can be everywhere.
const maxSocketPath = 103

// doorway passes connections over the socket on to the server, as if they came
// from inside the process.
type doorway struct {
	server   inProcess
	listener net.Listener
	wg       sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]struct{}
	closed bool
}

type inProcess interface{ InProcessConn() (net.Conn, error) }

// openDoorway listens in dir, whose lock the caller has.
func openDoorway(dir string, server inProcess) (*doorway, error) {
	path := filepath.Join(dir, socketName)
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("nats: socket %q: the path has more than %d characters; give the broker a shorter dir", path, maxSocketPath)
	}
	// What is there belongs to a process that was killed.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("nats: socket: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("nats: socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("nats: socket: %w", err), listener.Close())
	}
	d := &doorway{server: server, listener: listener, open: make(map[net.Conn]struct{})}
	d.wg.Go(d.accept)
	return d, nil
}

func (d *doorway) accept() {
	for {
		outside, err := d.listener.Accept()
		if err != nil {
			return // closed
		}
		inside, err := d.server.InProcessConn()
		if err != nil || !d.enter(outside, inside) {
			outside.Close()
			continue
		}
		d.wg.Go(func() { d.pass(inside, outside) })
		d.wg.Go(func() { d.pass(outside, inside) })
	}
}

// enter notes the ends of a connection, unless the doorway is closed.
func (d *doorway) enter(ends ...net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range ends {
		if d.closed {
			c.Close()
		}
		d.open[c] = struct{}{}
	}
	return !d.closed
}

// pass copies until one end is closed, and then closes both.
func (d *doorway) pass(to, from net.Conn) {
	_, _ = io.Copy(to, from) // it ends with one of the connections
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range []net.Conn{to, from} {
		c.Close()
		delete(d.open, c)
	}
}

// close closes the connections and removes the socket.
func (d *doorway) close() {
	if d == nil {
		return
	}
	d.listener.Close()
	d.mu.Lock()
	d.closed = true
	for c := range d.open {
		c.Close()
	}
	d.mu.Unlock()
	d.wg.Wait()
}

// socketDialer reaches the server that has a folder.
type socketDialer struct{ dir string }

// InProcessConn implements natsgo.InProcessConnProvider.
func (s socketDialer) InProcessConn() (net.Conn, error) {
	return net.Dial("unix", filepath.Join(s.dir, socketName))
}
