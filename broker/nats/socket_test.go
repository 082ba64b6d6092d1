package nats

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overtake/broker"
)

// Another process than the one that has the folder sees its queues, and leaves
// them as they are.
func TestFolderInUseIsReached(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, socketName)
	if err := os.WriteFile(socket, nil, 0o600); err != nil { // of a process that was killed
		t.Fatal(err)
	}
	b := startBroker(t, dir)
	q := b.open(t, QueueConfig{})
	publish(t, q, "batch", "m")
	if _, err := StartServer(ServerConfig{Dir: dir, Logger: testLog(t)}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second server: %v, want ErrInUse", err)
	}
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v; want it for its owner", info, err)
	}

	conn, err := Connect(ConnConfig{Dir: dir, Logger: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	seen, err := conn.Queue(q.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if peeked, err := seen.Peek(testContext(t), "batch", 10); err != nil || len(peeked) != 1 || peeked[0].ID != "m" {
		t.Errorf("peeked at %+v, %v; want m", peeked, err)
	}
	absent, err := conn.Queue(QueueConfig{Name: "absent", Classes: []string{"batch"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := absent.Inspect(testContext(t)); err == nil || !strings.Contains(err.Error(), "a gateway makes it") {
		t.Errorf("a queue that is not there: %v", err)
	}
	// The server ends although somebody is connected.
	b.stop(t)
	if _, err := seen.Inspect(testContext(t)); !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("after the end of the server: %v, want ErrUnavailable", err)
	}
	if err := conn.Close(testContext(t)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	b.start(t)
}

// A folder whose name is too long for a socket is as good as any for its owner.
func TestFolderWithLongName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	b := startBroker(t, dir)
	publish(t, b.open(t, QueueConfig{}), "batch", "m")
	if _, err := Connect(ConnConfig{Dir: dir, Logger: testLog(t)}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("it was reached from outside: %v", err)
	}
}
