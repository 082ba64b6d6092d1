//go:build e2e

package main

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// faultHole is how long a black hole lasts: longer than what tells a silent server
// from a slow one takes.
const faultHole = 6 * time.Second

// A proxy stands between a client and a broker. It can cut the connections, or
// stop forwarding without a word.
type proxy struct {
	address string

	state   watched
	stopped bool // it forwards nothing
	closed  bool
	conns   map[net.Conn]bool
	working sync.WaitGroup
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: listener.Addr().String(), conns: map[net.Conn]bool{}}
	p.working.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			broker, err := net.Dial("tcp", server)
			if err != nil {
				client.Close() // the broker is away
				continue
			}
			p.working.Go(func() { p.copy(client, broker) })
			p.working.Go(func() { p.copy(broker, client) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		p.state.change(func() { p.stopped, p.closed = false, true })
		p.cut(t)
		p.working.Wait()
	})
	return p
}

// copy forwards what comes from one end until either has ended.
func (p *proxy) copy(from, to net.Conn) {
	defer to.Close()
	defer from.Close()
	p.state.change(func() {
		p.conns[from] = true
		if p.closed {
			from.Close()
		}
	})
	defer p.state.change(func() { delete(p.conns, from) })
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			p.wait()
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			p.wait() // the other end does not learn of that either
			return
		}
	}
}

// wait returns when p forwards.
func (p *proxy) wait() { p.state.await(context.Background(), func() bool { return !p.stopped }) }

// cut closes all connections; new ones can be made.
func (p *proxy) cut(*testing.T) {
	p.state.change(func() {
		for c := range p.conns {
			c.Close()
		}
	})
}

// swallow stops forwarding, and forward goes on with it, after the time that a
// black hole lasts: with what came meanwhile, however late that is.
func (p *proxy) swallow(*testing.T) { p.state.change(func() { p.stopped = true }) }

func (p *proxy) forward(*testing.T) {
	<-time.After(faultHole)
	p.state.change(func() { p.stopped = false })
}
