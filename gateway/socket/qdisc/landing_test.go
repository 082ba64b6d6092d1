package qdisc

import (
	"slices"
	"testing"
)

// three are the default classes as the docs recommend to mark them.
func three() []Class {
	return []Class{
		{Name: "interactive", Priority: new(6), DSCP: new(18)},
		{Name: "standard", Floor: 1000},
		{Name: "batch", Priority: new(1), DSCP: new(1), Floor: 500},
	}
}

// The kernel's own table of pfifo_fast and fq, and that of prio without options.
var priomap = [16]uint8{1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1}

func on(queues ...Queue) Tree { return Tree{Device: "eth0", Queues: queues} }

// Each line of want is a landing's qdisc, band and trouble.
func TestLand(t *testing.T) {
	banded := func(kind string) Queue {
		return Queue{Kind: kind, Handle: 0x10000, Parent: root, Bands: 3, Priomap: priomap}
	}
	htb := on(Queue{Kind: "htb", Handle: 0x10000, Parent: root, Default: 0x20})
	htb.Branches = []Branch{{ID: 0x10010, Prio: 0}, {ID: 0x10020, Prio: 5}}
	htb.Filters = []Filter{
		{Parent: 0x10000, Protocol: ip6Protocol, Option: byDSCP, Value: 1, To: 0x10010},
		{Parent: 0x10000, Protocol: ipProtocol, Option: byDSCP, Value: 18, To: 0x10010},
	}
	nested := htb
	nested.Queues = append(slices.Clone(htb.Queues), Queue{Kind: "pfifo_fast", Parent: 0x10020, Bands: 3, Priomap: priomap})
	opaque := htb
	opaque.Filters = append([]Filter{{Parent: 0x10000, Protocol: anyProtocol}}, htb.Filters...)
	lost := htb
	lost.Queues = []Queue{{Kind: "htb", Handle: 0x10000, Parent: root}}
	filtered := on(banded("prio"))
	filtered.Filters = []Filter{{Parent: 0x10000}}
	multi := func(kinds ...string) Tree {
		tree := on(Queue{Kind: "mq", Parent: root})
		for i, kind := range kinds {
			q := banded(kind)
			q.Handle, q.Parent = 0, uint32(i+1)
			tree.Queues = append(tree.Queues, q)
		}
		return tree
	}
	noOrder := []string{"no order between it and standard and batch", "no order between it and interactive and batch", "no order between it and interactive and standard"}
	same := func(qdisc, band string, trouble ...string) []string {
		var want []string
		for i := range 3 {
			want = append(want, qdisc+", "+band+": "+trouble[i%len(trouble)])
		}
		return want
	}
	for _, c := range []struct {
		name string
		tree Tree
		want []string
	}{
		{"pfifo_fast", on(banded("pfifo_fast")), []string{"pfifo_fast, band 0 of 3", "pfifo_fast, band 1 of 3", "pfifo_fast, band 2 of 3"}},
		{"prio", on(banded("prio")), []string{"prio, band 0 of 3", "prio, band 1 of 3", "prio, band 2 of 3"}},
		{"prio with filters", filtered, same("prio", "not known", "filters of its own decide")},
		{"mqprio", on(banded("mqprio")), []string{"mqprio, hardware queues of traffic class 0 of 3", "mqprio, hardware queues of traffic class 1 of 3", "mqprio, hardware queues of traffic class 2 of 3"}},
		{"fq since Linux 6.7", on(banded("fq")), []string{"fq, band 0 of 3, by weight", "fq, band 1 of 3, by weight", "fq, band 2 of 3, by weight"}},
		{"fq before Linux 6.7", on(Queue{Kind: "fq", Parent: root}), same("fq", "connections served in turn", noOrder...)},
		{"fq_codel", on(Queue{Kind: "fq_codel", Parent: root}), same("fq_codel", "connections served in turn", noOrder...)},
		{"cake", on(Queue{Kind: "cake", Parent: root, Tins: "diffserv3"}), []string{
			"cake, tin best effort of 3: no order between it and standard", "cake, tin best effort of 3: no order between it and interactive", "cake, tin bulk of 3"}},
		{"cake without tins", on(Queue{Kind: "cake", Parent: root, Tins: "besteffort"}), same("cake", "one tin, connections served in turn", noOrder...)},
		{"cake in another mode", on(Queue{Kind: "cake", Parent: root, Tins: "diffserv8"}), same("cake", "not known", "sorts by DSCP as diffserv8 says")},
		{"htb with filters", htb, []string{"htb, branch 1:10, prio 0",
			"htb, branch 1:20, prio 5: no order between it and batch", "htb, branch 1:20, prio 5: no order between it and standard"}},
		{"htb with bands inside", nested, []string{"htb, branch 1:10, prio 0", "htb > pfifo_fast, branch 1:20, prio 5, band 1 of 3", "htb > pfifo_fast, branch 1:20, prio 5, band 2 of 3"}},
		{"htb with a filter of another kind", opaque, same("htb", "not known", "it has filters that Overtake can't read")},
		{"htb without a default", lost, []string{"htb, branch 1:10, prio 0",
			"htb, past all branches, unshaped: no order between it and batch", "htb, past all branches, unshaped: no order between it and standard"}},
		{"tbf with a child", on(Queue{Kind: "tbf", Handle: 0x10000, Parent: root}, Queue{Kind: "pfifo_fast", Parent: 0x10001, Bands: 3, Priomap: priomap}),
			[]string{"tbf > pfifo_fast, band 0 of 3", "tbf > pfifo_fast, band 1 of 3", "tbf > pfifo_fast, band 2 of 3"}},
		{"tbf", on(Queue{Kind: "tbf", Handle: 0x10000, Parent: root}), same("tbf", "one queue, first in, first out", noOrder...)},
		{"mq", multi("pfifo_fast", "pfifo_fast"), []string{"mq > pfifo_fast, band 0 of 3", "mq > pfifo_fast, band 1 of 3", "mq > pfifo_fast, band 2 of 3"}},
		{"mq of two kinds", multi("pfifo_fast", "fq"), same("mq", "not known", "its hardware queues are not all alike")},
		{"noqueue", on(Queue{Kind: "noqueue", Parent: root}), same("noqueue", "no queue", "marks have no effect on this device")},
		{"noop", on(Queue{Kind: "noop", Parent: root}), same("noop", "nothing is sent", "the device is down")},
		{"ingress beside it", on(Queue{Kind: "ingress", Handle: 0xffff0000, Parent: ingress}, banded("pfifo_fast")),
			[]string{"pfifo_fast, band 0 of 3", "pfifo_fast, band 1 of 3", "pfifo_fast, band 2 of 3"}},
		{"unheard of", on(Queue{Kind: "dualpi3", Parent: root}), same("dualpi3", "not known", "a kind that Overtake doesn't know")},
	} {
		t.Run(c.name, func(t *testing.T) {
			marks := []string{"priority 6, dscp AF21", "none", "priority 1, dscp LE"}
			for i, l := range c.tree.Land(three()) {
				want := three()[i].Name + " (" + marks[i] + "): " + c.want[i]
				if got := l.String(); got != want {
					t.Errorf("class %d:\n%s, want\n%s", i, got, want)
				}
			}
		})
	}
}

// Marks that are the wrong way round are told.
func TestLandTellsWrongOrder(t *testing.T) {
	fast := on(Queue{Kind: "pfifo_fast", Parent: root, Bands: 3, Priomap: priomap})
	for _, c := range []struct {
		name    string
		classes []Class
		want    []string // trouble
	}{{
		"dscp alone", []Class{{Name: "a", DSCP: new(18)}, {Name: "b"}}, []string{"no order between it and b", "no order between it and a"},
	}, {
		"dscp and another's priority", []Class{{Name: "a", DSCP: new(18)}, {Name: "b", Priority: new(1)}}, []string{"", ""},
	}, {
		"upside down", []Class{{Name: "a", Priority: new(1)}, {Name: "b"}, {Name: "c", Priority: new(6)}},
		[]string{"served after b and c, less urgent; change its marks", "served after c, less urgent; change its marks", ""},
	}, {
		"nothing set", []Class{{Name: "a"}, {Name: "b"}}, []string{"no order between it and b", "no order between it and a"},
	}, {
		"one class", []Class{{Name: "a"}}, []string{""},
	}} {
		t.Run(c.name, func(t *testing.T) {
			for i, l := range fast.Land(c.classes) {
				if l.Trouble != c.want[i] {
					t.Errorf("class %s: %q, want %q", l.Class, l.Trouble, c.want[i])
				}
			}
		})
	}
}

// A socket's priority may be the id of a branch, as tc-htb(8) says. No priority
// that a class may have is one, but it must not be mistaken for one either.
func TestLandByPriorityAsID(t *testing.T) {
	tree := on(Queue{Kind: "htb", Handle: 0, Parent: root, Default: 9})
	tree.Branches = []Branch{{ID: 6}, {ID: 9, Prio: 3}}
	got := tree.Land([]Class{{Name: "a", Priority: new(6)}, {Name: "b"}})
	if got[0].Band != "branch 0:6, prio 0" || got[1].Band != "branch 0:9, prio 3" {
		t.Errorf("landed in %q and %q", got[0].Band, got[1].Band)
	}
}
