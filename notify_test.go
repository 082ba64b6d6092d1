package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// A service manager that reads nothing does not hold the process up.
func TestNotifyNobodyReads(t *testing.T) {
	dir, err := os.MkdirTemp("", "notify") // a short path, as sockets have
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	address := filepath.Join(dir, "s")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for err == nil { // until its queue is full
		err = sendState(address, notifyReloading)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the end is %v, want that of the time", err)
	}
}
