package qdisc

import (
	"context"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

const (
	// insideNamespace is set in processes that have a network namespace to
	// themselves; its value says what they are there for.
	insideNamespace = "OVERTAKE_QDISC_TEST_NAMESPACE"
	// insideUser is set if they are root in a user namespace only.
	insideUser = "OVERTAKE_QDISC_TEST_USER"
)

const patience = time.Minute

func TestMain(m *testing.M) {
	switch os.Getenv(insideNamespace) {
	case farCounter:
		os.Exit(beFarHost(countBytes))
	case farWitness:
		os.Exit(beFarHost(witnessOrder))
	case applier:
		os.Exit(beApplier())
	}
	goleak.VerifyTestMain(m)
}

// inNamespace runs the test that calls it again in a process with a new network
// namespace, which ends with it. It returns true there, and false where that was
// done.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideNamespace) == t.Name() {
		return true
	}
	cmd := namespaced(t, t.Name(), "-test.run=^"+t.Name()+"$", "-test.v")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in its namespace: %v\n%s", err, out)
	}
	return false
}

// namespaced is this program in a network namespace of its own, as root there: in
// a user namespace, if it isn't root here.
func namespaced(t *testing.T, role string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), insideNamespace+"="+role)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if uid := os.Geteuid(); uid != 0 {
		cmd.Env = append(cmd.Env, insideUser+"=1")
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
	}
	return cmd
}

// The two ends of the link that tests use. The far one is in the same namespace
// unless a far host took it; nothing is configured there, so that packets to
// its addresses go over the link.
const (
	near, far         = "near0", "far0"
	nearIPv4, farIPv4 = "10.77.0.1", "10.77.0.2"
	nearIPv6, farIPv6 = "fd77::1", "fd77::2"
)

// newLink makes the link, near being up with its addresses.
func newLink(t *testing.T) netlink.Link {
	t.Helper()
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: near}, PeerName: far}
	try(t, netlink.LinkAdd(veth))
	configure(t, near, nearIPv4, nearIPv6)
	link, err := netlink.LinkByName(near)
	try(t, err)
	return link
}

// configure gives a device its addresses and brings it up.
func configure(t testing.TB, device string, ipv4, ipv6 string) {
	t.Helper()
	link, err := netlink.LinkByName(device)
	try(t, err)
	for _, text := range []string{ipv4 + "/24", ipv6 + "/64"} {
		addr, err := netlink.ParseAddr(text)
		try(t, err)
		addr.Flags = unix.IFA_F_NODAD
		try(t, netlink.AddrAdd(link, addr))
	}
	try(t, netlink.LinkSetUp(link))
}

// knowFar brings up the far end and tells near its hardware address, so that
// packets are sent without anybody answering there.
func knowFar(t *testing.T) {
	t.Helper()
	link, err := netlink.LinkByName(near)
	try(t, err)
	peer, err := netlink.LinkByName(far)
	try(t, err)
	try(t, netlink.LinkSetUp(peer))
	for _, ip := range []string{farIPv4, farIPv6} {
		try(t, netlink.NeighAdd(&netlink.Neigh{
			LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.ParseIP(ip), HardwareAddr: peer.Attrs().HardwareAddr,
		}))
	}
}

func try(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mustRead returns the queues of a device.
func mustRead(t *testing.T, device string) Tree {
	t.Helper()
	tree, err := Read(device)
	try(t, err)
	return tree
}

// mayLoad tells whether err is none. In a user namespace, where the kernel takes no
// programs, err has to say so if one is needed for classes.
func mayLoad(t *testing.T, classes []Class, err error) bool {
	t.Helper()
	tree, _ := Plan(near, classes, MaxRate)
	needed := slices.ContainsFunc(tree.Filters, func(f Filter) bool { return f.Option != byDSCP })
	if !needed || os.Getenv(insideUser) == "" {
		try(t, err)
		return true
	}
	if err == nil || !strings.Contains(err.Error(), "needs CAP_BPF or CAP_SYS_ADMIN; run it as root, or give the classes a dscp, which needs neither") {
		t.Errorf("in a user namespace, %+v: %v", classes, err)
	}
	return false
}

// settings for classes at 1 Gbit/s.
func settings(classes []Class) Settings { return Settings{Classes: classes, Rate: 125000000} }

// checkTree expects that the near device has exactly the tree for these settings.
func checkTree(t *testing.T, s Settings) {
	t.Helper()
	want, err := Plan(near, s.Classes, s.Rate)
	try(t, err)
	if got := mustRead(t, near); !got.same(want) {
		t.Errorf("there is %+v, want %+v", got, want)
	}
}
