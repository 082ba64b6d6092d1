package loadgen

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// An answer that begins before anything was asked ends the connection at once: its
// rest would be taken for the answer to the next request.
func TestUnaskedAnswerEndsTheConnection(t *testing.T) {
	client, server := net.Pipe()
	c := &conn{pool: &pool{}, nc: client}
	ended := make(chan struct{})
	go func() { defer close(ended); c.read() }()
	defer func() { _ = server.Close(); <-ended }()
	if err := server.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Write([]byte("HTTP/1.1 200 OK\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection goes on: %v", err)
	}
}
