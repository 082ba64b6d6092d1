//go:build e2e

package main

import (
	"bytes"
	"container/heap"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"overtake/loadgen/completion"
)

// law is a path of the known server: how long it takes for the answers there, and
// what an open-loop client has to find.
type law struct {
	path string
	// delay is for the request of this number, counted from 0 for each query, that
	// comes at this time since the server's start.
	delay func(number int, at time.Duration) time.Duration
	// quantile is the latency that the share p of requests does not exceed.
	quantile func(p float64) time.Duration
}

const (
	fixedDelay = 200 * time.Millisecond

	// For stallTime at the begin of every stallEvery, nothing is answered.
	stallEvery = 10 * time.Second
	stallTime  = time.Second
	stallDelay = 40 * time.Millisecond

	exponentialMean = 200 * time.Millisecond
)

var laws = map[string]law{
	"fixed": {
		path:     "/fixed",
		delay:    func(int, time.Duration) time.Duration { return fixedDelay },
		quantile: func(float64) time.Duration { return fixedDelay },
	},
	// Arrivals that don't wait for answers are spread evenly over a period: 9 of 10
	// take stallDelay. The others come at any moment of a stall alike, and take the
	// rest of it on top, which lies evenly between 0 and stallTime.
	"stall": {
		path: "/stall",
		delay: func(_ int, at time.Duration) time.Duration {
			return max(stallTime-at%stallEvery, 0) + stallDelay
		},
		quantile: func(p float64) time.Duration {
			stalled := float64(stallTime) / float64(stallEvery)
			return stallDelay + time.Duration(max(p-(1-stalled), 0)/stalled*float64(stallTime))
		},
	},
	"mixture": {
		path:     "/mixture",
		delay:    func(number int, _ time.Duration) time.Duration { return mixture(spread(number, 1000)) },
		quantile: mixture,
	},
	"exponential": {
		path:     "/exponential",
		delay:    func(number int, _ time.Duration) time.Duration { return exponential(spread(number, 10_000)) },
		quantile: exponential,
	},
	// Of the tests that ask for something else than the latency.
	"soon": {
		path:     "/soon",
		delay:    func(int, time.Duration) time.Duration { return 5 * time.Millisecond },
		quantile: func(float64) time.Duration { return 5 * time.Millisecond },
	},
}

func mixture(p float64) time.Duration {
	switch {
	case p <= 0.70:
		return 50 * time.Millisecond
	case p <= 0.95:
		return 100 * time.Millisecond
	}
	return 500 * time.Millisecond
}

func exponential(p float64) time.Duration {
	return time.Duration(-math.Log1p(-p) * float64(exponentialMean))
}

// spread gives each of n requests in a row another one of n shares, which lie evenly
// between 0 and 1, so that the quantiles of their delays are those of the law and no
// sample's. Neither n has a factor in common with the stride.
func spread(number, n int) float64 {
	return (float64(number*6181%n) + 0.5) / float64(n)
}

// serverNotes are what the known server says of itself at /notes, since it was asked
// for the last time.
type serverNotes struct {
	// Late is by how much answers came after they were due: the median, and what
	// one in a thousand exceeds.
	LateP50  time.Duration `json:"late_p50"`
	LateP999 time.Duration `json:"late_p999"`
	Seen     []seenRequest `json:"seen"` // at /replay
}

// seenRequest is a request with an ID, as it came.
type seenRequest struct {
	ID     string        `json:"id"`
	Target string        `json:"target"`
	At     time.Duration `json:"at"` // since the start of the server
}

// knownServer answers when its laws say so. It is one thread on epoll, whose answers a
// timer of the kernel wakes: Go's timers may be a millisecond late.
type knownServer struct {
	bodyServer // for the sockets
	timer      int
	began      time.Time
	numbers    map[string]int // requests so far, by target
	due        dueAnswers
	waiting    map[int32]*dueAnswer // by connection
	late       []time.Duration
	seen       []seenRequest
}

type dueAnswer struct {
	at   time.Time
	fd   int32
	gone bool // the client has closed the connection
}

type dueAnswers []*dueAnswer

func (d dueAnswers) Len() int           { return len(d) }
func (d dueAnswers) Less(i, j int) bool { return d[i].at.Before(d[j].at) }
func (d dueAnswers) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *dueAnswers) Push(x any)        { *d = append(*d, x.(*dueAnswer)) }
func (d *dueAnswers) Pop() any {
	old := *d
	last := old[len(old)-1]
	*d = old[:len(old)-1]
	return last
}

// startKnown runs the known server in a process of its own, on any processor or on the
// one given, and returns its URL.
func startKnown(t *testing.T, cpu ...string) (url string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := []string{self, "-test.run=^TestE2ELoadgenKnownAnswers$"}
	if len(cpu) > 0 {
		command = append([]string{"taskset", "-c", cpu[0]}, command...)
	}
	p := startTool(t, []string{childOfTest + "=yes"}, command[0], command[1:]...)
	return "http://127.0.0.1:" + p.find(t, `port (\d+)`)
}

// notes asks the known server for its notes and has it begin new ones.
func notes(t *testing.T, url string) (n serverNotes) {
	t.Helper()
	_, body := get(t, url+"/notes")
	if err := json.Unmarshal([]byte(body), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// serveKnown prints its port and serves until the process is killed.
func serveKnown() error {
	s := &knownServer{
		bodyServer: bodyServer{unsent: make(map[int32][]byte)},
		began:      time.Now(), numbers: make(map[string]int), waiting: make(map[int32]*dueAnswer),
	}
	port, err := s.listen()
	if err != nil {
		return err
	}
	if s.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK); err != nil {
		return err
	}
	if err := s.watch(unix.EPOLL_CTL_ADD, int32(s.timer), unix.EPOLLIN); err != nil {
		return err
	}
	fmt.Printf("port %d\n", port)
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(s.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if err := s.answerDue(); err != nil {
			return err
		}
		for _, e := range events[:max(n, 0)] {
			if err := s.handle(e.Fd); err != nil {
				return err
			}
		}
		if err := s.setTimer(); err != nil {
			return err
		}
	}
}

func (s *knownServer) handle(fd int32) error {
	switch unsent := s.unsent[fd]; {
	case fd == int32(s.timer):
		_, _ = unix.Read(s.timer, s.in[:8]) // how often it fired does not matter
		return nil
	case fd == int32(s.listener):
		return s.accept()
	case len(unsent) > 0:
		return s.send(fd, unsent)
	}
	return s.receive(fd)
}

// receive reads a request, which comes at once, and finds out when its answer is due.
func (s *knownServer) receive(fd int32) error {
	n, err := unix.Read(int(fd), s.in[:])
	if err != nil || n == 0 {
		if d := s.waiting[fd]; d != nil {
			d.gone = true
			delete(s.waiting, fd)
		}
		return unix.Close(int(fd))
	}
	now := time.Now()
	request := string(s.in[:n])
	target, _, _ := strings.Cut(strings.TrimPrefix(request, "GET "), " ")
	if !strings.HasSuffix(request, "\r\n\r\n") || s.waiting[fd] != nil {
		return fmt.Errorf("not one whole request after another: %q", request)
	}
	path, _, _ := strings.Cut(strings.TrimPrefix(target, "/"), "?")
	l, ok := laws[path]
	switch {
	case ok:
		d := &dueAnswer{at: now.Add(l.delay(s.numbers[target], now.Sub(s.began))), fd: fd}
		s.numbers[target]++
		s.waiting[fd] = d
		heap.Push(&s.due, d)
		return nil
	case path == "notes":
		return s.send(fd, s.notes())
	case strings.HasPrefix(path, "replay/"):
		s.seen = append(s.seen, seenRequest{ID: headerOf(request, completion.HeaderID), Target: target, At: now.Sub(s.began)})
	}
	return s.send(fd, answerOf([]byte("now")))
}

func headerOf(request, name string) string {
	for line := range strings.SplitSeq(request, "\r\n") {
		if field, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(field, name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func answerOf(body []byte) []byte {
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", len(body))
	return append([]byte(head), body...)
}

// answerDue sends what is due.
func (s *knownServer) answerDue() error {
	for len(s.due) > 0 && !s.due[0].at.After(time.Now()) {
		d := heap.Pop(&s.due).(*dueAnswer)
		if d.gone {
			continue
		}
		delete(s.waiting, d.fd)
		if err := s.send(d.fd, answerOf([]byte("in time"))); err != nil {
			return err
		}
		s.late = append(s.late, time.Since(d.at))
	}
	return nil
}

// setTimer has the timer fire when the next answer is due.
func (s *knownServer) setTimer() error {
	if len(s.due) == 0 {
		return nil
	}
	wait := max(time.Until(s.due[0].at), 1) // 0 would turn it off
	return unix.TimerfdSettime(s.timer, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(wait))}, nil)
}

func (s *knownServer) notes() []byte {
	n := serverNotes{Seen: s.seen}
	if slices.Sort(s.late); len(s.late) > 0 {
		n.LateP50, n.LateP999 = s.late[len(s.late)/2], s.late[len(s.late)*999/1000]
	}
	s.late, s.seen = nil, nil
	body, err := json.Marshal(n)
	if err != nil {
		return answerOf(nil) // it can always be marshaled
	}
	return answerOf(bytes.TrimSpace(body))
}
