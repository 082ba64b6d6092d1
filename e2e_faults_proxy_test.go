//go:build e2e

package main

import (
	"context"
	"maps"
	"net"
	"sync"
	"testing"
	"time"
)

// A proxy stands between a client and a broker. It can cut the connections, or
// stop forwarding without a word.
type proxy struct {
	address string

	state     watched
	stopped   bool // it forwards nothing
	closed    bool
	conns     map[net.Conn]bool // both ends; true is the client's
	silent    map[net.Conn]bool // as conns was when it stopped
	since     time.Time         // of that
	swallowed int               // bytes since then
	working   sync.WaitGroup
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
			p.state.change(func() {
				p.conns[client], p.conns[broker] = true, false
				if p.closed {
					client.Close()
				}
			})
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

// copy forwards what comes from one end until either has ended. It reads also while
// it forwards nothing.
func (p *proxy) copy(from, to net.Conn) {
	defer to.Close()
	defer from.Close()
	var pending []byte
	ended := false
	p.working.Go(func() {
		buffer := make([]byte, 32<<10)
		for err := error(nil); err == nil; {
			var n int
			n, err = from.Read(buffer)
			p.state.change(func() {
				pending = append(pending, buffer[:n]...)
				if p.stopped {
					p.swallowed += n
				}
				if ended = err != nil; ended {
					delete(p.conns, from)
				}
			})
		}
	})
	for over := false; !over; {
		var chunk []byte
		p.state.await(context.Background(), func() bool {
			if p.stopped || len(pending) == 0 && !ended {
				return false
			}
			chunk, pending, over = pending, nil, ended
			return true
		})
		if _, err := to.Write(chunk); err != nil {
			return
		}
	}
}

// cut closes all connections; new ones can be made.
func (p *proxy) cut(*testing.T) {
	p.state.change(func() {
		for c := range p.conns {
			c.Close()
		}
	})
}

// swallow stops forwarding.
func (p *proxy) swallow(*testing.T) {
	p.state.change(func() { p.stopped, p.silent, p.since, p.swallowed = true, maps.Clone(p.conns), time.Now(), 0 })
}

// forward goes on with forwarding when the client has given up all connections that
// it had: with what came meanwhile, however late that is.
func (p *proxy) forward(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	clients := 0
	for _, isClient := range p.silent {
		if isClient {
			clients++
		}
	}
	gone := p.state.await(ctx, func() bool {
		for c, isClient := range p.silent {
			if _, open := p.conns[c]; isClient && open {
				return false
			}
		}
		return true
	})
	p.state.change(func() {
		if !gone || clients == 0 || p.swallowed == 0 {
			t.Errorf("%d connections, given up: %v, %d bytes swallowed", clients, gone, p.swallowed)
		}
		t.Logf("%d connections were given up after %v; %d bytes were swallowed", clients, time.Since(p.since), p.swallowed)
		p.stopped = false
	})
}
