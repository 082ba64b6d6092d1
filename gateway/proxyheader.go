package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// proxyHeaderBuffer is for reading a PROXY protocol header: those of version 2 may
// be longer, as they are read in parts, those of version 1 have 107 bytes at most.
const proxyHeaderBuffer = 512

// introduced reads the PROXY protocol header that a connection from one of the
// proxies must begin with, and takes the client's address from it.
func (c *clientConn) introduced(proxies []netip.Prefix) *turnedAway {
	if !contains(proxies, c.addr) {
		return &turnedAway{cause: causeProxySource, err: fmt.Errorf("gateway: %s is not in proxy_protocol_from", c.addr)}
	}
	br := bufio.NewReaderSize(c.Conn, proxyHeaderBuffer)
	err := gatherLine(br)
	var header *proxyproto.Header
	if err == nil {
		header, err = proxyproto.Read(br)
	}
	if err == io.EOF && br.Buffered() == 0 {
		return &turnedAway{} // it may have been a check of the balancer's
	}
	if err != nil {
		return &turnedAway{cause: causeProxyHeader, err: fmt.Errorf("gateway: PROXY protocol header: %w", err)}
	}
	c.unread, _ = br.Peek(br.Buffered()) // the beginning of what the client sent
	switch {
	case header.Command.IsProxy():
		// A client on a unix socket has no address, and is not to be taken for the
		// proxy.
		c.addr = addrPort(header.SourceAddr).Addr()
	case header.Version == 1: // UNKNOWN
		c.addr = netip.Addr{}
	} // else LOCAL: a check of the proxy itself
	return nil
}

// gatherLine waits for the whole of a header of version 1, which proxyproto.Read
// refuses when it comes in more than one part.
func gatherLine(br *bufio.Reader) error {
	const longest = 107
	for n := 1; ; n = br.Buffered() + 1 {
		if _, err := br.Peek(n); err != nil {
			return err
		}
		have, _ := br.Peek(br.Buffered())
		signature := have[:min(len(have), len(proxyproto.SIGV1))]
		if !bytes.HasPrefix(proxyproto.SIGV1, signature) || len(have) >= longest || bytes.IndexByte(have, '\n') >= 0 {
			return nil
		}
	}
}
