//go:build e2e

package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// newLinkedNamespace makes a namespace with a link, of which eth0 is this end, and a
// device that does not know its speed.
func newLinkedNamespace(t *testing.T) namespace {
	t.Helper()
	n := newNamespace(t)
	for _, args := range []string{"link add eth0 type veth peer name eth1", "link set eth0 up", "link add ifb7 type ifb"} {
		n.ip(t, args)
	}
	return n
}

// qdisc runs overtake qdisc, which must succeed, and returns what it printed.
func (n namespace) qdisc(t *testing.T, args ...string) string {
	t.Helper()
	r := n.try(t, append([]string{binary, "qdisc"}, args...)...)
	if r.code != 0 || r.stderr != "" {
		t.Fatalf("overtake qdisc %s exited with %d:\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// tree is what tc says of the queues of eth0, in a fixed order.
func (n namespace) tree(t *testing.T) string {
	t.Helper()
	var lines []string
	for _, kind := range []string{"qdisc", "class", "filter"} {
		// The match of a filter is on a line of its own.
		text := strings.ReplaceAll(n.run(t, "tc", kind, "show", "dev", "eth0"), "\n  ", " ")
		lines = append(lines, strings.Split(strings.TrimSpace(text), "\n")...)
	}
	slices.Sort(lines)
	return regexp.MustCompile(`direct_packets_stat \d+`).ReplaceAllString(strings.Join(lines, "\n"), "direct_packets_stat N")
}

const qdiscClassesFile = `
upstreams: {app: {servers: ["http://127.0.0.1:1"]}}
classes:
  - {name: fast, socket: {priority: 6, dscp: EF}}
  - {name: middle, floor: 30%}
  - {name: slow, floor: 10%, socket: {dscp: LE}}
default_class: middle
`

// What apply builds is what its tc commands build, what tc reads, and what apply
// recognises.
func TestE2EQdiscAndTC(t *testing.T) {
	byProgram, byTC := newLinkedNamespace(t), newLinkedNamespace(t)
	fresh := byProgram.tree(t)
	file := writeConfig(t, qdiscClassesFile)
	for _, args := range [][]string{
		{"--dev", "eth0", "--rate", "100mbit"},
		{"--dev", "eth0"}, // a veth says that it has 10 Gbit/s
		{"--dev", "eth0", "--rate", "2500mbit", "-c", file},
	} {
		apply := append([]string{"apply"}, args...)
		before := byProgram.tree(t)
		commands := byProgram.qdisc(t, append(apply, "--dry-run")...)
		if got := byProgram.tree(t); got != before {
			t.Fatalf("%v: a dry run changed\n%s\nto\n%s", args, before, got)
		}
		byTC.run(t, "sh", "-ec", commands)
		byProgram.qdisc(t, apply...)
		got, want := byProgram.tree(t), byTC.tree(t)
		if got != want || !strings.Contains(got, "6f76:12") {
			t.Errorf("%v: tc reads\n%s\nand from its own commands\n%s", args, got, want)
		}
		for _, n := range []namespace{byProgram, byTC} {
			if got, want := n.qdisc(t, apply...), "eth0: nothing to do: the queues for these classes are there\n"; got != want {
				t.Errorf("%v again: %s, want %s", args, got, want)
			}
			if got, want := n.qdisc(t, append(apply, "--dry-run")...), "# eth0: nothing to do: the queues for these classes are there\n"; got != want {
				t.Errorf("%v again, dry: %s, want %s", args, got, want)
			}
		}
	}
	byTC.run(t, "sh", "-ec", byTC.qdisc(t, "remove", "--dev", "eth0", "--dry-run"))
	if got, want := byProgram.qdisc(t, "remove", "--dev", "eth0"), "eth0: removed Overtake's queues; the kernel's default is back\n"; got != want {
		t.Errorf("removed: %s, want %s", got, want)
	}
	for _, n := range []namespace{byProgram, byTC} {
		if got := n.tree(t); got != fresh {
			t.Errorf("after the removal there is\n%s\nbefore there was\n%s", got, fresh)
		}
		if got, want := n.qdisc(t, "remove", "--dev", "eth0", "--dry-run"), "# eth0: nothing to do: Overtake made no queues there\n"; got != want {
			t.Errorf("removed again: %s, want %s", got, want)
		}
	}
}

// tc takes the commands for a class that only its priority tells apart, or the
// kernel lacks what they need; it is not their spelling.
func TestE2EQdiscPriorityCommands(t *testing.T) {
	n := newLinkedNamespace(t)
	file := writeConfig(t, strings.NewReplacer(", dscp: EF", "", "dscp: LE", "priority: 1").Replace(qdiscClassesFile))
	apply := []string{"apply", "--dev", "eth0", "--rate", "1gbit", "-c", file}
	filters := 0
	for command := range strings.Lines(n.qdisc(t, append(apply, "--dry-run")...)) {
		r := n.try(t, "sh", "-c", command)
		if strings.Contains(command, "tc filter") {
			filters++
			if r.code != 0 && !strings.Contains(r.stderr, "We have an error talking to the kernel") {
				t.Errorf("%s exited with %d:\n%s", command, r.code, r.stderr)
			}
		} else if r.code != 0 {
			t.Errorf("%s exited with %d:\n%s", command, r.code, r.stderr)
		}
	}
	if filters != 2 {
		t.Errorf("there are %d filters, want 2", filters)
	}
	n.qdisc(t, apply...)
	want := regexp.MustCompile(`bpf chain 0 handle 0x1 flowid 6f76:10 overtake-priority-6 .*\n.* handle 0x2 flowid 6f76:12 overtake-priority-1 `)
	if got := n.tree(t); !want.MatchString(got) {
		t.Errorf("tc reads\n%s\nwant %s in it", got, want)
	}
}

// show tells for each class where it waits and what helps.
func TestE2EQdiscShow(t *testing.T) {
	n := newLinkedNamespace(t)
	show := func(want ...string) {
		t.Helper()
		lines := strings.Split(strings.TrimSuffix(n.qdisc(t, "show", "--dev", "eth0"), "\n"), "\n")
		if len(lines) != 4 {
			t.Fatalf("it printed %q", lines)
		}
		for i, pattern := range want {
			if !regexp.MustCompile(`^` + pattern + `\s*$`).MatchString(lines[i+1]) {
				t.Errorf("it printed\n%s, want %s", lines[i+1], pattern)
			}
		}
	}
	none := `marks have no effect on this device`
	show(`interactive  priority 6, dscp AF21  noqueue  no queue +`+none, `standard     none +noqueue  no queue +`+none, `batch        priority 1, dscp LE    noqueue  no queue +`+none)
	n.run(t, "sh", "-ec", "tc qdisc add dev eth0 root handle 1: tbf rate 100mbit burst 100k limit 100k; tc qdisc add dev eth0 parent 1:1 handle 2: pfifo_fast")
	show(`interactive .* tbf > pfifo_fast  band 0 of 3`, `standard .* tbf > pfifo_fast  band 1 of 3`, `batch .* tbf > pfifo_fast  band 2 of 3`)
	n.qdisc(t, "apply", "--dev", "eth0", "--force")
	show(`interactive .* htb    branch 6f76:10, prio 0  \d+ +\d+ +0`, `standard .* htb    branch 6f76:11, prio 1  \d+ +\d+ +0`, `batch .* htb    branch 6f76:12, prio 2  \d+ +\d+ +0`)
}

// Wrong uses and refusals have one line with the remedy, and an exit code of their
// kind; nothing is changed.
func TestE2EQdiscRefuses(t *testing.T) {
	n := newLinkedNamespace(t)
	plain := writeConfig(t, "upstreams: {app: {servers: [\"http://127.0.0.1:1\"]}}\n")
	n.run(t, "sh", "-ec", "tc qdisc add dev eth1 root handle 7: tbf rate 1mbit burst 10k limit 10k")
	before := n.tree(t)
	powerless := []string{"setpriv", "--bounding-set=-all", "--inh-caps=-all"}
	for _, c := range []struct {
		name string
		with []string
		args string
		code int
		want string
	}{
		{"no command", nil, "", 2, `overtake: expected one of "show", "apply", "remove" \(overtake qdisc --help has an example\)`},
		{"no device", nil, "apply", 2, `overtake: missing flags: --dev=IF \(overtake qdisc apply --help has an example\)`},
		{"unknown device", nil, "show --dev eth9", 2, `overtake: qdisc: no device "eth9", there is lo, (\w+, )*eth0.* \(overtake qdisc show --help has an example\)`},
		{"unknown device to remove from", nil, "remove --dev eth9", 2, `overtake: qdisc: no device "eth9", there is .*`},
		{"loopback", nil, "apply --dev lo --rate 1gbit", 2, `overtake: qdisc: lo is loopback, where packets don't wait; name the device that leads to the network .*`},
		{"no rate", nil, "apply --dev ifb7", 2, `overtake: qdisc: ifb7 does not know how fast it is; say it with --rate, such as --rate 1gbit .*`},
		{"bad rate", nil, "apply --dev eth0 --rate 100", 2, `overtake: --rate: "100" has no unit; write 100mbit or 100bit .*`},
		{"no rate at all", nil, "apply --dev eth0 --rate 0gbit", 2, `overtake: --rate: "0gbit" is nothing; write what there is, such as 100mbit or 1gbit .*`},
		{"empty rate", nil, "apply --dev eth0 --rate=", 2, `overtake: --rate: "" is not a rate; write a whole number of bits per second with a unit, such as 500kbit, 10mbit or 1gbit .*`},
		{"too slow", nil, "apply --dev eth0 --rate 1kbit", 2, `overtake: qdisc: rate 1kbit, want 100kbit to 1tbit .*`},
		{"classes without marks", nil, "apply --dev eth0 -c " + plain, 2,
			`overtake: qdisc: nothing tells the packets of interactive and standard and batch apart; give all but one a mark of their own, such as socket: {dscp: AF21} .*`},
		{"missing file", nil, "show --dev eth0 -c /none/overtake.yaml", 2, `/none/overtake.yaml: can't be read: no such file or directory`},
		{"somebody else's", nil, "apply --dev eth1 --rate 1gbit", 1, `overtake: qdisc: eth1 has tbf 7:, which somebody else made; --force replaces it, for good`},
		{"somebody else's, dry", nil, "apply --dev eth1 --rate 1gbit --dry-run", 1, `overtake: qdisc: eth1 has tbf 7:, which somebody else made; --force replaces it, for good`},
		{"without capabilities", powerless, "apply --dev eth0 --rate 1gbit", 1,
			`overtake: qdisc: eth0: make htb 6f76:: it takes CAP_NET_ADMIN; run it as root: operation not permitted`},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append(slices.Clone(c.with), binary, "qdisc")
			checkRefused(t, n.try(t, append(args, strings.Fields(c.args)...)...), c.code, c.want)
		})
	}
	if got := n.tree(t); got != before {
		t.Errorf("they changed\n%s\nto\n%s", before, got)
	}
	if r := n.try(t, append(powerless, binary, "qdisc", "show", "--dev", "eth0")...); r.code != 0 || !strings.Contains(r.stdout, "noqueue") {
		t.Errorf("show without capabilities exited with %d:\n%s%s", r.code, r.stdout, r.stderr)
	}
}

// Every command has help with an example.
func TestE2EQdiscHelp(t *testing.T) {
	for _, command := range []string{"show", "apply", "remove"} {
		out, _ := tool(t, binary, "qdisc", command, "--help")
		if !strings.Contains(out, "overtake qdisc "+command+" --dev eth0") || !strings.Contains(out, "--dev=IF") {
			t.Errorf("%s --help printed\n%s", command, out)
		}
	}
	out, _ := tool(t, binary, "qdisc", "--help")
	for _, want := range []string{"Show in which", "Build queues", "Remove what"} {
		if !strings.Contains(out, want) {
			t.Errorf("--help printed\n%s\nwant %q in it", out, want)
		}
	}
}
