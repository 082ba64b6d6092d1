package socket

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// kernel says for each option how a TCP socket is given it and asked for it. The
// family is that of the socket, AF_INET or AF_INET6.
var kernel = [optionCount]struct {
	set func(fd, family int, v value) error
	get func(fd, family int) (value, error)
}{
	dscp:          {setDSCP, getDSCP},
	priority:      {setPriority, getPriority},
	mark:          {setMark, getMark},
	congestion:    {setCongestion, getCongestion},
	notSentLowat:  {setNotSentLowat, getNotSentLowat},
	maxPacingRate: {setMaxPacingRate, getMaxPacingRate},
	userTimeout:   {setUserTimeout, getUserTimeout},
}

func set(o option, fd, family int, v value) error { return kernel[o].set(fd, family, v) }

// tcpFamily returns the family of a TCP socket, and false for any other socket,
// such as a unix one.
func tcpFamily(fd int) (family int, ok bool) {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	return family, err == nil && (family == unix.AF_INET || family == unix.AF_INET6)
}

// trial is a socket of each family that the system has, never connected.
type trial struct {
	fds        []int
	families   []int
	congestion string // what sockets have by themselves
}

func newTrial() (*trial, error) {
	t := &trial{}
	var errs []error
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
		if err != nil {
			errs = append(errs, fmt.Errorf("socket: open one to try options on: %w", err))
			continue
		}
		t.fds, t.families = append(t.fds, fd), append(t.families, family)
	}
	if len(t.fds) == 0 {
		return nil, errors.Join(errs...)
	}
	own, err := getCongestion(t.fds[0], t.families[0])
	if err != nil {
		t.close()
		return nil, fmt.Errorf("socket: read the system's congestion control: %w", err)
	}
	t.congestion = own.name
	return t, nil
}

func (t *trial) close() {
	for _, fd := range t.fds {
		_ = unix.Close(fd)
	}
}

// set sets an option on all sockets.
func (t *trial) set(o option, v value) error {
	for i, fd := range t.fds {
		if err := set(o, fd, t.families[i], v); err != nil {
			return err
		}
	}
	return nil
}

// is reads an option back from all sockets.
func (t *trial) is(o option, want value) error {
	for i, fd := range t.fds {
		got, err := kernel[o].get(fd, t.families[i])
		if err != nil {
			return fmt.Errorf("read back: %w", err)
		}
		if !got.is(want) {
			return fmt.Errorf("%w: set to %s, reads back as %s", errIgnored, want, got)
		}
	}
	return nil
}

// errIgnored is an option that was taken without effect.
var errIgnored = errors.New("ignored")

// remedy says what to do about a refused option.
func remedy(o option, v value, err error) string {
	switch {
	case o == congestion && errors.Is(err, unix.ENOENT):
		return fmt.Sprintf("modprobe tcp_%s, or choose one of: %s", v, strings.Join(controls("available"), ", "))
	case o == congestion && errors.Is(err, unix.EPERM):
		return fmt.Sprintf("sysctl -w net.ipv4.tcp_allowed_congestion_control=%q, or give the process CAP_NET_ADMIN", strings.Join(append(controls("allowed"), v.name), " "))
	case o == priority && errors.Is(err, unix.EPERM):
		return "give the process CAP_NET_ADMIN, or choose a priority from 0 to 6"
	case errors.Is(err, unix.EPERM):
		return "give the process CAP_NET_ADMIN, or remove " + o.String() + " from the classes"
	case errors.Is(err, unix.EINVAL):
		return "choose another value"
	}
	return "sockets of this kind do not have the option in this kernel: remove " + o.String() + " from the classes"
}
