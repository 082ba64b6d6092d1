package qdisc

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Read returns the queues of a device, in the network namespace of the process. It
// needs no privilege.
func Read(device string) (Tree, error) {
	link, err := linkOf(device)
	if err != nil {
		return Tree{}, err
	}
	return read(link)
}

func linkOf(device string) (netlink.Link, error) {
	link, err := netlink.LinkByName(device)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		links, err := netlink.LinkList()
		if err != nil {
			return nil, fmt.Errorf("qdisc: devices: %w", err)
		}
		var there []string
		for _, l := range links {
			there = append(there, l.Attrs().Name)
		}
		return nil, noSuchDevice(device, there)
	}
	if err != nil {
		return nil, fmt.Errorf("qdisc: device %s: %w", device, err)
	}
	return link, nil
}

// read reads again when the tree changed meanwhile.
func read(link netlink.Link) (tree Tree, err error) {
	for range 10 {
		if tree, err = readOnce(link); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	if err != nil {
		return Tree{}, fmt.Errorf("qdisc: queues of %s: %w", link.Attrs().Name, err)
	}
	return tree, nil
}

func readOnce(link netlink.Link) (Tree, error) {
	tree := Tree{Device: link.Attrs().Name}
	queues, err := readQueues(link)
	if err != nil {
		return tree, err
	}
	tree.Queues = queues
	if _, ok := tree.child(root); !ok { // noop is not in the list
		tree.Queues = append(tree.Queues, Queue{Kind: "noop", Parent: root})
	}
	classes, err := netlink.ClassList(link, 0)
	if err != nil {
		return tree, err
	}
	for _, class := range classes {
		if htb, ok := class.(*netlink.HtbClass); ok {
			tree.Branches = append(tree.Branches, branchOf(htb))
		}
	}
	slices.SortFunc(tree.Branches, func(a, b Branch) int { return cmp.Compare(a.ID, b.ID) })
	for _, q := range tree.Queues {
		if q.Handle == 0 || q.Parent == ingress {
			continue
		}
		filters, err := netlink.FilterList(link, q.Handle)
		if err != nil {
			return tree, err
		}
		for _, f := range filters {
			if f.Attrs().Parent == q.Handle {
				tree.Filters = append(tree.Filters, filterOf(f))
			}
		}
	}
	return tree, nil
}

// readQueues does without netlink.QdiscList, which knows no mqprio and not the
// bands of fq.
func readQueues(link netlink.Link) ([]Queue, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETQDISC, unix.NLM_F_DUMP)
	index := int32(link.Attrs().Index)
	req.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: index})
	messages, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWQDISC)
	if err != nil {
		return nil, err
	}
	var queues []Queue
	for _, m := range messages {
		header := nl.DeserializeTcMsg(m)
		if header.Ifindex != index {
			continue
		}
		q, err := decodeQueue(header.Handle, header.Parent, m[header.Len():])
		if err != nil {
			return nil, err
		}
		queues = append(queues, q)
	}
	return queues, nil
}

func branchOf(class *netlink.HtbClass) Branch {
	b := Branch{ID: class.Handle, Parent: class.Parent, Prio: class.Prio, Rate: class.Rate, Ceil: class.Ceil}
	if b.Parent == root {
		b.Parent = major(b.ID) // that is how the kernel says that it is at the top
	}
	if class.Level > 0 {
		b.Prio = 0 // means nothing above the leaves
	}
	if s := class.Statistics; s != nil {
		b.Counters = Counters{
			Packets: uint64(s.Basic.Packets), Bytes: s.Basic.Bytes,
			Drops: uint64(s.Queue.Drops), Waiting: uint64(s.Queue.Qlen),
		}
	}
	return b
}

// The words in which a u32 filter finds the DSCP: the first of the header.
const (
	dscpMask4, dscpShift4 = 0x00fc0000, 18
	dscpMask6, dscpShift6 = 0x0fc00000, 22
)

// filterOf understands the filters that this package makes; those of others keep
// no Option.
func filterOf(filter netlink.Filter) Filter {
	attrs := filter.Attrs()
	f := Filter{Parent: attrs.Parent, Pref: attrs.Priority, Protocol: attrs.Protocol}
	switch filter := filter.(type) {
	case *netlink.U32:
		f.To = filter.ClassId
		if filter.Sel == nil || len(filter.Sel.Keys) != 1 || len(filter.Actions) > 0 || filter.Sel.Flags != nl.TC_U32_TERMINAL {
			break
		}
		key := filter.Sel.Keys[0]
		if key.Off != 0 || key.OffMask != 0 {
			break
		}
		switch {
		case f.Protocol == ipProtocol && key.Mask == dscpMask4:
			f.Option, f.Value = byDSCP, key.Val>>dscpShift4
		case f.Protocol == ip6Protocol && key.Mask == dscpMask6:
			f.Option, f.Value = byDSCP, key.Val>>dscpShift6
		}
	case *netlink.BpfFilter:
		f.To = filter.ClassId
		if option, value, ok := parseProgramName(filter.Name); ok && attrs.Parent == ourHandle {
			f.Option, f.Value = option, value
		}
	}
	return f
}

// programName is how a filter says what its program, which can't be read back,
// looks at.
func programName(f Filter) string { return fmt.Sprintf("overtake-%s-%d", f.Option, f.Value) }

func parseProgramName(name string) (option string, value uint32, ok bool) {
	rest, ok := strings.CutPrefix(name, "overtake-")
	option, number, found := strings.Cut(rest, "-")
	n, err := strconv.ParseUint(number, 10, 32)
	return option, uint32(n), ok && found && err == nil && (option == byMark || option == byPriority)
}
