package qdisc

import (
	"cmp"
	"fmt"
	"slices"
)

// A Tree is the queues of one device: those that are there, or those to be built.
type Tree struct {
	Device   string
	Queues   []Queue
	Branches []Branch
	Filters  []Filter
}

// A Queue is one queueing discipline.
type Queue struct {
	Kind   string
	Handle uint32 // 0: the kernel attached it by itself
	Parent uint32 // the branch that it is in, or root
	// Bands is how many bands there are, 0 if it has none, and Priomap the band of
	// each SO_PRIORITY: of pfifo_fast, prio and fq, and of mqprio its traffic
	// classes.
	Bands   int
	Priomap [16]uint8
	// Default is the minor number of the branch for what no filter takes (htb).
	Default uint32
	// Tins is how cake sorts: diffserv3 and so on.
	Tins string
}

// A Branch is what tc calls a class, of an htb queue.
type Branch struct {
	ID, Parent uint32
	Prio       uint32
	Rate, Ceil uint64 // bytes per second
	Burst      uint32 // bytes that may go at once when it has been silent; only to build
	CeilBurst  uint32
	Counters   Counters // only read
}

// Counters are what a branch has sent, and holds.
type Counters struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
	Drops   uint64 `json:"drops"`   // packets
	Waiting uint64 `json:"waiting"` // packets
}

// A Filter takes packets to a branch. Filters are asked in the order of Pref.
type Filter struct {
	Parent   uint32
	Pref     uint16
	Protocol uint16 // an EtherType, or anyProtocol
	Option   string // what it looks at; "" if that is something else
	Value    uint32
	To       uint32 // a Branch
}

// Numbers of the kernel's interface.
const (
	root        uint32 = 0xffffffff
	ingress     uint32 = 0xfffffff1 // also clsact, whose egress side has no queue
	anyProtocol uint16 = 0x0003
	ipProtocol  uint16 = 0x0800
	ip6Protocol uint16 = 0x86dd
)

// major of a handle or id, minor zero.
func major(id uint32) uint32 { return id &^ 0xffff }

// handleText is a handle or id as tc writes it.
func handleText(id uint32) string {
	if id&0xffff == 0 {
		return fmt.Sprintf("%x:", id>>16)
	}
	return fmt.Sprintf("%x:%x", id>>16, id&0xffff)
}

// child returns the queue that is in a branch or, with root, the device's.
func (t Tree) child(parent uint32) (Queue, bool) {
	i := slices.IndexFunc(t.Queues, func(q Queue) bool { return q.Parent == parent })
	if i < 0 {
		return Queue{}, false
	}
	return t.Queues[i], true
}

// Ours tells whether this package built the tree.
func (t Tree) Ours() bool {
	q, ok := t.child(root)
	return ok && q.Kind == "htb" && q.Handle == ourHandle
}

// Foreign returns the first queue, branch or filter that neither the kernel by itself
// nor this package made, as text, and "" if there is none. What is left of a tree that
// was not built to its end is this package's.
func (t Tree) Foreign() string {
	ours := t.Ours()
	for _, q := range t.Queues {
		if q.Handle != 0 && q.Parent != ingress && !(ours && q.isOurs()) {
			return q.Kind + " " + handleText(q.Handle)
		}
	}
	if !ours {
		return ""
	}
	for _, b := range t.Branches {
		if b.ID != trunk && (b.ID < firstBranch || b.ID >= branchID(maxClasses)) {
			return "branch " + handleText(b.ID)
		}
	}
	for _, f := range t.Filters {
		if f.Option == "" {
			return fmt.Sprintf("filter pref %d", f.Pref)
		}
	}
	return ""
}

// isOurs reports whether a queue of a tree of ours is one that this package made.
func (q Queue) isOurs() bool {
	if q.Parent == root {
		return true
	}
	leaf := q.Handle >= firstLeaf && q.Handle < firstLeaf+maxClasses<<16
	return leaf && slices.Contains(leafKinds, q.Kind)
}

// branch returns the branch with that id.
func (t Tree) branch(id uint32) (Branch, bool) {
	i := slices.IndexFunc(t.Branches, func(b Branch) bool { return b.ID == id })
	if i < 0 {
		return Branch{}, false
	}
	return t.Branches[i], true
}

// same tells whether t does the same as u: leaving out what is only read or only
// written, and which of the leaf kinds the kernel has.
func (t Tree) same(u Tree) bool {
	t, u = t.essence(), u.essence()
	return t.Device == u.Device && slices.Equal(t.Queues, u.Queues) && slices.Equal(t.Branches, u.Branches) && slices.Equal(t.Filters, u.Filters)
}

func (t Tree) essence() Tree {
	e := Tree{Device: t.Device}
	for _, q := range t.Queues {
		if q.Parent == ingress {
			continue // nothing that is sent waits there
		}
		if slices.Contains(leafKinds, q.Kind) {
			q = Queue{Kind: leafKinds[0], Handle: q.Handle, Parent: q.Parent}
		}
		e.Queues = append(e.Queues, q)
	}
	for _, b := range t.Branches {
		e.Branches = append(e.Branches, Branch{ID: b.ID, Parent: b.Parent, Prio: b.Prio, Rate: b.Rate, Ceil: b.Ceil})
	}
	e.Filters = slices.Clone(t.Filters)
	slices.SortFunc(e.Queues, func(a, b Queue) int { return cmp.Compare(a.Handle, b.Handle) })
	slices.SortFunc(e.Branches, func(a, b Branch) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(e.Filters, func(a, b Filter) int {
		return cmp.Or(cmp.Compare(a.Pref, b.Pref), cmp.Compare(a.To, b.To), cmp.Compare(a.Option, b.Option), cmp.Compare(a.Value, b.Value))
	})
	return e
}
