package qdisc

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// farHost is the role of a process that is the host at the far end of the link.
const farHost = "far-host"

// beFarHost takes the far end when a line of standard input says that it is there,
// and counts what one TCP connection brings.
func beFarHost() int {
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return 1
	}
	if err := serveFar(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func serveFar() error {
	link, err := netlink.LinkByName(far)
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(farIPv4 + "/24")
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", farIPv4+":7")
	if err != nil {
		return err
	}
	fmt.Println("listening")
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, conn)
	fmt.Println(n)
	return err
}

// startFarHost gives the far end of the link to a host of its own. said returns the
// next thing that it says.
func startFarHost(t *testing.T) (said func() string) {
	t.Helper()
	cmd := namespaced(t, farHost)
	stdin, err := cmd.StdinPipe()
	try(t, err)
	stdout, err := cmd.StdoutPipe()
	try(t, err)
	try(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	link, err := netlink.LinkByName(far)
	try(t, err)
	try(t, netlink.LinkSetNsPid(link, cmd.Process.Pid))
	_, err = fmt.Fprintln(stdin)
	try(t, err)
	lines := bufio.NewScanner(stdout)
	return func() string {
		if !lines.Scan() {
			t.Fatalf("the far host said no more: %v", lines.Err())
		}
		return lines.Text()
	}
}

// Applying what is there already while a transfer runs drops no packet of it and
// resets no counter.
func TestApplyAgainDisturbsNoTransfer(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	newLink(t)
	said := startFarHost(t)
	if got := said(); got != "listening" {
		t.Fatal(got)
	}
	ours := Settings{Classes: three(), Rate: 12500000}
	_, err := Apply(t.Context(), near, ours)
	try(t, err)
	dialer := net.Dialer{Timeout: patience, Control: func(_, _ string, c syscall.RawConn) (err error) {
		_ = c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS, 1<<2) })
		return err
	}}
	conn, err := dialer.DialContext(t.Context(), "tcp", farIPv4+":7")
	try(t, err)
	defer conn.Close()
	const block, blocks = 64 << 10, 256
	var before Counters
	for i := range blocks { // Write blocks while the queue is full: 16 MiB take more than a second
		_, err := conn.Write(make([]byte, block))
		try(t, err)
		if i%8 != 0 {
			continue
		}
		change, err := Apply(t.Context(), near, ours)
		if err != nil || change.Build || change.Clear {
			t.Fatalf("%q, %v", change.Done(), err)
		}
		now := *mustRead(t, near).Land(ours.Classes)[2].Counters
		if now.Packets < before.Packets || now.Bytes < before.Bytes || now.Drops != 0 {
			t.Fatalf("the counters went from %+v to %+v", before, now)
		}
		before = now
	}
	if before.Bytes == 0 {
		t.Error("the transfer did not go through the class's branch")
	}
	try(t, conn.(*net.TCPConn).CloseWrite())
	if got, want := said(), fmt.Sprint(block*blocks); got != want {
		t.Errorf("%s bytes came, want %s", got, want)
	}
}
