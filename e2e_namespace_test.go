//go:build e2e

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// namespace is a network namespace, a host of its own, by the name that ip knows.
type namespace string

var namespaces int

// newNamespace makes a namespace that has the loopback device alone, and removes it
// after the test.
func newNamespace(t *testing.T) namespace {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("network namespaces take root: run this test as root")
	}
	namespaces++
	n := namespace(fmt.Sprintf("overtake-e2e-%d-%d", os.Getpid(), namespaces))
	tool(t, "ip", "netns", "add", string(n))
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "delete", string(n)).CombinedOutput(); err != nil {
			t.Errorf("ip netns delete %s: %v\n%s", n, err, out)
		}
	})
	n.ip(t, "link set lo up")
	return n
}

// join connects two namespaces: the device of the one leads to eth0 of the other.
func (n namespace) join(t *testing.T, device string, other namespace) {
	t.Helper()
	n.ip(t, "link add "+device+" type veth peer name eth0 netns "+string(other))
	n.ip(t, "link set "+device+" up")
	other.ip(t, "link set eth0 up")
}

// ip runs ip in the namespace with arguments in one string.
func (n namespace) ip(t *testing.T, args string) {
	t.Helper()
	tool(t, "ip", append([]string{"-n", string(n)}, strings.Fields(args)...)...)
}

func (n namespace) args(command []string) []string {
	return append([]string{"netns", "exec", string(n)}, command...)
}

// try runs a command to its end.
func (n namespace) try(t *testing.T, command ...string) result {
	t.Helper()
	return runTool(t, nil, nil, "ip", n.args(command)...)
}

// run runs a command that must succeed and returns what it printed.
func (n namespace) run(t *testing.T, command ...string) string {
	t.Helper()
	stdout, _ := tool(t, "ip", n.args(command)...)
	return stdout
}

// start runs a command until the test ends.
func (n namespace) start(t *testing.T, command ...string) *program {
	t.Helper()
	return startTool(t, nil, "ip", n.args(command)...)
}
