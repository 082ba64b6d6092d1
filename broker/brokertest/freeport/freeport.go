// Package freeport chooses ports for the servers that tests start.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// The ports are below those that systems give to the ends of connections that name
// none: Linux's net.ipv4.ip_local_port_range begins at 32768. A port that was got by
// listening on port 0 is one of these, and a connection may take it while its server
// is started again.
const (
	lowest = 10_000
	end    = 32_768
	tries  = 1_000
)

// Choose returns n different ports of 127.0.0.1 on which nobody listens.
func Choose(n int) ([]int, error) {
	ports := make([]int, 0, n)
	var last error
	for range tries {
		if len(ports) == n {
			return ports, nil
		}
		port := lowest + rand.IntN(end-lowest)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			last = err
			continue
		}
		defer func() { _ = l.Close() }() // all at once, so that they differ
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("freeport: %d of %d ports found in %d tries: %w", len(ports), n, tries, last)
}
