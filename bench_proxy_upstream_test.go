//go:build e2e

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// startUpstream runs what the proxies stand in front of, in a process of its own.
func startUpstream(t *testing.T) (address string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := startTool(t, []string{childOfTest + "=yes"}, "taskset", "-c", otherCPU, self, "-test.run=^"+t.Name()+"$")
	return "127.0.0.1:" + p.find(t, `port (\d+)`)
}

// bodyServer answers requests for bodies. It has to cost less than any proxy, or they
// would all wait for it: one thread, and three system calls for a request.
type bodyServer struct {
	epoll, listener int
	answers         map[string][]byte // by path
	unsent          map[int32][]byte  // by connection
	in              [8 << 10]byte
}

// serveBodies prints its port and serves until the process is killed.
func serveBodies() error {
	s := &bodyServer{answers: make(map[string][]byte), unsent: make(map[int32][]byte)}
	for _, size := range proxyBodies {
		head := fmt.Sprintf("HTTP/1.1 200 OK\r\nServer: bodies\r\nDate: Fri, 20 Nov 2026 10:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", size)
		s.answers[fmt.Sprintf("/bodies/%d", size)] = append([]byte(head), bytes.Repeat([]byte("x"), size)...)
	}
	port, err := s.listen()
	if err != nil {
		return err
	}
	fmt.Printf("port %d\n", port)
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(s.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		for _, e := range events[:max(n, 0)] {
			switch unsent := s.unsent[e.Fd]; {
			case e.Fd == int32(s.listener):
				err = s.accept()
			case len(unsent) > 0:
				err = s.send(e.Fd, unsent)
			default:
				err = s.answer(e.Fd)
			}
			if err != nil {
				return err
			}
		}
	}
}

func (s *bodyServer) listen() (port int, err error) {
	if s.epoll, err = unix.EpollCreate1(0); err != nil {
		return 0, err
	}
	if s.listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0); err != nil {
		return 0, err
	}
	if err = unix.Bind(s.listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	if err = unix.Listen(s.listener, 4096); err != nil {
		return 0, err
	}
	name, err := unix.Getsockname(s.listener)
	if err != nil {
		return 0, err
	}
	return name.(*unix.SockaddrInet4).Port, s.watch(unix.EPOLL_CTL_ADD, int32(s.listener), unix.EPOLLIN)
}

func (s *bodyServer) watch(op int, fd int32, events uint32) error {
	return unix.EpollCtl(s.epoll, op, int(fd), &unix.EpollEvent{Fd: fd, Events: events})
}

func (s *bodyServer) accept() error {
	fd, _, err := unix.Accept4(s.listener, unix.SOCK_NONBLOCK)
	if err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	return s.watch(unix.EPOLL_CTL_ADD, int32(fd), unix.EPOLLIN)
}

// answer reads a request, which comes at once, and answers it.
func (s *bodyServer) answer(fd int32) error {
	n, err := unix.Read(int(fd), s.in[:])
	if err != nil || n == 0 {
		return unix.Close(int(fd)) // the proxy's matter
	}
	request := string(s.in[:n])
	path, _, _ := strings.Cut(strings.TrimPrefix(request, "GET "), " ")
	answer := s.answers[path]
	if answer == nil || !strings.HasSuffix(request, "\r\n\r\n") {
		return fmt.Errorf("not one whole request for a body: %q", request)
	}
	return s.send(fd, answer)
}

// send sends what there is room for, and the rest when there is room again.
func (s *bodyServer) send(fd int32, rest []byte) error {
	waited := len(s.unsent[fd]) > 0
	n, err := unix.Write(int(fd), rest)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		delete(s.unsent, fd)
		return unix.Close(int(fd))
	}
	rest = rest[max(n, 0):]
	switch {
	case len(rest) > 0 && !waited:
		err = s.watch(unix.EPOLL_CTL_MOD, fd, unix.EPOLLOUT)
	case len(rest) == 0 && waited:
		err = s.watch(unix.EPOLL_CTL_MOD, fd, unix.EPOLLIN)
	default:
		err = nil
	}
	if len(rest) == 0 {
		delete(s.unsent, fd)
	} else {
		s.unsent[fd] = rest
	}
	return err
}
