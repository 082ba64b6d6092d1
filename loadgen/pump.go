package loadgen

import (
	"net"
	"time"
)

const (
	pumpBuffer = 16 << 10
	// inline is the largest request that the loop writes to a pump itself: it fits
	// into an empty socket buffer, so the system call does not block.
	inline = 8 << 10
)

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

// write implements [stream].
func (p *pump) write(header []byte, c *httpContent) (whole bool, err error) {
	if c.small(header) {
		_, err = p.nc.Write(append(header, c.body...))
		return err == nil, err
	}
	header = append([]byte(nil), header...)
	p.conn.pool.sender.running.Go(func() {
		// Of an error the reader learns from its own: a server may answer and close
		// before it has taken the body, and that answer counts.
		if c.writeLarge(p.nc, header) == nil {
			p.conn.pool.loop.post(p.conn.written)
		}
	})
	return false, nil
}

// close implements [stream]. Who reads and who writes end, and close the connection:
// the farewell of TLS may have to wait.
func (p *pump) close() { _ = p.nc.SetDeadline(time.Unix(1, 0)) }
