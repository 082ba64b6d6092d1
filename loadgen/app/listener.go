package app

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

const firstPause, longestPause = 5 * time.Millisecond, time.Second

// Persistent returns a listener that accepts again after an error that goes away by
// itself, such as too many open files, after a pause that doubles from 5 ms to 1 s, as
// net/http does. Without it, such an error ends the server.
func Persistent(ln net.Listener) net.Listener {
	return &persistent{Listener: ln, closed: make(chan struct{})}
}

type persistent struct {
	net.Listener
	once   sync.Once
	closed chan struct{}
}

func (p *persistent) Accept() (net.Conn, error) {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		conn, err := p.Listener.Accept()
		if err == nil || !goesAway(err) {
			return conn, err
		}
		select {
		case <-time.After(pause):
		case <-p.closed:
			return nil, net.ErrClosed
		}
	}
}

func (p *persistent) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.Listener.Close()
}

func goesAway(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ECONNABORTED)
}
