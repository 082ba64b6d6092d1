//go:build e2e

package main

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The addresses of the gateway's host and of the other one, which has everything
// else: clients, apps and brokers.
const (
	gatewayIPv4, otherIPv4 = "10.9.0.1", "10.9.0.2"
	gatewayIPv6, otherIPv6 = "fd00:9::1", "fd00:9::2"
)

// onOtherHost runs the calling test again by a child on a host of its own, joined by
// a link with that of the gateway. The child gets the gateway's host, the caller "":
// its part is done.
func onOtherHost(t *testing.T) namespace {
	t.Helper()
	const host, program = "GATEWAY_HOST", "GATEWAY_PROGRAM"
	if os.Getenv(childOfTest) != "" {
		binary = os.Getenv(program)
		return namespace(os.Getenv(host))
	}
	gateway, other := newNamespace(t), newNamespace(t)
	gateway.join(t, other)
	gateway.address(t, gatewayIPv4, gatewayIPv6, otherIPv4, otherIPv6)
	other.address(t, otherIPv4, otherIPv6, gatewayIPv4, gatewayIPv6)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := slices.DeleteFunc(slices.Clone(os.Args[1:]), func(arg string) bool { return strings.HasPrefix(arg, "-test.testlogfile") })
	this := "^" + t.Name() + "$"
	if _, sub, ok := strings.Cut(flag.Lookup("test.run").Value.String(), "/"); ok {
		this += "/" + sub
	}
	args = append([]string{self}, append(args, "-test.v", "-test.run="+this)...)
	cmd := exec.CommandContext(t.Context(), "ip", other.args(args)...)
	cmd.Env = append(os.Environ(), childOfTest+"=yes", host+"="+string(gateway), program+"="+binary)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Run(); err != nil {
		t.Errorf("on the other host: %v", err)
	}
	return ""
}

// address gives eth0 its addresses, and says that everything else is behind the peer.
func (n namespace) address(t *testing.T, ipv4, ipv6, peer4, peer6 string) {
	t.Helper()
	for _, args := range []string{
		"address add " + ipv4 + "/24 dev eth0", "-6 address add " + ipv6 + "/64 dev eth0 nodad",
		"route add default via " + peer4, "-6 route add default via " + peer6,
	} {
		n.ip(t, args)
	}
}

// unprivileged makes a command one of an ordinary user, who has no capability.
var unprivileged = []string{"setpriv", "--reuid", "1377", "--regid", "1377", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"}

// startGatewayOn runs a gateway on another host, for clients at both of its addresses
// and this one; with are commands to run it with, and config is the rest of its file.
func startGatewayOn(t *testing.T, host namespace, with []string, config string) gatewayProgram {
	t.Helper()
	dir, err := os.MkdirTemp("", "overtake-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, readable := range []string{dir, filepath.Dir(binary)} {
		if err := os.Chmod(readable, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "overtake.yaml")
	write(t, file, `
listeners: [{name: public, address: ":8080", trust: [10.9.0.0/24, "fd00:9::/64"]}]
admin: "`+gatewayIPv4+`:9901"
`+config)
	p := host.start(t, append(slices.Clone(with), binary, "gateway", "-c", file)...)
	p.find(t, `msg=listening listener=(admin)`)
	return gatewayProgram{program: p, url: "http://" + gatewayIPv4 + ":8080", admin: "http://" + gatewayIPv4 + ":9901"}
}

// open lets others reach a server that listens on this host's loopback device only,
// under the same port.
func open(t *testing.T, server string) (address string) {
	t.Helper()
	port := server[strings.LastIndexByte(server, ':')+1:]
	write(t, "/proc/sys/net/ipv4/conf/all/route_localnet", "1")
	tool(t, "iptables", "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "-d", otherIPv4, "--dport", port, "-j", "DNAT", "--to-destination", server)
	return otherIPv4 + ":" + port
}
