package loadgen

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// awakeFor is how short a wait must be for the loop to stay awake. To sleep and be
	// woken takes some 40 us on a virtual machine, which at 100,000 requests a second was
	// more than the requests: sent ten at a time, those took 70 us of each 100. So a loop
	// that is busy for half of its time does not sleep any more.
	awakeFor = wakeEvery / 2
	// interrupted: somebody else had the core during a look that took longer.
	interrupted = 10 * time.Microsecond
)

// socketEvents are what a socket is watched for. With EPOLLET it is told of once, until
// more comes, so that a request changes nothing in the set.
const socketEvents = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

// What is no socket has one of these in the place of its number.
const (
	eventTimer = -1 - iota
	eventBell
)

// poller waits for sockets, for a moment, and for a wake-up, in one epoll set of its
// own (epoll(7)). That set is in the one of the Go runtime: the goroutine that waits
// keeps no thread. The moment is a timerfd, as timers of an idle runtime fire up to a
// millisecond late: its epoll_wait counts in milliseconds.
//
// It is not safe for concurrent use, except for wake.
type poller struct {
	file               *os.File // the epoll set
	raw                syscall.RawConn
	epoll, timer, bell int
	pollOnce           func(uintptr) bool

	events [maxEvents]unix.EpollEvent
	ready  int // how many of events are to be served

	until  time.Time // of the wait that is going on
	rest   bool      // it is to let others run first
	parked bool      // it did
	armed  time.Time // when the timer expires; the zero value is never
	rests  *idleness

	sockets []numbered
	free    []int32 // numbers without a socket
}

// numbered is a socket with a number. The round tells it from those that had the
// number before, which events may still be about.
type numbered struct {
	socket *socket
	round  int32
}

// newPoller returns a poller that counts in rests when there was nothing to do.
func newPoller(rests *idleness) (_ *poller, err error) {
	p := &poller{rests: rests, epoll: -1, timer: -1, bell: -1}
	p.pollOnce = p.poll
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err == nil {
		p.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	}
	if err == nil {
		p.bell, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("loadgen: no descriptors for a schedule: %w", err)
	}
	for fd, number := range map[int]int32{p.timer: eventTimer, p.bell: eventBell} {
		if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: number}); err != nil {
			return nil, fmt.Errorf("loadgen: epoll set of a schedule: %w", err)
		}
	}
	if err := unix.SetNonblock(p.epoll, true); err != nil { // the runtime takes no others
		return nil, fmt.Errorf("loadgen: epoll set of a schedule: %w", err)
	}
	p.file = os.NewFile(uintptr(p.epoll), "epoll")
	if err := p.file.SetDeadline(time.Time{}); err != nil { // the runtime did not take it
		return nil, fmt.Errorf("loadgen: epoll set of a schedule: %w", err)
	}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		return nil, fmt.Errorf("loadgen: epoll set of a schedule: %w", err)
	}
	return p, nil
}

// wait returns when there is something to serve, after a wake-up, or at a moment. With
// rest, all goroutines that are ready run first, and the network is looked at for them.
func (p *poller) wait(until time.Time, rest bool) {
	p.until, p.rest, p.parked = until, rest, false
	begun := time.Now()
	_ = p.raw.Read(p.pollOnce) // fails only once closed
	if p.parked && !p.rest {
		p.rests.asleep.Add(int64(time.Since(begun)))
	}
}

// poll is called before each time the goroutine is parked, and after it.
func (p *poller) poll(uintptr) (done bool) {
	if p.rest && !p.parked {
		p.wake()
		p.parked = true
		return false
	}
	if p.look() || p.parked && p.rest {
		return true
	}
	switch left := time.Until(p.until); {
	case left <= 0:
		return true
	case left < awakeFor:
		p.stayAwake()
		return true
	}
	if p.armed.IsZero() || p.armed.After(p.until) {
		p.arm()
	}
	p.parked = true
	return false
}

// look takes what is ready, without waiting. It reports whether there is something.
func (p *poller) look() bool {
	n, err := unix.EpollWait(p.epoll, p.events[:], 0)
	if err != nil && err != unix.EINTR {
		panic(fmt.Sprintf("loadgen: epoll_wait on a set of our own: %v", err))
	}
	p.ready = max(n, 0)
	for _, e := range p.events[:p.ready] {
		if e.Fd == eventTimer {
			p.armed = time.Time{}
		}
	}
	return p.ready > 0
}

// stayAwake looks until there is something to serve or the moment has come.
func (p *poller) stayAwake() {
	for last := time.Now(); ; {
		found := p.look()
		now := time.Now()
		if took := now.Sub(last); took < interrupted {
			p.rests.awake.Add(int64(took))
		}
		if last = now; found || !now.Before(p.until) {
			return
		}
	}
}

// arm sets the timer for the end of the wait. Setting it forgets that it has expired.
func (p *poller) arm() {
	// Absolute, so that time lost before the system call is not added. The clock is
	// read after the wait is computed, so that the timer is never early.
	wait := max(time.Until(p.until), 0)
	var now unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	if err == nil {
		err = unix.TimerfdSettime(p.timer, unix.TFD_TIMER_ABSTIME, &unix.ItimerSpec{Value: unix.NsecToTimespec(now.Nano() + int64(wait))}, nil)
	}
	if err != nil {
		panic(fmt.Sprintf("loadgen: timer of our own: %v", err))
	}
	p.armed = p.until
}

// wake ends a wait, or the next one.
func (p *poller) wake() {
	// Each write is an event; the sum of all never reaches the bound of an eventfd.
	_, _ = unix.Write(p.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

// serve lets the sockets work for which something has come.
func (p *poller) serve() {
	for _, e := range p.events[:p.ready] {
		if e.Fd >= 0 && p.sockets[e.Fd].round == e.Pad && p.sockets[e.Fd].socket != nil {
			p.sockets[e.Fd].socket.notice(e.Events)
		}
	}
	p.ready = 0
}

// add watches a socket, until its descriptor is closed.
func (p *poller) add(s *socket) error {
	if len(p.free) == 0 {
		p.free = append(p.free, int32(len(p.sockets)))
		p.sockets = append(p.sockets, numbered{})
	}
	last := len(p.free) - 1
	number := p.free[last]
	round := p.sockets[number].round
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{Events: socketEvents, Fd: number, Pad: round}); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	p.free = p.free[:last]
	p.sockets[number].socket = s
	s.number = number
	return nil
}

// remove forgets a socket whose descriptor is closed.
func (p *poller) remove(s *socket) {
	p.sockets[s.number] = numbered{round: p.sockets[s.number].round + 1}
	p.free = append(p.free, s.number)
}

func (p *poller) close() {
	if p.file != nil {
		_ = p.file.Close()
	} else if p.epoll >= 0 {
		_ = unix.Close(p.epoll)
	}
	for _, fd := range []int{p.timer, p.bell} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}
