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

// onOtherHost runs the calling test again by a child on a host of its own, joined
// with that of the gateway. The child gets the gateway's host, the caller "": its part
// is done.
func onOtherHost(t *testing.T, join func(t *testing.T, gateway, other namespace)) namespace {
	t.Helper()
	const host, program = "GATEWAY_HOST", "GATEWAY_PROGRAM"
	if os.Getenv(childOfTest) != "" {
		binary = os.Getenv(program)
		return namespace(os.Getenv(host))
	}
	gateway, other := newNamespace(t), newNamespace(t)
	join(t, gateway, other)
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

// byLink joins the hosts by nothing but a link.
func byLink(t *testing.T, gateway, other namespace) {
	t.Helper()
	gateway.join(t, "eth0", other)
	gateway.address(t, gatewayIPv4, gatewayIPv6, otherIPv4, otherIPv6)
	other.address(t, otherIPv4, otherIPv6, gatewayIPv4, gatewayIPv6)
}

// byRouter puts a router between them, for IPv4. Its queue towards the other host is
// the bottleneck, and holds 80 ms.
func byRouter(t *testing.T, gateway, other namespace) {
	t.Helper()
	const routerIPv4 = "10.9.0.3"
	router := newNamespace(t)
	for device, host := range map[string]namespace{"eth0": gateway, "eth1": other} {
		router.join(t, device, host)
		address := map[string]string{"eth0": gatewayIPv4, "eth1": otherIPv4}[device]
		router.ip(t, "address add "+routerIPv4+"/32 dev "+device)
		router.ip(t, "route add "+address+" dev "+device)
		host.ip(t, "address add "+address+"/32 dev eth0")
		host.ip(t, "route add "+routerIPv4+" dev eth0")
		host.ip(t, "route add default via "+routerIPv4)
	}
	// pfifo_fast counts packets: 660 of 1,514 bytes take 80 ms.
	router.run(t, "sh", "-ec", `echo 1 >/proc/sys/net/ipv4/ip_forward; ip link set dev eth1 txqueuelen 660
tc qdisc add dev eth1 root handle 1: tbf rate 100mbit burst 16k limit 1m; tc qdisc add dev eth1 parent 1:1 handle 2: pfifo_fast`)
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
