package socket

import (
	"math"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// offeredHere returns a congestion control that sockets do not have by themselves,
// and the one that they have.
func offeredHere(t testing.TB) (other, own string) {
	t.Helper()
	server, _ := connect(t, kinds[0].listen, kinds[0].dial)
	own = ask(t, server).congestion
	text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_available_congestion_control")
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(string(text)) {
		if name != own {
			return name, own
		}
	}
	t.Fatalf("no congestion control but %s: modprobe tcp_bbr", own)
	return "", ""
}

// TestEachOption: whatever option a class names, its sockets have it and nothing
// else, and those of a class that names nothing are as if nobody had told them
// anything; back and forth, on every kind of socket.
func TestEachOption(t *testing.T) {
	other, _ := offeredHere(t)
	for name, tc := range map[string]struct {
		options Options
		change  func(f *facts)
	}{
		"priority":      {Options{Priority: new(6)}, func(f *facts) { f.priority = 6 }},
		"high priority": {Options{Priority: new(15)}, func(f *facts) { f.priority = 15 }},
		"dscp": {Options{DSCP: new(18)}, func(f *facts) { // AF21 alone would make it 2
			f.tos, f.tclass = 18<<2, 18<<2
		}},
		"dscp and priority": {Options{DSCP: new(18), Priority: new(5)}, func(f *facts) {
			f.tos, f.tclass, f.priority = 18<<2, 18<<2, 5
		}},
		"mark":       {Options{Mark: new(uint32(0xf000_0001))}, func(f *facts) { f.mark = 0xf000_0001 }},
		"congestion": {Options{Congestion: other}, func(f *facts) { f.congestion = other }},
		"notsent":    {Options{NotSentLowat: 16 << 10}, func(f *facts) { f.notSentLowat = 16 << 10 }},
		"pacing":     {Options{MaxPacingRate: 10 << 30}, func(f *facts) { f.pacing = 10 << 30 }},
		"timeout":    {Options{UserTimeout: 20 * time.Second}, func(f *facts) { f.userTimeout = 20_000 }},
	} {
		t.Run(name, func(t *testing.T) {
			s := quietSetter(t, tc.options, Options{})
			eachKind(t, func(t *testing.T, server, client *net.TCPConn) {
				for end, c := range map[string]*net.TCPConn{"accepted": server, "dialled": client} {
					untouched := ask(t, c)
					want := untouched
					tc.change(&want)
					for round := range 3 {
						setClass(t, s, c, 0)
						if got := ask(t, c); got != want {
							t.Fatalf("%s, round %d: got %+v, want %+v", end, round, got, want)
						}
						setClass(t, s, c, 1)
						if got := ask(t, c); got != untouched {
							t.Fatalf("%s, round %d: the class without options left %+v, want %+v", end, round, got, untouched)
						}
					}
				}
			})
		})
	}
}

// TestClassesInTurn: a connection that changes class never keeps anything of the
// class before, whatever each of them names.
func TestClassesInTurn(t *testing.T) {
	other, own := offeredHere(t)
	s := quietSetter(t,
		Options{Priority: new(6), DSCP: new(18), Mark: new(uint32(1))},
		Options{Congestion: other, UserTimeout: time.Minute, MaxPacingRate: 1 << 20},
		Options{},
		Options{DSCP: new(1), Priority: new(1), NotSentLowat: 4096, Mark: new(uint32(3))},
	)
	want := []facts{
		{tos: 72, tclass: 72, priority: 6, mark: 1, congestion: own, pacing: math.MaxUint64},
		{congestion: other, pacing: 1 << 20, userTimeout: 60_000},
		{congestion: own, pacing: math.MaxUint64},
		{tos: 4, tclass: 4, priority: 1, mark: 3, congestion: own, notSentLowat: 4096, pacing: math.MaxUint64},
	}
	eachKind(t, func(t *testing.T, server, _ *net.TCPConn) {
		for from := range want {
			for to := range want {
				setClass(t, s, server, from)
				setClass(t, s, server, to)
				if got := ask(t, server); got != want[to] {
					t.Errorf("from class %d to %d: got %+v, want %+v", from, to, got, want[to])
				}
			}
		}
	})
}

// TestWhatNobodyNames is left alone.
func TestWhatNobodyNames(t *testing.T) {
	s := quietSetter(t, Options{Mark: new(uint32(7))}, Options{})
	server, _ := connect(t, kinds[2].listen, kinds[2].dial)
	withFD(t, server, func(fd int) {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, 4); err != nil {
			t.Fatal(err)
		}
	})
	setClass(t, s, server, 1)
	if got := ask(t, server); got.priority != 4 {
		t.Errorf("priority %d after a class that does not name it; want 4, as it was", got.priority)
	}
	setClass(t, quietSetter(t, Options{}, Options{}), server, 0)
	setClass(t, nil, server, 0)
	if got := ask(t, server); got.priority != 4 || got.mark != 0 {
		t.Errorf("got %+v from setters without options", got)
	}
}

// TestControl: a connection that is dialled has its options before the first packet.
func TestControl(t *testing.T) {
	s := quietSetter(t, Options{Priority: new(6), DSCP: new(46)}, Options{})
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			ln, err := net.Listen("tcp", k.listen)
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			_, port, _ := net.SplitHostPort(ln.Addr().String())
			d := net.Dialer{Control: s.Control(0)}
			c, err := d.Dial("tcp", net.JoinHostPort(k.dial, port))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got := ask(t, c.(*net.TCPConn)); got.tos != 46<<2 || got.tclass != 46<<2 || got.priority != 6 {
				t.Errorf("got %+v", got)
			}
		})
	}
	if quietSetter(t, Options{}, Options{}).Control(0) != nil || (*Setter)(nil).Control(0) != nil {
		t.Error("there is a Control though there is nothing to set")
	}
}

// TestCongestionNotification: the two bits below the code point stay.
func TestCongestionNotification(t *testing.T) {
	s := quietSetter(t, Options{DSCP: new(18), Priority: new(6)}, Options{})
	for family, address := range map[string]string{"udp4": "127.0.0.1:0", "udp6": "[::1]:0"} {
		c, err := net.ListenPacket(family, address) // on which programs may set them
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		withFD(t, c.(*net.UDPConn), func(fd int) {
			level, name := unix.SOL_IP, unix.IP_TOS
			if family == "udp6" {
				level, name = unix.SOL_IPV6, unix.IPV6_TCLASS
			}
			if err := unix.SetsockoptInt(fd, level, name, 2); err != nil {
				t.Fatal(err)
			}
			for class, want := range []int{18<<2 | 2, 2} {
				s.Set(fd, class)
				if got, err := unix.GetsockoptInt(fd, level, name); got != want || err != nil {
					t.Errorf("%s: class %d has %#x, %v, want %#x", family, class, got, err, want)
				}
			}
		})
	}
}

// TestOtherSockets: nothing is set on what is no IP socket, nor on what is closed,
// and nothing is said or counted about it.
func TestOtherSockets(t *testing.T) {
	s := quietSetter(t, Options{Priority: new(6)}, Options{})
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	d := net.Dialer{Control: s.Control(0)}
	c, err := d.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	withFD(t, c.(*net.UnixConn), func(fd int) {
		s.Set(fd, 0)
		if got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY); got != 0 || err != nil {
			t.Errorf("a unix socket has priority %d, %v", got, err)
		}
	})
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	s.Set(fd, 0)
	s.Set(-1, 0)
}

// TestGroups: a class is in the group of the first one with the same options.
func TestGroups(t *testing.T) {
	s := quietSetter(t,
		Options{Priority: new(6)}, Options{}, Options{Priority: new(0)}, Options{Priority: new(6)}, Options{Priority: new(1)})
	for class, want := range []int{0, 1, 1, 0, 4} {
		if got := s.Group(class); got != want {
			t.Errorf("class %d is in group %d, want %d", class, got, want)
		}
	}
	s = quietSetter(t, Options{}, Options{}, Options{})
	if s.Group(2) != 0 || (*Setter)(nil).Group(5) != 0 {
		t.Error("classes without options are not in one group")
	}
}

// unprivileged runs f on a thread without any capability, which ends with it.
func unprivileged(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread is not fit for others any more
		none := [2]unix.CapUserData{}
		err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0])
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestWithoutCapabilities: everything works but what needs them, which is said once
// each and counted.
func TestWithoutCapabilities(t *testing.T) {
	server, _ := connect(t, kinds[2].listen, kinds[2].dial)
	own := ask(t, server).congestion
	var s *Setter
	var log *logBuffer
	unprivileged(t, func() {
		s, log = newSetter(
			Options{Priority: new(6), DSCP: new(18), Mark: new(uint32(1)), UserTimeout: time.Minute},
			Options{Priority: new(7), Mark: new(uint32(2)), NotSentLowat: 4096, MaxPacingRate: 1 << 20},
			Options{Priority: new(1), Congestion: own},
		)
		for range 5 {
			for class := range 3 {
				setClass(t, s, server, class)
			}
		}
		setClass(t, s, server, 0)
		if got, want := ask(t, server), (facts{tos: 72, tclass: 72, priority: 6, congestion: own, pacing: math.MaxUint64, userTimeout: 60_000}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		setClass(t, s, server, 1) // its own priority is refused, that of the class before must not stay
		if got, want := ask(t, server), (facts{congestion: own, pacing: 1 << 20, notSentLowat: 4096}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
	for option, remedy := range map[string]string{
		"mark":     "give the process CAP_NET_ADMIN, or remove mark from the classes",
		"priority": "give the process CAP_NET_ADMIN, or choose a priority from 0 to 6",
	} {
		if lines := log.about(option); len(lines) != 1 || !strings.Contains(lines[0], remedy) {
			t.Errorf("about %s was said %q, want one line with %q", option, lines, remedy)
		}
	}
	if lines := log.lines(); len(lines) != 2 {
		t.Errorf("said %q, want two lines", lines)
	}
	want := map[string]uint64{
		"mark": 12, "priority": 6, // of the classes that named what was refused
		"dscp": 0, "congestion": 0, "notsent_lowat": 0, "max_pacing_rate": 0, "user_timeout": 0,
	}
	for option, n := range s.Refused() {
		if n != want[option] {
			t.Errorf("%s was refused %d times, want %d", option, n, want[option])
		}
	}
	if len(s.Refused()) != len(want) {
		t.Errorf("counts of %v, want all options", s.Refused())
	}
	for class, want := range []Options{
		{Priority: new(6), DSCP: new(18), UserTimeout: time.Minute},
		{NotSentLowat: 4096, MaxPacingRate: 1 << 20},
	} {
		if got := s.Taken(class); !reflect.DeepEqual(got, want) {
			t.Errorf("of class %d %+v was taken, want %+v", class, got, want)
		}
	}
}

// TestUnknownCongestionControl is said once, with those that there are, and leaves
// the system's own.
func TestUnknownCongestionControl(t *testing.T) {
	other, own := offeredHere(t)
	s, log := newSetter(Options{Congestion: "nonesuch"}, Options{Congestion: other}, Options{Congestion: "nonesuch2"})
	server, _ := connect(t, kinds[0].listen, kinds[0].dial)
	for class, want := range []string{own, other, own} {
		setClass(t, s, server, class)
		if got := ask(t, server).congestion; got != want {
			t.Errorf("class %d has %s, want %s", class, got, want)
		}
	}
	lines := log.lines()
	if len(lines) != 1 || !strings.Contains(lines[0], "modprobe tcp_nonesuch, or choose one of: ") || !strings.Contains(lines[0], other) {
		t.Errorf("said %q", lines)
	}
	if n := s.Refused()["congestion"]; n != 2 {
		t.Errorf("refused %d times, want 2", n)
	}
	if s.Group(2) != 0 || s.Group(1) != 1 {
		t.Error("classes whose congestion control is unknown are not like those without")
	}
}

// TestRefusedLater: what is refused while requests are served is said once and
// counted, and the rest of the options is set.
func TestRefusedLater(t *testing.T) {
	s, log := newSetter(Options{Mark: new(uint32(1)), UserTimeout: time.Second}, Options{})
	server, _ := connect(t, kinds[1].listen, kinds[1].dial)
	unprivileged(t, func() {
		for range 3 {
			setClass(t, s, server, 0)
		}
	})
	if got := ask(t, server); got.mark != 0 || got.userTimeout != 1000 {
		t.Errorf("got %+v", got)
	}
	if lines := log.about("mark"); len(lines) != 1 || len(log.lines()) != 1 {
		t.Errorf("said %q, want one line about mark", log.lines())
	}
	if n := s.Refused()["mark"]; n != 3 {
		t.Errorf("refused %d times, want 3", n)
	}
}
