package qdisc

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var rewrite = flag.Bool("rewrite", false, "write the expected text of testdata anew")

// The commands for some lists of classes are those in testdata.
func TestPlanCommands(t *testing.T) {
	eight := make([]Class, 8)
	for i := range eight {
		eight[i] = Class{Name: fmt.Sprint(i), DSCP: new(8 * (i + 1) % 64), Floor: 100 * i}
	}
	for _, c := range []struct {
		name    string
		classes []Class
		rate    uint64 // in Mbit/s
	}{
		{"three", three(), 1000},
		{"by-priority", []Class{{Name: "a", Priority: new(6)}, {Name: "b", Priority: new(2)}, {Name: "c"}}, 100},
		{"by-mark", []Class{{Name: "a", Mark: new(uint32(7))}, {Name: "b", Mark: new(uint32(1 << 31))}}, 2500},
		{"mixed", []Class{{Name: "a", DSCP: new(18)}, {Name: "b", Mark: new(uint32(7))}, {Name: "c", Priority: new(1)}, {Name: "d"}}, 10_000},
		{"not-told-apart", []Class{{Name: "a", DSCP: new(18)}, {Name: "b", DSCP: new(18)}, {Name: "c", DSCP: new(1)}}, 1000},
		{"eight", eight, 40_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree, err := Plan("eth0", c.classes, c.rate*1e6/8)
			got := strings.Join(tree.Commands(), "\n") + "\n"
			if err != nil {
				got = err.Error() + "\n"
			}
			file := filepath.Join("testdata", c.name+".txt")
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestPlanRefuses(t *testing.T) {
	for _, c := range []struct {
		classes []Class
		rate    uint64
		want    string
	}{
		{nil, 1e8, "qdisc: 0 classes, want 1 to 8"},
		{make([]Class, 9), 1e8, "qdisc: 9 classes, want 1 to 8"},
		{[]Class{{Name: "a"}, {Name: "b"}, {Name: "c", DSCP: new(1)}}, 1e8,
			"qdisc: nothing tells the packets of a and b apart; give all but one a mark of their own, such as socket: {dscp: AF21}"},
		{[]Class{{Name: "a", DSCP: new(18)}, {Name: "b", DSCP: new(18)}}, 1e8,
			"qdisc: nothing tells the packets of a and b apart; give all but one a mark of their own, such as socket: {dscp: AF21}"},
		{three(), 1, "qdisc: rate 8bit, want 100kbit to 1tbit"},
		{three(), 1e12, "qdisc: rate 8tbit, want 100kbit to 1tbit"},
		{[]Class{{Name: "a", DSCP: new(64)}}, 1e8, "qdisc: class a: dscp 64, want 0 to 63"},
		{[]Class{{Name: "a", Priority: new(16)}}, 1e8, "qdisc: class a: priority 16, want 0 to 15"},
		{[]Class{{Name: "a", Floor: -1}}, 1e8, "qdisc: class a: floor -1, want 0 or more"},
		{[]Class{{Name: "a", Floor: 5000}, {Name: "b", Floor: 4001, DSCP: new(1)}}, 1e8, "qdisc: the floors of all classes are 90.01%, want 90% at most"},
	} {
		if _, err := Plan("eth0", c.classes, c.rate); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// Whatever the classes, each one gets a branch of its own that its packets land
// in, in class order, and the branches share the rate.
func TestPlanGivesEachClassItsBranch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		classes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Class {
			return Class{
				Name:     rapid.StringMatching("[a-z]{3}").Draw(t, "name"),
				Priority: rapid.Ptr(rapid.IntRange(0, 15), true).Draw(t, "priority"),
				DSCP:     rapid.Ptr(rapid.IntRange(0, 63), true).Draw(t, "dscp"),
				Mark:     rapid.Ptr(rapid.Uint32(), true).Draw(t, "mark"),
				Floor:    rapid.IntRange(0, 1125).Draw(t, "floor"),
			}
		}), 1, 8).Draw(t, "classes")
		rate := rapid.Uint64Range(MinRate, MaxRate).Draw(t, "rate")
		tree, err := Plan("eth0", classes, rate)
		if err != nil {
			return // nothing tells two of them apart
		}
		var sum uint64
		for i, b := range tree.Branches[1:] {
			if b.ID != branchID(i) || b.Prio != uint32(i) || b.Ceil != rate || b.Rate < rate*uint64(classes[i].Floor)/10000 || b.Rate == 0 {
				t.Fatalf("class %d has %+v of %d", i, b, rate)
			}
			sum += b.Rate
		}
		if sum != rate || tree.Branches[0].Rate != rate {
			t.Fatalf("the branches have %d of %d", sum, rate)
		}
		for i, l := range tree.Land(classes) {
			if want := fmt.Sprintf("branch %s, prio %d", handleText(branchID(i)), i); l.Band != want || l.Trouble != "" {
				t.Fatalf("class %d landed in %v, want %s", i, l, want)
			}
		}
		if !tree.same(tree) {
			t.Fatal("a tree is not the same as itself")
		}
	})
}

// A tree with one thing changed is another.
func TestSameNoticesAChange(t *testing.T) {
	plan := func() Tree {
		tree, err := Plan("eth0", three(), 1e8)
		if err != nil {
			t.Fatal(err)
		}
		return tree
	}
	pfifo := plan()
	pfifo.Queues[1].Kind = "pfifo"
	pfifo.Branches[1].Counters.Packets = 7
	if !plan().same(pfifo) {
		t.Error("a leaf of another kind and counters make it another")
	}
	for name, change := range map[string]func(*Tree){
		"device":         func(t *Tree) { t.Device = "eth1" },
		"default":        func(t *Tree) { t.Queues[0].Default++ },
		"leaf kind":      func(t *Tree) { t.Queues[1].Kind = "tbf" },
		"no leaf":        func(t *Tree) { t.Queues = t.Queues[:3] },
		"rate":           func(t *Tree) { t.Branches[1].Rate++ },
		"ceil":           func(t *Tree) { t.Branches[2].Ceil-- },
		"prio":           func(t *Tree) { t.Branches[3].Prio = 7 },
		"one more":       func(t *Tree) { t.Branches = append(t.Branches, Branch{ID: ourHandle | 0x99}) },
		"filter's value": func(t *Tree) { t.Filters[0].Value++ },
		"filter's aim":   func(t *Tree) { t.Filters[0].To++ },
		"no filter":      func(t *Tree) { t.Filters = t.Filters[1:] },
	} {
		other := plan()
		change(&other)
		if plan().same(other) {
			t.Errorf("%s: it is taken for the same", name)
		}
	}
}
