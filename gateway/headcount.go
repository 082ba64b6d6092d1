package gateway

import (
	"errors"
	"net/netip"
	"sync"
)

// errTooMany is why a connection beyond connections_per_client is refused.
var errTooMany = errors.New("too many connections from this address")

// headcount counts the connections of each client. The zero value is usable.
type headcount struct {
	mu sync.Mutex
	of map[netip.Addr]int
}

// enter counts c, unless its client has as many as most already. A client whose
// address is not known is not counted.
func (h *headcount) enter(c *clientConn, most int) bool {
	if !c.addr.IsValid() {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	key := household(c.addr)
	if h.of[key] >= most {
		return false
	}
	if h.of == nil {
		h.of = make(map[netip.Addr]int)
	}
	h.of[key]++
	c.counted = true
	return true
}

// leave takes c out of the count, if it is in it.
func (h *headcount) leave(c *clientConn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !c.counted {
		return
	}
	c.counted = false
	key := household(c.addr)
	if h.of[key]--; h.of[key] == 0 {
		delete(h.of, key)
	}
}

// household is whom an address belongs to: a client of IPv6 has a whole /64.
func household(addr netip.Addr) netip.Addr {
	if addr.Is6() {
		return netip.PrefixFrom(addr, 64).Masked().Addr()
	}
	return addr
}
