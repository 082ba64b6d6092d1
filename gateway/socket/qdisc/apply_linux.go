package qdisc

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Prepare returns what Apply would do, and changes nothing. It needs no privilege.
func Prepare(device string, s Settings) (Change, error) {
	link, err := linkOf(device)
	if err != nil {
		return Change{}, err
	}
	return prepare(link, s)
}

func prepare(link netlink.Link, s Settings) (Change, error) {
	device := link.Attrs().Name
	if link.Attrs().Flags&net.FlagLoopback != 0 {
		return Change{}, &UseError{fmt.Errorf("qdisc: %s is loopback, where packets don't wait; name the device that leads to the network", device)}
	}
	rate := s.Rate
	if rate == 0 {
		if rate = speedOf(device); rate == 0 {
			return Change{}, &UseError{fmt.Errorf("qdisc: %s does not know how fast it is; say it with --rate, such as --rate 1gbit", device)}
		}
	}
	wanted, err := Plan(device, s.Classes, rate)
	if err != nil {
		return Change{}, &UseError{err}
	}
	present, err := read(link)
	if err != nil {
		return Change{}, err
	}
	return changeTo(present, wanted, s.Force)
}

// Apply gives the device a tree for the classes. If that very tree is there, it
// touches nothing. It waits while another process changes the device's queues.
// When it breaks off, whatever the reason, the next Apply clears up behind it.
func Apply(ctx context.Context, device string, s Settings) (Change, error) {
	return locked(ctx, device, func(link netlink.Link) (Change, error) { return prepare(link, s) })
}

// locked makes the change that is found necessary while nobody else makes one.
func locked(ctx context.Context, device string, find func(netlink.Link) (Change, error)) (Change, error) {
	link, err := linkOf(device)
	if err != nil {
		return Change{}, err
	}
	unlock, err := lock(ctx, link)
	if err != nil {
		return Change{}, err
	}
	defer unlock()
	change, err := find(link)
	if err != nil {
		return Change{}, err
	}
	return change, change.run(link)
}

// PrepareRemove returns what Remove would do, and changes nothing.
func PrepareRemove(device string) (Change, error) {
	present, err := Read(device)
	if err != nil {
		return Change{}, err
	}
	return removal(present)
}

// Remove takes away the tree that Apply built, and nothing else; the kernel puts
// its default queue in the place.
func Remove(ctx context.Context, device string) (Change, error) {
	return locked(ctx, device, func(netlink.Link) (Change, error) { return PrepareRemove(device) })
}

// run makes the change. If it can't build all of the tree, it leaves none.
func (c Change) run(link netlink.Link) error {
	programs, unload, err := loadPrograms(c.Wanted.Filters)
	defer unload()
	if err != nil {
		return err
	}
	b := builder{link: link, programs: programs}
	if c.Clear {
		b.do("remove the queues", netlink.QdiscDel(b.htb(c.Present)))
	}
	if !c.Build || b.err != nil {
		return b.err
	}
	b.do("make htb "+handleText(ourHandle), netlink.QdiscReplace(b.htb(c.Wanted)))
	if b.err != nil {
		return b.err
	}
	b.build(c.Wanted)
	if b.err != nil {
		b.err = errors.Join(b.err, netlink.QdiscDel(b.htb(c.Wanted)))
	}
	return b.err
}

// A builder does one step after the other until one fails.
type builder struct {
	link     netlink.Link
	programs []*ebpf.Program // of the filters
	err      error
}

// do notes what became of a step.
func (b *builder) do(step string, err error) {
	if b.err != nil || err == nil {
		return
	}
	device := b.link.Attrs().Name
	switch {
	case errors.Is(err, unix.EPERM):
		b.err = fmt.Errorf("qdisc: %s: %s: it takes CAP_NET_ADMIN; run it as root: %w", device, step, err)
	case errors.Is(err, unix.ENOENT):
		b.err = fmt.Errorf("qdisc: %s: %s: the kernel lacks it; it needs sch_htb, cls_u32 and cls_bpf (modprobe them): %w", device, step, err)
	default:
		b.err = fmt.Errorf("qdisc: %s: %s: %w", device, step, err)
	}
}

func (b *builder) htb(t Tree) netlink.Qdisc {
	q, _ := t.child(root)
	htb := netlink.NewHtb(b.attrs(q))
	htb.Defcls = q.Default
	return htb
}

func (b *builder) attrs(q Queue) netlink.QdiscAttrs {
	return netlink.QdiscAttrs{LinkIndex: b.link.Attrs().Index, Handle: q.Handle, Parent: q.Parent}
}

// build fills the root, which lets everything through until it has branches. The
// filters come last, when what they point to is there.
func (b *builder) build(t Tree) {
	for _, branch := range t.Branches {
		if b.err != nil {
			return
		}
		b.do("make branch "+handleText(branch.ID), netlink.ClassAdd(b.class(branch)))
		if leaf, ok := t.child(branch.ID); ok && b.err == nil {
			b.do("make the queue of branch "+handleText(branch.ID), b.addLeaf(leaf))
		}
	}
	for i, f := range t.Filters {
		if b.err != nil {
			return
		}
		b.do(fmt.Sprintf("make the filter by %s %d", f.Option, f.Value), b.addFilter(f, b.programs[i]))
	}
}

func (b *builder) class(branch Branch) netlink.Class {
	return netlink.NewHtbClass(
		netlink.ClassAttrs{LinkIndex: b.link.Attrs().Index, Parent: branch.Parent, Handle: branch.ID},
		netlink.HtbClassAttrs{
			Rate: branch.Rate * 8, Ceil: branch.Ceil * 8, Buffer: branch.Burst, Cbuffer: branch.CeilBurst,
			Prio: branch.Prio, Quantum: quantum,
		})
}

// addLeaf takes the first of leafKinds that the kernel has.
func (b *builder) addLeaf(leaf Queue) error {
	err := netlink.QdiscAdd(netlink.NewFq(b.attrs(leaf)))
	if errors.Is(err, unix.ENOENT) {
		err = addPfifo(b.attrs(leaf))
	}
	return err
}

// addPfifo does without netlink.QdiscAdd, which gives a pfifo no limit: it would
// take that of the device, and some have none.
func addPfifo(attrs netlink.QdiscAttrs) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(attrs.LinkIndex), Handle: attrs.Handle, Parent: attrs.Parent})
	req.AddData(nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated("pfifo")))
	req.AddData(nl.NewRtAttr(nl.TCA_OPTIONS, nl.Uint32Attr(leafLimit))) // struct tc_fifo_qopt
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

func (b *builder) addFilter(f Filter, program *ebpf.Program) error {
	attrs := netlink.FilterAttrs{LinkIndex: b.link.Attrs().Index, Parent: f.Parent, Priority: f.Pref, Protocol: f.Protocol}
	if f.Option == byDSCP {
		key := nl.TcU32Key{Mask: dscpMask4, Val: f.Value << dscpShift4}
		if f.Protocol == ip6Protocol {
			key = nl.TcU32Key{Mask: dscpMask6, Val: f.Value << dscpShift6}
		}
		return netlink.FilterAdd(&netlink.U32{
			FilterAttrs: attrs, ClassId: f.To,
			Sel: &nl.TcU32Sel{Flags: nl.TC_U32_TERMINAL, Keys: []nl.TcU32Key{key}},
		})
	}
	return netlink.FilterAdd(&netlink.BpfFilter{FilterAttrs: attrs, ClassId: f.To, Fd: program.FD(), Name: programName(f)})
}
