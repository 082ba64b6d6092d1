package qdisc

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Packets of sockets that are marked for a class get into the class's queue, over
// IPv4 and IPv6, by each of the marks.
func TestPacketsLand(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	newLink(t)
	knowFar(t)
	for name, classes := range map[string][]Class{
		"dscp":     {{Name: "a", DSCP: new(18)}, {Name: "b"}, {Name: "c", DSCP: new(1)}},
		"priority": {{Name: "a", Priority: new(6)}, {Name: "b"}, {Name: "c", Priority: new(1)}},
		"mark":     {{Name: "a", Mark: new(uint32(1 << 31))}, {Name: "b"}, {Name: "c", Mark: new(uint32(7))}},
		"mixed":    {{Name: "a", Priority: new(6)}, {Name: "b"}, {Name: "c", DSCP: new(18)}, {Name: "d", Mark: new(uint32(6))}},
	} {
		_, err := Apply(t.Context(), near, settings(classes))
		if !mayLoad(t, classes, err) {
			continue
		}
		for _, to := range []string{farIPv4, farIPv6} {
			for i := range classes {
				before := sent(t, classes)
				const packets = 20
				conn := dialMarked(t, "udp", to, marksAsSet(classes, i))
				for p := range packets {
					_, err := fmt.Fprintf(conn, "packet %d", p)
					try(t, err)
				}
				for j, now := range sent(t, classes) {
					want := before[j]
					if i == j {
						want += packets
					}
					// Other traffic, such as what IPv6 says by itself, goes where
					// no mark takes it.
					if now != want && !(classes[j].Name == "b" && now > want) {
						t.Errorf("%s: packets of %s to %s: class %s has %d, want %d", name, classes[i].Name, to, classes[j].Name, now, want)
					}
				}
			}
		}
	}
}

// sent returns how many packets each class's branch has sent.
func sent(t *testing.T, classes []Class) []uint64 {
	t.Helper()
	var counts []uint64
	for _, l := range mustRead(t, near).Land(classes) {
		if l.Counters == nil {
			t.Fatalf("no counters: %v", l)
		}
		counts = append(counts, l.Counters.Packets)
	}
	return counts
}

// marksAsSet are the marks of one class in the order in which they are set: TOS
// changes the priority.
func marksAsSet(classes []Class, i int) []option {
	m := marksOf(classes)[i]
	return []option{
		{unix.IPPROTO_IP, unix.IP_TOS, int(m.dscp << 2)}, {unix.IPPROTO_IPV6, unix.IPV6_TCLASS, int(m.dscp << 2)},
		{unix.SOL_SOCKET, unix.SO_PRIORITY, int(m.priority)}, {unix.SOL_SOCKET, unix.SO_MARK, int(m.mark)},
	}
}

type option struct{ level, name, value int }

// dialMarked connects to port 7 of a host, with a socket that has these options.
func dialMarked(t *testing.T, network, host string, options []option) net.Conn {
	t.Helper()
	dialer := net.Dialer{Timeout: patience, Control: func(network, _ string, c syscall.RawConn) (err error) {
		_ = c.Control(func(fd uintptr) {
			for _, o := range options {
				if o.level == unix.IPPROTO_IPV6 && !strings.HasSuffix(network, "6") {
					continue
				}
				if err == nil {
					err = unix.SetsockoptInt(int(fd), o.level, o.name, o.value)
				}
			}
		})
		return err
	}}
	conn, err := dialer.DialContext(t.Context(), network, net.JoinHostPort(host, "7"))
	try(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}
