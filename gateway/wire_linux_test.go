package gateway

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inNamespace runs the calling test again by a child in a network namespace of its
// own, and reports whether this is the child.
func inNamespace(t *testing.T) bool {
	t.Helper()
	const inside = "GATEWAY_TEST_INSIDE_A_NAMESPACE"
	if os.Getenv(inside) != "" {
		upLoopback(t)
		return true
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=yes")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if id := os.Getuid(); id != 0 { // who is root in a namespace of its own may make others
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: id, Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in a network namespace: %v\n%s", err, out)
	}
	return false
}

func upLoopback(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatal(err)
	}
}

// wire sees the packets of a namespace.
type wire struct {
	t  *testing.T
	fd int
}

func tap(t *testing.T) wire {
	t.Helper()
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_IP))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(all))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return wire{t, fd}
}

// segment is a TCP segment with data, or the first of a connection.
type segment struct {
	codePoint byte
	from, to  uint16
	syn       bool
	data      string
}

// seen returns what has arrived since the last time. Packets of the loopback device
// are here before they are at their receiver.
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
		if p := buf[:n]; from.(*unix.SockaddrLinklayer).Pkttype != unix.PACKET_OUTGOING && p[9] == unix.IPPROTO_TCP {
			tcp := p[int(p[0]&15)*4:]
			s := segment{
				codePoint: p[1] >> 2, from: binary.BigEndian.Uint16(tcp), to: binary.BigEndian.Uint16(tcp[2:]),
				syn: tcp[13]&0x12 == 2, data: string(tcp[int(tcp[12]>>4)*4:]),
			}
			if s.syn || s.data != "" {
				all = append(all, s)
			}
		}
	}
}

// checkAnswer checks that the answer that was just read left with a code point, and
// returns whether any went to or came from the app.
func (w wire) checkAnswer(what string, gateway, app uint16, want byte) (asked bool) {
	w.t.Helper()
	answered := false
	for _, s := range w.seen() {
		switch {
		case s.from == gateway:
			answered = true
			if s.codePoint != want {
				w.t.Errorf("%s: a packet of the answer has code point %d, want %d: %.40q", what, s.codePoint, want, s.data)
			}
		case s.to == app:
			asked = true
			if s.codePoint != want {
				w.t.Errorf("%s: a packet to the app (first: %v) has code point %d, want %d: %.40q", what, s.syn, s.codePoint, want, s.data)
			}
		}
	}
	if !answered {
		w.t.Errorf("%s: no packet of the answer was seen", what)
	}
	return asked
}

// fourWires are classes with code points of their own, but one.
const fourWires = `
listeners: [{address: "127.0.0.1:0", trust: [127.0.0.0/8]}]
classes:
  - {name: interactive, socket: {dscp: AF21, priority: 6}}
  - {name: standard}
  - {name: batch, socket: {dscp: LE, priority: 1}}
  - {name: bulk, socket: {dscp: CS1}}
default_class: standard
`

var fourPoints = map[string]byte{"interactive": 18, "standard": 0, "batch": 1, "bulk": 8}

// TestPacketsCarryTheirClass: of requests on one connection, in turn of all classes,
// each answer's packets carry the code point of its own class, and so do those to
// the app, from the first of a connection on; whoever gives the answer.
func TestPacketsCarryTheirClass(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	body := strings.Repeat("0123456789abcdef", 4096) // several packets even on the loopback device
	app := serveApp(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) })
	g := start(t, fourWires+"routes: [{match: {path: /app}, upstream: app}]", app)
	w := tap(t)
	gateway, appPort := addrPort(g.listeners[0].inner.Addr()).Port(), portOf(t, app)
	var multipath net.Dialer // its sockets do not take all options
	multipath.SetMultipathTCP(true)
	c, err := multipath.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	if is, err := c.(*net.TCPConn).MultipathTCP(); is || err != nil {
		t.Errorf("the gateway speaks Multipath TCP: %v, %v", is, err)
	}
	p := newPeer(t, c)
	w.seen()
	classes := g.classes.Names()
	for i := range 100 {
		class := classes[i%len(classes)]
		target, status := "/app", http.StatusOK
		if i >= 80 {
			target, status = "/nowhere", http.StatusNotFound // the gateway's own answer
		}
		what := fmt.Sprintf("request %d of class %s for %s", i, class, target)
		p.send("GET ", target, " HTTP/1.1\r\nHost: h\r\nLatency-Class: ", class, "\r\n\r\n")
		resp, got := p.response("GET")
		if resp.StatusCode != status || status == http.StatusOK && got != body {
			t.Fatalf("%s: %d with %d bytes", what, resp.StatusCode, len(got))
		}
		if asked := w.checkAnswer(what, gateway, appPort, fourPoints[class]); asked != (status == http.StatusOK) {
			t.Errorf("%s: the app was asked: %v", what, asked)
		}
	}
	p.send("GET /app HTTP/1.1\r\nHost: h\r\nLatency-Class: batch\r\n\r\n")
	p.response("GET")
	w.seen()
	p.send("this is not HTTP\r\n\r\n")
	if resp, _ := p.response("GET"); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d", resp.StatusCode)
	}
	w.checkAnswer("what is no request", gateway, appPort, fourPoints["standard"])
}

// TestTunnelsCarryTheirClass: both ends of a tunnel are of the call's class.
func TestTunnelsCarryTheirClass(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	app := serveApp(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "through") })
	s := startSidecar(t, "classes: [{name: interactive}, {name: standard, socket: {dscp: CS1}}]\n", app)
	w := tap(t)
	p := s.dialOutbound()
	appPort := portOf(t, app)
	p.send(fmt.Sprintf("CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", appPort, appPort))
	p.head()
	p.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	p.response("GET")
	if !w.checkAnswer("CONNECT", addrPort(s.Addr("outbound")).Port(), appPort, 8) {
		t.Error("nothing went through the tunnel")
	}
}

// TestJobsCarryTheirClass: the answer to a job is of the job's class when it is
// fetched, and so is the delivery.
func TestJobsCarryTheirClass(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	app := serveApp(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "done") })
	queues, _ := openNATS(t)
	g := start(t, "classes: [{name: interactive}, {name: standard}, {name: batch, socket: {dscp: LE}}]\n"+jobsRead, app, queues)
	gateway, appPort := addrPort(g.listeners[0].inner.Addr()).Port(), portOf(t, app)
	location := g.post("/jobs/batch/1")
	g.becomes(location, jobDone)
	w := tap(t)
	for _, target := range []string{location, location + "/response"} {
		g.get(target)
		w.checkAnswer("GET "+target, gateway, appPort, 1)
	}
	g.get("/")
	w.checkAnswer("GET /", gateway, appPort, 0)
	g.becomes(g.post("/jobs/batch/2"), jobDone)
	if !slices.ContainsFunc(w.seen(), func(s segment) bool { return s.to == appPort && s.codePoint == 1 && s.data != "" }) {
		t.Error("the delivery did not carry the job's class")
	}
}
