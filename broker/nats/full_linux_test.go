package nats

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"overtake/broker"
)

func init() { children["full"] = childFull }

// childFull runs a server on a disk of its own, of 4 MiB, fills that, and says what
// it met. The disk is in a mount namespace that ends with the process.
func childFull(dir string) {
	exitOn(unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, q := childBroker(dir)
	stored := 0
	var err error
	for err == nil && stored < 1000 {
		if err = q.Publisher().Publish(ctx, &broker.Message{ID: fmt.Sprint("m", stored), Class: "batch", Body: make([]byte, 32<<10)}); err == nil {
			stored++
		}
	}
	fmt.Println("unavailable", errors.Is(err, broker.ErrUnavailable), "full", errors.Is(err, broker.ErrFull), err)
	exitOn(q.conn.Close(ctx))
	exitOn(s.Shutdown(ctx))

	exitOn(unix.Mount("", dir, "", unix.MS_REMOUNT, "size=64m")) // somebody makes room
	_, q = childBroker(dir)
	c := q.Consumer()
	for range stored {
		d, err := c.Next(ctx, "batch")
		exitOn(err)
		exitOn(d.Done(ctx))
	}
	exitOn(q.Publisher().Publish(ctx, &broker.Message{ID: "after", Class: "batch"}))
	fmt.Println("all", stored, "are there")
}

// What does not fit on the disk is refused, and what was confirmed before is there
// when there is room again.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	c := startChildWith(t, "full", t.TempDir(), func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		if id := os.Getuid(); id != 0 { // who is root in a namespace of its own may mount there
			cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: id, Size: 1}}
		}
	})
	if line, _ := c.read(); !strings.HasPrefix(line, "unavailable true full false") {
		t.Errorf("on a full disk: %s", line)
	}
	if line, _ := c.read(); !strings.HasSuffix(line, "are there") {
		t.Errorf("with room again: %q", line)
	} else {
		t.Log(line)
	}
}
