package loadgen

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"
)

// An answer that begins before anything was asked ends the connection at once: its
// rest would be taken for the answer to the next request.
func TestUnaskedAnswerEndsTheConnection(t *testing.T) {
	ended, answered := make(chan error, 1), make(chan struct{})
	s := openSender(t, serveRaw(t, func(nc net.Conn, in *bufio.Reader) {
		if takeRequest(in) == nil { // that of the probe
			return
		}
		_, _ = io.WriteString(nc, okAnswer)
		<-answered
		_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\n")
		_, err := in.ReadByte()
		ended <- err
	}))
	s.send(time.Minute)
	if o := <-s.outcomes; o.Kind != OutcomeOK {
		t.Fatalf("outcome %+v", o)
	}
	close(answered)
	eventually(t, "the connection ends", func() bool { return s.open() == 0 })
	if err := <-ended; err == nil {
		t.Error("the connection goes on")
	}
}
