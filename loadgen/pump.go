package loadgen

import (
	"crypto/tls"
	"net"
	"time"
)

const pumpBuffer = 16 << 10

// pump is a connection that a goroutine reads for the loop, for what a loop can't read
// without waiting: TLS, and everything where there is no epoll.
type pump struct {
	conn  *conn
	nc    net.Conn
	taken chan struct{} // has one when the loop is done with what was read
}

// newPump returns nc as the stream of c. It is read from now on.
func newPump(c *conn, nc net.Conn) *pump {
	p := &pump{conn: c, nc: nc, taken: make(chan struct{}, 1)}
	c.pool.sender.running.Go(p.run)
	return p
}

// run reads until the connection is of no use any more.
func (p *pump) run() {
	defer func() { _ = p.nc.Close() }()
	buf := make([]byte, pumpBuffer)
	for {
		n, err := p.nc.Read(buf)
		p.conn.pool.loop.post(func() {
			p.conn.received(buf[:n], err)
			p.taken <- struct{}{}
		})
		<-p.taken
		if err != nil {
			return
		}
	}
}

// write implements [stream]. It leaves all to a goroutine, as even a small request
// blocks if the peer answers without reading.
func (p *pump) write(b []byte, rest *httpContent) (whole bool, err error) {
	b = append([]byte(nil), b...)
	p.conn.pool.sender.running.Go(func() {
		// Of an error the reader learns from its own: a server may answer and close
		// before it has taken the body, and that answer counts.
		_, err := p.nc.Write(b)
		if err == nil && rest != nil {
			err = rest.writeBody(p.nc)
		}
		if err == nil {
			p.conn.pool.loop.post(p.conn.written)
		}
	})
	return false, nil
}

// catchUp implements [stream]. Who reads had the time to do so before the loop found that
// something was overdue, see [loop.turn].
func (p *pump) catchUp() {}

// close implements [stream]. Who reads and who writes end, and close the connection. TLS
// says farewell first, for which it may have to wait: not where something has failed.
func (p *pump) close() {
	if secure, ok := p.nc.(*tls.Conn); ok && p.conn.failed {
		_ = secure.NetConn().Close()
		return
	}
	_ = p.nc.SetDeadline(time.Unix(1, 0))
}
