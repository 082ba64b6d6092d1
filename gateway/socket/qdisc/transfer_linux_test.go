package qdisc

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
)

// Roles of a process that is the host at the far end of the link.
const (
	farCounter = "far-counter" // counts the bytes of one TCP connection
	farWitness = "far-witness" // tells in which order UDP packets came
)

// beFarHost takes the far end when a line of standard input says that it is there.
func beFarHost(serve func() error) int {
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return 1
	}
	link, err := netlink.LinkByName(far)
	if err == nil {
		err = netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(farIPv4), Mask: net.CIDRMask(24, 32)}})
	}
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	if err == nil {
		err = serve()
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func countBytes() error {
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

// witnessOrder answers the first packet, and prints the first bytes of the
// flood and the urgent packet that follow.
func witnessOrder() error {
	conn, err := net.ListenPacket("udp", farIPv4+":7")
	if err != nil {
		return err
	}
	fmt.Println("listening")
	packet := make([]byte, 2048)
	_, from, err := conn.ReadFrom(packet)
	if err != nil {
		return err
	}
	if _, err := conn.WriteTo(packet[:1], from); err != nil {
		return err
	}
	var order []byte
	for len(order) < flood+1 {
		if _, _, err := conn.ReadFrom(packet); err != nil {
			return err
		}
		order = append(order, packet[0])
	}
	fmt.Println(string(order))
	return nil
}

// startFarHost gives the far end of the link to a host of its own, and waits until
// it listens. said returns the next thing that it says.
func startFarHost(t *testing.T, role string) (said func() string) {
	t.Helper()
	cmd := namespaced(t, role)
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
	said = func() string {
		if !lines.Scan() {
			t.Fatalf("the far host said no more: %v", lines.Err())
		}
		return lines.Text()
	}
	if got := said(); got != "listening" {
		t.Fatal(got)
	}
	return said
}

// flood is how many packets of the least urgent class are there first: 3.4 s of a
// link of 1 Mbit/s.
const flood = 300

// A packet of the most urgent class is sent before those of the least urgent that
// came earlier.
func TestUrgentOvertakes(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	newLink(t)
	said := startFarHost(t, farWitness)
	_, err := Apply(t.Context(), near, Settings{Classes: three(), Rate: 125000})
	try(t, err)
	urgent := dialMarked(t, "udp", farIPv4, marksAsSet(three(), 0))
	_, err = urgent.Write([]byte("?"))
	try(t, err)
	_, err = urgent.Read(make([]byte, 1)) // the far host's hardware address is known now
	try(t, err)
	const sockets = 10 // so that none of them has to wait for room
	payload := bytes.Repeat([]byte("b"), 1400)
	for range sockets {
		conn := dialMarked(t, "udp", farIPv4, marksAsSet(three(), 2))
		for range flood / sockets {
			_, err := conn.Write(payload)
			try(t, err)
		}
	}
	_, err = urgent.Write([]byte("a"))
	try(t, err)
	order := said()
	if at := strings.IndexByte(order, 'a'); at < 0 || at == flood || len(order) != flood+1 {
		t.Errorf("the urgent packet came at %d of %d: %s", at, len(order), order)
	}
}

// Applying what is there already while a transfer runs drops no packet of it and
// resets no counter.
func TestApplyAgainDisturbsNoTransfer(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	newLink(t)
	said := startFarHost(t, farCounter)
	ours := Settings{Classes: three(), Rate: 12500000}
	_, err := Apply(t.Context(), near, ours)
	try(t, err)
	conn := dialMarked(t, "tcp", farIPv4, marksAsSet(three(), 2))
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
