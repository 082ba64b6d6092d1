package socket

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

const inside = "SOCKET_TEST_INSIDE_A_NAMESPACE"

// TestMain runs the tests in a network namespace of their own, where they may set
// every option and nobody else's packets pass.
func TestMain(m *testing.M) {
	if os.Getenv(inside) == "" {
		os.Exit(enterNamespace())
	}
	if err := loopbackUp(); err != nil {
		fmt.Fprintln(os.Stderr, "bring the loopback device up:", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// enterNamespace runs this program again, in a new network namespace, and returns
// its exit code.
func enterNamespace() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=yes")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if id := os.Getuid(); id != 0 { // who is root in a namespace of its own may make others
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: id, Size: 1}}
	}
	signal.Ignore(os.Interrupt) // the child says what there is to say
	err := cmd.Run()
	if cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, "run the tests in a network namespace, for which they must be root or allowed user namespaces:", err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// logBuffer collects warnings.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.FieldsFunc(b.buf.String(), func(r rune) bool { return r == '\n' })
}

// about returns the lines about one option.
func (b *logBuffer) about(option string) (found []string) {
	for _, line := range b.lines() {
		if strings.Contains(line, "option="+option+" ") {
			found = append(found, line)
		}
	}
	return found
}

func newSetter(classes ...Options) (*Setter, *logBuffer) {
	log := &logBuffer{}
	return NewSetter(classes, slog.New(slog.NewTextHandler(log, nil))), log
}

// quietSetter is a setter of which nothing may be refused.
func quietSetter(t testing.TB, classes ...Options) *Setter {
	t.Helper()
	s, log := newSetter(classes...)
	t.Cleanup(func() {
		if lines := log.lines(); len(lines) > 0 {
			t.Errorf("the setter said:\n%s", strings.Join(lines, "\n"))
		}
		for option, n := range s.Refused() {
			if n > 0 {
				t.Errorf("%s was refused %d times", option, n)
			}
		}
	})
	return s
}

// An accepted connection of each kind that clients can have.
var kinds = []struct{ name, listen, dial string }{
	{"IPv4", "127.0.0.1:0", "127.0.0.1"},
	{"IPv6", "[::1]:0", "::1"},
	{"v4-mapped", "[::]:0", "127.0.0.1"},
}

// eachKind runs test with both ends of a connection of each kind.
func eachKind(t *testing.T, test func(t *testing.T, server, client *net.TCPConn)) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			server, client := connect(t, k.listen, k.dial)
			test(t, server, client)
		})
	}
}

// connect returns the accepted end of a connection, and the other. The listener
// does not speak MPTCP: its sockets take fewer options.
func connect(t testing.TB, listen, dial string) (server, client *net.TCPConn) {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(listen, "127.") {
		network = "tcp4"
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(t.Context(), network, listen)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	c, err := net.Dial("tcp", net.JoinHostPort(dial, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.(*net.TCPConn), c.(*net.TCPConn)
}

// withFD calls f with the number of a connection's socket.
func withFD(t testing.TB, c syscall.Conn, f func(fd int)) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { f(int(fd)) })
	}
	if err != nil {
		t.Fatal(err)
	}
}

// facts are what the kernel says about a socket, asked without this package.
type facts struct {
	tos, tclass, priority int
	mark                  uint32
	congestion            string
	notSentLowat          int
	pacing                uint64
	userTimeout           int
}

func ask(t testing.TB, c syscall.Conn) (f facts) {
	t.Helper()
	withFD(t, c, func(fd int) {
		number := func(level, name int) int {
			n, err := unix.GetsockoptInt(fd, level, name)
			if err != nil {
				t.Fatalf("getsockopt %d %d: %v", level, name, err)
			}
			return n
		}
		f.tos = number(unix.SOL_IP, unix.IP_TOS)
		if number(unix.SOL_SOCKET, unix.SO_DOMAIN) == unix.AF_INET6 {
			f.tclass = number(unix.SOL_IPV6, unix.IPV6_TCLASS)
		} else {
			f.tclass = f.tos // so that both can be compared at once
		}
		f.priority = number(unix.SOL_SOCKET, unix.SO_PRIORITY)
		f.mark = uint32(number(unix.SOL_SOCKET, unix.SO_MARK))
		f.notSentLowat = number(unix.SOL_TCP, unix.TCP_NOTSENT_LOWAT)
		f.userTimeout = number(unix.SOL_TCP, unix.TCP_USER_TIMEOUT)
		var err error
		if f.congestion, err = unix.GetsockoptString(fd, unix.SOL_TCP, unix.TCP_CONGESTION); err != nil {
			t.Fatal(err)
		}
		if f.pacing, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE); err != nil {
			t.Fatal(err)
		}
	})
	return f
}

func setClass(t testing.TB, s *Setter, c syscall.Conn, class int) {
	t.Helper()
	withFD(t, c, func(fd int) { s.Set(fd, class) })
}
