package loadgen

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pacer sleeps until given moments. Timers of the Go runtime fire up to a
// millisecond late, because an idle runtime waits in epoll_wait, which counts
// in milliseconds; a timerfd in the same epoll set wakes it to the microsecond.
// It is not safe for concurrent use.
type pacer struct {
	ctx   context.Context
	file  *os.File
	raw   syscall.RawConn
	stop  func() bool
	until time.Time // of the sleep that is going on
	armed bool
	err   error
	ready func(fd uintptr) bool
}

// newPacer returns a pacer whose sleeps end with ctx.
func newPacer(ctx context.Context) (*pacer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("loadgen: no timer for a schedule: %w; allow more open files (ulimit -n)", err)
	}
	p := &pacer{ctx: ctx, file: os.NewFile(uintptr(fd), "timerfd")}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		_ = p.file.Close()
		return nil, fmt.Errorf("loadgen: timer of a schedule: %w", err)
	}
	p.ready = p.step
	p.stop = context.AfterFunc(ctx, func() { _ = p.file.SetReadDeadline(time.Unix(1, 0)) })
	return p, nil
}

// sleepUntil reports false if ctx ended first.
func (p *pacer) sleepUntil(t time.Time) bool {
	if p.ctx.Err() != nil {
		return false
	}
	p.until, p.armed = t, false
	return p.raw.Read(p.ready) == nil && p.err == nil
}

// step is called before each wait for the timer. It never reads the timer:
// setting it anew forgets that it has expired.
func (p *pacer) step(fd uintptr) (done bool) {
	wait := time.Until(p.until)
	if wait <= 0 {
		return true
	}
	if p.armed {
		return false // woken for nothing
	}
	p.armed = true
	// Absolute, so that time lost before the system call is not added. The clock
	// is read after wait was, so that the timer is never early.
	var now unix.Timespec
	if p.err = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); p.err != nil {
		return true
	}
	at := unix.NsecToTimespec(now.Nano() + int64(wait))
	p.err = unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME, &unix.ItimerSpec{Value: at}, nil)
	return p.err != nil
}

func (p *pacer) close() {
	p.stop()
	_ = p.file.Close()
}
