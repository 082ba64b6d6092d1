package freeport_test

import (
	"fmt"
	"net"
	"slices"
	"testing"

	"overtake/broker/brokertest/freeport"
)

func TestChoose(t *testing.T) {
	ports, err := freeport.Choose(100)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(ports)
	if n := len(slices.Compact(slices.Clone(ports))); n != 100 {
		t.Errorf("got %d different ports, want 100", n)
	}
	for _, port := range ports {
		if port < 10_000 || port >= 32_768 {
			t.Errorf("got port %d, want one from 10000 to 32767", port)
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Error(err)
			continue
		}
		defer func() { _ = l.Close() }()
	}
}

func TestChooseTooMany(t *testing.T) {
	if ports, err := freeport.Choose(1_001); err == nil {
		t.Errorf("got %d ports, want an error", len(ports))
	}
}
