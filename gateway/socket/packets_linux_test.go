package socket

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A packet is what a packet socket saw of a TCP segment with data.
type packet struct {
	octet byte // type of service or traffic class
	from  uint16
	data  string
}

// parse returns the segment in an IP packet, and false for anything else.
func parse(b []byte) (p packet, ok bool) {
	var tcp []byte
	switch {
	case len(b) >= 20 && b[0]>>4 == 4 && b[9] == unix.IPPROTO_TCP:
		p.octet = b[1]
		tcp = b[int(b[0]&15)*4 : binary.BigEndian.Uint16(b[2:])]
	case len(b) >= 40 && b[0]>>4 == 6 && b[6] == unix.IPPROTO_TCP:
		p.octet = b[0]<<4 | b[1]>>4
		tcp = b[40 : 40+int(binary.BigEndian.Uint16(b[4:]))]
	default:
		return p, false
	}
	p.from = binary.BigEndian.Uint16(tcp)
	p.data = string(tcp[int(tcp[12]>>4)*4:])
	return p, p.data != ""
}

// capture returns a socket that sees the packets of this namespace.
func capture(t *testing.T) (fd int) {
	t.Helper()
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(all))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// next returns the next segment with data that arrived from the port.
func next(t *testing.T, fd int, port uint16) packet {
	t.Helper()
	buf := make([]byte, 1<<16)
	for {
		n, from, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			t.Fatal(err)
		}
		if from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_OUTGOING {
			continue // the loopback device shows it again when it comes in
		}
		if p, ok := parse(buf[:n]); ok && p.from == port {
			return p
		}
	}
}

// TestPackets: on one connection whose answers are of different classes, each
// answer's packets carry their own class's code point, on every kind of socket and
// with explicit congestion notification, whose bits stay.
func TestPackets(t *testing.T) {
	const negotiate = "/proc/sys/net/ipv4/tcp_ecn"
	if err := os.WriteFile(negotiate, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.WriteFile(negotiate, []byte("2"), 0) })
	codePoints := []int{18, 0, 1, 46}
	s := quietSetter(t, Options{DSCP: new(18)}, Options{}, Options{DSCP: new(1)}, Options{DSCP: new(46)})
	eachKind(t, func(t *testing.T, server, client *net.TCPConn) {
		fd := capture(t)
		port := uint16(server.LocalAddr().(*net.TCPAddr).Port)
		for i := range 100 {
			class := i % len(codePoints)
			setClass(t, s, server, class)
			text := fmt.Sprintf("answer %d", i)
			if _, err := io.WriteString(server, text); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(client, make([]byte, len(text))); err != nil {
				t.Fatal(err)
			}
			const capable = 2 // ECT(0), RFC 3168
			p := next(t, fd, port)
			if want := byte(codePoints[class]<<2 | capable); p.octet != want || !strings.HasPrefix(p.data, text) {
				t.Fatalf("%q left with %#x, want %q with %#x", p.data, p.octet, text, want)
			}
		}
	})
}
