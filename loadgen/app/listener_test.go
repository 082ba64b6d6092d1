package app

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
)

// failing fails with each of errs before it accepts.
type failing struct {
	net.Listener
	errs []error
}

func (f *failing) Accept() (net.Conn, error) {
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", err)}
	}
	return f.Listener.Accept()
}

// An app that ran out of files for a moment answers again after it.
func TestAcceptsAgain(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := New(Config{})
	served := make(chan error, 1)
	go func() { served <- a.Serve(&failing{ln, []error{syscall.EMFILE, syscall.ECONNABORTED, syscall.ENFILE}}) }()
	resp, err := http.Get("http://" + ln.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if err := errors.Join(a.Shutdown(t.Context()), <-served); err != nil {
		t.Error(err)
	}
}

// What does not go away is an error, and closing ends the wait.
func TestAcceptEnds(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := Persistent(&failing{ln, []error{syscall.EINVAL}})
	if _, err := p.Accept(); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("error %v", err)
	}
	many := make([]error, 1000)
	for i := range many {
		many[i] = syscall.EMFILE
	}
	p = Persistent(&failing{ln, many})
	accepted := make(chan error, 1)
	go func() { _, err := p.Accept(); accepted <- err }()
	_ = p.Close()
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
