package nats

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"overtake/broker"
)

func init() { children["full"] = childFull }

// childFull runs a server on a disk of its own, of 32 MiB, fills that, makes room, and
// says what it met. The disk is in a mount namespace that ends with the process.
func childFull(dir string) {
	exitOn(unix.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, q := childBroker(dir)
	p := q.Publisher()
	message := func(id, class string) *broker.Message {
		return &broker.Message{ID: id, Class: class, Body: make([]byte, 32<<10)}
	}
	exitOn(p.Publish(ctx, message("first", "interactive")))
	exitOn(os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 28<<20), 0o600))
	stored := 0
	var err error
	for err == nil && stored < 1000 {
		if err = p.Publish(ctx, message(fmt.Sprint("m", stored), "batch")); err == nil {
			stored++
		}
	}
	fmt.Println("unavailable", errors.Is(err, broker.ErrUnavailable), "full", errors.Is(err, broker.ErrFull), err)

	began := time.Now()
	for range 100 {
		err = p.Publish(ctx, message("again", "batch"))
	}
	fmt.Println("unavailable", errors.Is(err, broker.ErrUnavailable), "quick", time.Since(began) < askAfter, err)
	fmt.Println("ping", q.Ping(ctx))

	exitOn(os.Remove(filepath.Join(dir, "filler"))) // somebody makes room
	for q.Ping(ctx) != nil {
		<-time.After(time.Millisecond) // it is asked again
	}
	exitOn(p.Publish(ctx, message("after", "batch")))
	c := q.Consumer()
	for range stored + 1 {
		d, err := c.Next(ctx, "batch")
		exitOn(err)
		exitOn(d.Done(ctx))
	}
	d, err := c.Next(ctx, "interactive")
	exitOn(err)
	exitOn(d.Done(ctx))
	exitOn(c.Close(ctx))
	exitOn(q.conn.Close(ctx))
	exitOn(s.Shutdown(ctx))
	fmt.Println("all", stored, "are there")
}

// A disk that is full is said at once after the first publish, by publishes and by
// Ping, and once there is room all goes on, with what was confirmed.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	c := startChildWith(t, "full", t.TempDir(), func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		if id := os.Getuid(); id != 0 { // who is root in a namespace of its own may mount there
			cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: id, Size: 1}}
		}
	})
	for _, want := range []string{
		"unavailable true full false", "unavailable true quick true", "ping nats: stream jobs_batch takes no messages", "all ",
	} {
		line, _ := c.read()
		if !strings.HasPrefix(line, want) {
			t.Errorf("it said %q, want %q", line, want)
		}
		t.Log(line)
	}
}
