package qdisc

import (
	"fmt"
	"slices"
	"strings"
)

// The handles of what this package builds; 6f76 is "ov".
const (
	ourHandle   uint32 = 0x6f76_0000
	trunk              = ourHandle | 1
	firstBranch        = ourHandle | 0x10
	firstLeaf   uint32 = 0x6f77_0000
	maxClasses         = 8 // htb has as many levels of prio
)

// leafKinds are the queues inside a branch, best first: the first that the kernel
// has is taken.
var leafKinds = []string{"fq", "pfifo"}

const (
	leafLimit = 1000 // packets in a pfifo
	quantum   = 15140
	minBurst  = 3200 // two full frames
)

// MinRate and MaxRate bound the rate of a tree, in bytes per second.
const (
	MinRate uint64 = 1e5 / 8
	MaxRate uint64 = 1e12 / 8
)

// Plan returns the tree for classes on a device that sends rate bytes per second.
// It fails if two classes have no mark that tells them apart.
func Plan(device string, classes []Class, rate uint64) (Tree, error) {
	if err := checkClasses(classes); err != nil {
		return Tree{}, err
	}
	if rate < MinRate || rate > MaxRate {
		return Tree{}, fmt.Errorf("qdisc: rate %s, want %s to %s", rateText(rate), rateText(MinRate), rateText(MaxRate))
	}
	filters, byDefault, err := planFilters(classes)
	if err != nil {
		return Tree{}, err
	}
	tree := Tree{
		Device:   device,
		Queues:   []Queue{{Kind: "htb", Handle: ourHandle, Parent: root, Default: branchID(byDefault) & 0xffff}},
		Branches: []Branch{newBranch(trunk, ourHandle, 0, rate, rate)},
		Filters:  filters,
	}
	rest := rate
	for i := len(classes) - 1; i >= 0; i-- {
		share := rest
		if i > 0 {
			share = max(rate*uint64(classes[i].Floor)/10000, rate/100)
		}
		rest -= share
		tree.Branches = slices.Insert(tree.Branches, 1, newBranch(branchID(i), trunk, uint32(i), share, rate))
		tree.Queues = slices.Insert(tree.Queues, 1, Queue{Kind: leafKinds[0], Handle: firstLeaf + uint32(i)<<16, Parent: branchID(i)})
	}
	return tree, nil
}

func branchID(class int) uint32 { return firstBranch + uint32(class) }

// newBranch lets a millisecond's worth go at once, so that a timer that is late
// costs no throughput.
func newBranch(id, parent, prio uint32, rate, ceil uint64) Branch {
	burst := func(rate uint64) uint32 { return uint32(max(rate/1000, minBurst)) }
	return Branch{ID: id, Parent: parent, Prio: prio, Rate: rate, Ceil: ceil, Burst: burst(rate), CeilBurst: burst(ceil)}
}

// planFilters tells classes apart by what needs least: DSCP is in every packet and
// takes no privilege to set; a mark takes one; SO_PRIORITY is matched by a
// program. One class may have nothing of its own: it gets what no filter takes,
// as does all other traffic of the device. If there is none, that goes to the
// class in the middle.
func planFilters(classes []Class) (filters []Filter, byDefault int, err error) {
	carried := marksOf(classes)
	byDefault = len(classes) / 2
	var plain []string
	for i := range classes {
		option := distinct(classes, carried, i)
		if option == "" {
			byDefault = i
			plain = append(plain, classes[i].Name)
			continue
		}
		f := Filter{Parent: ourHandle, Pref: 3, Protocol: anyProtocol, Option: option, Value: carried[i].of(option), To: branchID(i)}
		if option != byDSCP {
			filters = append(filters, f)
			continue
		}
		f.Pref, f.Protocol = 1, ipProtocol
		filters = append(filters, f)
		f.Pref, f.Protocol = 2, ip6Protocol
		filters = append(filters, f)
	}
	if len(plain) > 1 {
		return nil, 0, fmt.Errorf("qdisc: nothing tells the packets of %s apart; give all but one a mark of their own, such as socket: {dscp: AF21}",
			strings.Join(plain, " and "))
	}
	slices.SortStableFunc(filters, func(a, b Filter) int { return int(a.Pref) - int(b.Pref) })
	return filters, byDefault, nil
}

// distinct returns an option of class i that no other class has the same value of,
// "" if there is none. Zero is what all other traffic has.
func distinct(classes []Class, carried []marks, i int) string {
	named := map[string]bool{byDSCP: classes[i].DSCP != nil, byMark: classes[i].Mark != nil, byPriority: classes[i].Priority != nil}
	for _, option := range []string{byDSCP, byMark, byPriority} {
		value := carried[i].of(option)
		taken := func(m marks) bool { return m.of(option) == value }
		if named[option] && value != 0 && !slices.ContainsFunc(carried[:i], taken) && !slices.ContainsFunc(carried[i+1:], taken) {
			return option
		}
	}
	return ""
}

// Commands returns the tc commands that build the tree on a device where nobody
// has built one, for a shell.
func (t Tree) Commands() []string {
	var commands []string
	add := func(format string, args ...any) {
		commands = append(commands, fmt.Sprintf(format, args...))
	}
	device := shellWord(t.Device)
	if slices.ContainsFunc(t.Filters, func(f Filter) bool { return f.Option != byDSCP }) {
		add("# a program takes the place of basic filters where this is done without tc: not every kernel has these")
	}
	q, _ := t.child(root)
	add("tc qdisc replace dev %s root handle %s htb default %x", device, handleText(q.Handle), q.Default)
	for _, b := range t.Branches {
		add("tc class add dev %s parent %s classid %s htb prio %d rate %s ceil %s burst %db cburst %db quantum %d", device,
			handleText(b.Parent), handleText(b.ID), b.Prio, rateText(b.Rate), rateText(b.Ceil), b.Burst, b.CeilBurst, quantum)
		if leaf, ok := t.child(b.ID); ok {
			place := fmt.Sprintf("tc qdisc add dev %s parent %s handle %s", device, handleText(b.ID), handleText(leaf.Handle))
			add("%s fq || %s pfifo limit %d", place, place, leafLimit)
		}
	}
	for _, f := range t.Filters {
		start := fmt.Sprintf("tc filter add dev %s parent %s", device, handleText(f.Parent))
		to := handleText(f.To)
		switch {
		case f.Option == byDSCP && f.Protocol == ipProtocol:
			add("%s protocol ip prio %d u32 match ip dsfield %#x 0xfc classid %s", start, f.Pref, f.Value<<2, to)
		case f.Option == byDSCP:
			add("%s protocol ipv6 prio %d u32 match ip6 priority %#x 0xfc classid %s", start, f.Pref, f.Value<<2, to)
		case f.Option == byMark:
			add("%s protocol all prio %d basic match 'meta(nf_mark eq %d)' classid %s", start, f.Pref, f.Value, to)
		default:
			add("%s protocol all prio %d basic match 'meta(priority eq %d)' classid %s", start, f.Pref, f.Value, to)
		}
	}
	return commands
}

// RemoveCommand is the tc command that removes the tree.
func (t Tree) RemoveCommand() string {
	return fmt.Sprintf("tc qdisc del dev %s root", shellWord(t.Device))
}

// shellWord is text as one word of a shell's command: devices may be named almost
// anything.
func shellWord(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._:@-", r)
	}
	if text != "" && strings.TrimFunc(text, plain) == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// rateText is a rate as tc reads it.
func rateText(rate uint64) string {
	bits := rate * 8
	for _, unit := range []struct {
		size uint64
		name string
	}{{1e12, "tbit"}, {1e9, "gbit"}, {1e6, "mbit"}, {1e3, "kbit"}} {
		if bits >= unit.size && bits%unit.size == 0 {
			return fmt.Sprint(bits/unit.size) + unit.name
		}
	}
	return fmt.Sprint(bits) + "bit"
}
