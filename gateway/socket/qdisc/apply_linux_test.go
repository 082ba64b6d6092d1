package qdisc

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// Applied, shown, applied again, with other classes, removed.
func TestApply(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	newLink(t)
	before := mustRead(t, near)
	ours := settings(three())
	dry, err := Prepare(near, ours)
	try(t, err)
	if got := mustRead(t, near); !reflect.DeepEqual(got, before) || len(dry.Commands()) == 0 {
		t.Errorf("preparing changed %+v to %+v", before, got)
	}
	for _, step := range []struct {
		name string
		do   func() (Change, error)
		want string
	}{
		{"apply", func() (Change, error) { return Apply(t.Context(), near, ours) }, "near0: built queues for the classes"},
		{"again", func() (Change, error) { return Apply(t.Context(), near, ours) }, "near0: nothing to do: the queues for these classes are there"},
	} {
		change, err := step.do()
		if err != nil || change.Done() != step.want {
			t.Fatalf("%s: %q, %v, want %q", step.name, change.Done(), err, step.want)
		}
		checkTree(t, ours)
	}
	for i, l := range mustRead(t, near).Land(ours.Classes) {
		if l.order != i || l.Trouble != "" || l.Qdisc != "htb" {
			t.Errorf("class %d landed in %v", i, l)
		}
	}
	for name, other := range map[string]Settings{
		"rate":     {Classes: three(), Rate: 12500000},
		"floor":    settings([]Class{three()[0], {Name: "standard", Floor: 2000}, three()[2]}),
		"priority": settings([]Class{{Name: "a", Priority: new(6)}, {Name: "b", Priority: new(1)}, {Name: "c"}}),
		"mark":     settings([]Class{{Name: "a", Mark: new(uint32(1 << 31))}, {Name: "b"}}),
		"speed":    {Classes: three(), Rate: MaxRate},
	} {
		change, err := Apply(t.Context(), near, other)
		if !mayLoad(t, other.Classes, err) {
			continue
		}
		if want := "near0: replaced Overtake's queues with those for these classes"; change.Done() != want {
			t.Errorf("%s: %q, want %q", name, change.Done(), want)
		}
		checkTree(t, other)
		change, err = Apply(t.Context(), near, other)
		if err != nil || change.Build || change.Clear {
			t.Errorf("%s again: %q, %v", name, change.Done(), err)
		}
	}
	change, err := Remove(t.Context(), near)
	if want := "near0: removed Overtake's queues; the kernel's default is back"; err != nil || change.Done() != want {
		t.Errorf("removed: %q, %v, want %q", change.Done(), err, want)
	}
	if got := mustRead(t, near); !reflect.DeepEqual(got, before) {
		t.Errorf("after the removal there is %+v, before the apply there was %+v", got, before)
	}
	change, err = Remove(t.Context(), near)
	if want := "near0: nothing to do: Overtake made no queues there"; err != nil || change.Done() != want {
		t.Errorf("removed again: %q, %v, want %q", change.Done(), err, want)
	}
}

// On a device that has bands, those are back after the removal.
func TestRemoveBringsBackBands(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	try(t, netlink.LinkAdd(&netlink.Ifb{LinkAttrs: netlink.LinkAttrs{Name: "ifb7", TxQLen: 100}}))
	link, err := netlink.LinkByName("ifb7")
	try(t, err)
	try(t, netlink.LinkSetUp(link))
	before := mustRead(t, "ifb7")
	if q, _ := before.child(root); q.Kind != "pfifo_fast" || q.Bands != 3 || q.Priomap != priomap {
		t.Fatalf("there is %+v, want the kernel's pfifo_fast", before)
	}
	if _, err := Apply(t.Context(), "ifb7", Settings{Classes: three()}); err == nil ||
		err.Error() != "qdisc: ifb7 does not know how fast it is; say it with --rate, such as --rate 1gbit" {
		t.Errorf("without a rate: %v", err)
	}
	_, err = Apply(t.Context(), "ifb7", settings(three()))
	try(t, err)
	if !mustRead(t, "ifb7").Ours() {
		t.Error("the tree is not there")
	}
	_, err = Remove(t.Context(), "ifb7")
	try(t, err)
	if got := mustRead(t, "ifb7"); !reflect.DeepEqual(got, before) {
		t.Errorf("after the removal there is %+v, before the apply there was %+v", got, before)
	}
}

// What somebody else made stays, unless it is forced, and what is not a queue for
// sending is nobody's business.
func TestApplyRefusesForeign(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	link := newLink(t)
	try(t, netlink.QdiscAdd(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}))
	if change, err := Prepare(near, settings(three())); err != nil || !change.Build {
		t.Errorf("beside a clsact: %q, %v", change.Done(), err)
	}
	tbf := &netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       12500000, Limit: 100000, Buffer: 100000,
	}
	try(t, netlink.QdiscAdd(tbf))
	before := mustRead(t, near)
	_, err := Apply(t.Context(), near, settings(three()))
	if want := "qdisc: near0 has tbf 1:, which somebody else made; --force replaces it, for good"; err == nil || err.Error() != want {
		t.Errorf("applied: %v, want %s", err, want)
	}
	change, err := Remove(t.Context(), near)
	if want := "near0: nothing to do: Overtake made no queues there (tbf 1: is somebody else's)"; err != nil || change.Done() != want {
		t.Errorf("removed: %q, %v, want %q", change.Done(), err, want)
	}
	if got := mustRead(t, near); !reflect.DeepEqual(got, before) {
		t.Errorf("it changed %+v to %+v", before, got)
	}
	forced := settings(three())
	forced.Force = true
	change, err = Apply(t.Context(), near, forced)
	if want := "near0: built queues for the classes in place of tbf 1:"; err != nil || change.Done() != want {
		t.Errorf("forced: %q, %v, want %q", change.Done(), err, want)
	}
	tree := mustRead(t, near)
	if !tree.Ours() {
		t.Errorf("forced: there is %+v", tree)
	}
	if q, ok := tree.child(ingress); !ok || q.Kind != "clsact" {
		t.Errorf("forced: the clsact is gone: %+v", tree)
	}
	change, err = Apply(t.Context(), near, settings(three()))
	if err != nil || change.Build {
		t.Errorf("again, beside a clsact: %q, %v", change.Done(), err)
	}
}

// A tree that can't be built whole leaves nothing of it.
func TestApplyLeavesNoHalf(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	link := newLink(t)
	before := mustRead(t, near)
	wanted, err := Plan(near, three(), 125000000)
	try(t, err)
	last := len(wanted.Branches) - 1
	wanted.Branches[last].ID = 0x10012 // of another queue
	err = Change{Present: before, Wanted: wanted, Build: true}.run(link)
	if want := "qdisc: near0: make branch 1:12: "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("built: %v, want %s", err, want)
	}
	if got := mustRead(t, near); !reflect.DeepEqual(got, before) {
		t.Errorf("there is %+v, before there was %+v", got, before)
	}
}

// Those who come at the same time wait for each other: what is there in the end is
// one's tree or the other's, whole.
func TestApplyAtTheSameTime(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	newLink(t)
	both := []Settings{settings(three()), settings([]Class{{Name: "a", DSCP: new(46)}, {Name: "b"}})}
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for range 10 {
				if _, err := Apply(t.Context(), near, both[i%2]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	present := mustRead(t, near)
	whole := 0
	for _, s := range both {
		want, err := Plan(near, s.Classes, s.Rate)
		try(t, err)
		if present.same(want) {
			whole++
		}
	}
	if whole != 1 {
		t.Errorf("there is %+v", present)
	}
}

// Who waits for a lock can give up.
func TestApplyGivesUpWaiting(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	unlock, err := lock(t.Context(), newLink(t))
	try(t, err)
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = Apply(ctx, near, settings(three()))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "qdisc: another process changes the queues of near0, ") {
		t.Errorf("waiting ended with %v", err)
	}
}

// Mistakes are told with what helps.
func TestApplyRefusesDevices(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	newLink(t)
	for device, want := range map[string]string{
		"eth77": `qdisc: no device "eth77", there is lo, far0, near0`,
		"lo":    "qdisc: lo is loopback, where packets don't wait; name the device that leads to the network",
	} {
		_, err := Apply(t.Context(), device, settings(three()))
		var use *UseError
		if !errors.As(err, &use) || err.Error() != want {
			t.Errorf("%s: %v, want %s", device, err, want)
		}
	}
	// A veth says that it has 10 Gbit/s.
	change, err := Apply(t.Context(), near, Settings{Classes: three()})
	if err != nil || change.Wanted.Branches[0].Rate != 10e9/8 {
		t.Errorf("without a rate: %+v, %v", change.Wanted.Branches, err)
	}
}

// The check follows the route to the device, and says what that does.
func TestCheck(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	if _, err := Check(netip.Addr{}, three()); err == nil || err.Error() != "qdisc: route to default: network is unreachable" {
		t.Errorf("without any route: %v", err)
	}
	link := newLink(t)
	loopback, err := netlink.LinkByName("lo")
	try(t, err)
	try(t, netlink.LinkSetUp(loopback))
	peer, err := netlink.LinkByName(far)
	try(t, err)
	try(t, netlink.LinkSetUp(peer))
	try(t, netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: netip.MustParseAddr(farIPv4).AsSlice()}))
	check := func(to string, device, qdisc, trouble, remedy string) {
		t.Helper()
		var addr netip.Addr
		if to != "default" {
			addr = netip.MustParseAddr(to)
		}
		reports, err := Check(addr, three())
		if err != nil || len(reports) != 1 {
			t.Errorf("%s: %+v, %v, want one report", to, reports, err)
			return
		}
		report := reports[0]
		if report.To != to || report.Device != device || report.Remedy != remedy || len(report.Classes) != 3 {
			t.Errorf("%s: %+v, want device %s and remedy %q", to, report, device, remedy)
			return
		}
		for _, l := range report.Classes {
			if l.Qdisc != qdisc || l.Trouble != trouble {
				t.Errorf("%s: %v, want %s: %q", to, l, qdisc, trouble)
			}
		}
	}
	const none, remedy = "marks have no effect on this device", "give it queues for the classes (overtake qdisc apply --dev near0 --rate RATE -c FILE), or change socket: of the classes"
	check("127.0.0.1", "lo", "noqueue", none, "")
	check("::1", "lo", "noqueue", none, "")
	for _, to := range []string{"default", farIPv4, farIPv6, "203.0.113.9", "::ffff:203.0.113.9"} {
		check(to, near, "noqueue", none, remedy)
	}
	_, err = Apply(t.Context(), near, settings(three()))
	try(t, err)
	for _, to := range []string{"default", farIPv4, farIPv6} {
		check(to, near, "htb", "", "")
	}
}

// A mark may lead a class's packets to another device.
func TestCheckByMark(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	link := newLink(t)
	peer, err := netlink.LinkByName(far)
	try(t, err)
	try(t, netlink.LinkSetUp(peer))
	try(t, netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: netip.MustParseAddr(farIPv4).AsSlice()}))
	const table = 100
	rule := netlink.NewRule()
	rule.Mark, rule.Table = 0x10, table
	try(t, netlink.RuleAdd(rule))
	_, anywhere, err := net.ParseCIDR("0.0.0.0/0")
	try(t, err)
	try(t, netlink.RouteAdd(&netlink.Route{LinkIndex: peer.Attrs().Index, Dst: anywhere, Table: table, Scope: netlink.SCOPE_LINK}))
	classes := three()
	classes[2].Mark = new(uint32(0x10))
	reports, err := Check(netip.Addr{}, classes)
	if err != nil || len(reports) != 2 {
		t.Fatalf("%+v, %v, want two reports", reports, err)
	}
	if near1, far1 := reports[0], reports[1]; near1.Device != near || len(near1.Classes) != 2 ||
		far1.Device != far || len(far1.Classes) != 1 || far1.Classes[0].Class != classes[2].Name {
		t.Errorf("got %+v, want %s by %s and the others by %s", reports, classes[2].Name, far, near)
	}
}

// What somebody else put into a tree of ours is replaced by force alone.
func TestForeignInside(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	link := newLink(t)
	_, err := Apply(t.Context(), near, settings(three()))
	try(t, err)
	try(t, netlink.QdiscReplace(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(0x99, 0), Parent: branchID(0)},
		Rate:       1e6, Limit: 1e5, Buffer: 1e5,
	}))
	const what = "near0 has tbf 99:"
	if _, err := Apply(t.Context(), near, settings(three())); err == nil || !strings.Contains(err.Error(), what) {
		t.Errorf("apply: %v, want an error with %q", err, what)
	}
	if _, err := Remove(t.Context(), near); err == nil || !strings.Contains(err.Error(), what) {
		t.Errorf("remove: %v, want an error with %q", err, what)
	}
	forced := settings(three())
	forced.Force = true
	_, err = Apply(t.Context(), near, forced)
	try(t, err)
	if tree, err := Read(near); err != nil || !tree.Ours() || tree.Foreign() != "" {
		t.Errorf("by force, there is %+v, %v", tree, err)
	}
	_, err = Remove(t.Context(), near)
	try(t, err)
}
