//go:build e2e

package main

import (
	bytesOf "encoding/binary" // binary is the program under test
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// wire sees the packets that come in on eth0.
type wire struct {
	t  *testing.T
	fd int
}

// segment is a TCP segment with data, or the first of a connection.
type segment struct {
	codePoint byte
	from, to  netip.AddrPort
	syn       bool
	data      string
}

func tap(t *testing.T) wire {
	t.Helper()
	device, err := net.InterfaceByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	all := bytesOf.NativeEndian.Uint16(bytesOf.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(all))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: device.Index}); err != nil {
		t.Fatal(err)
	}
	return wire{t, fd}
}

// seen returns what has come in since the last time. Packets are here before they
// are at their receiver.
func (w wire) seen() (all []segment) {
	w.t.Helper()
	buf := make([]byte, 1<<17)
	for {
		n, from, err := unix.Recvfrom(w.fd, buf, unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			return all
		}
		if err != nil {
			w.t.Fatal(err)
		}
		if from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if s, ok := parseSegment(buf[:n]); ok {
			all = append(all, s)
		}
	}
}

// parseSegment reads an IP packet; it is false for anything but a segment.
func parseSegment(b []byte) (s segment, ok bool) {
	var from, to netip.Addr
	var tcp []byte
	switch {
	case len(b) >= 40 && b[0]>>4 == 4 && b[9] == unix.IPPROTO_TCP:
		s.codePoint = b[1] >> 2
		from, to = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
		tcp = b[int(b[0]&15)*4 : bytesOf.BigEndian.Uint16(b[2:])]
	case len(b) >= 60 && b[0]>>4 == 6 && b[6] == unix.IPPROTO_TCP:
		s.codePoint = (b[0]<<4 | b[1]>>4) >> 2
		from, to = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
		tcp = b[40 : 40+int(bytesOf.BigEndian.Uint16(b[4:]))]
	default:
		return s, false
	}
	s.from = netip.AddrPortFrom(from, bytesOf.BigEndian.Uint16(tcp))
	s.to = netip.AddrPortFrom(to, bytesOf.BigEndian.Uint16(tcp[2:]))
	s.syn = tcp[13]&0x12 == 2
	s.data = string(tcp[int(tcp[12]>>4)*4:])
	return s, s.syn || s.data != ""
}
