//go:build e2e

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sidecarProgram is a running sidecar.
type sidecarProgram struct {
	*program
	inbound, outbound string // URLs
}

func startSidecar(t *testing.T, args ...string) sidecarProgram {
	t.Helper()
	p := start(t, append([]string{"sidecar", "--admin", "off"}, args...)...)
	return sidecarProgram{
		program: p, inbound: "http://" + p.find(t, `msg=listening listener=inbound address=(\S+)`),
		outbound: "http://" + p.find(t, `msg=listening listener=outbound address=(\S+)`),
	}
}

// classAt reads what an /echo says that it saw.
func classAt(echo string) string {
	for _, class := range []string{"interactive", "standard", "batch"} {
		if strings.Contains(echo, `"Latency-Class":["`+class+`"]`) || strings.Contains(echo, `"Latency-Class":"`+class+`"`) {
			return class
		}
	}
	return "none in " + echo
}

// The command beside an app, from flags alone: the class of an inbound request is
// that of the app's calls, by HTTP_PROXY and after a restart too.
func TestE2ESidecar(t *testing.T) {
	app, next := startApp(t, 4), startApp(t, 4)
	s := startSidecar(t, "--inbound", "127.0.0.1:0", "--app", app, "--outbound", "127.0.0.1:0")
	call := func(args ...string) string {
		stdout, _ := tool(t, "curl", append([]string{"-sS", "--proxy", s.outbound, next + "/echo"}, args...)...)
		return classAt(stdout)
	}
	letIn := func(class string) {
		if stdout, _ := tool(t, "curl", "-sS", s.inbound+"/echo", "-H", "Latency-Class: "+class, "-H", "x-request-id: r-"+class); classAt(stdout) != class {
			t.Errorf("the app saw %s, want %s", classAt(stdout), class)
		}
	}
	for _, class := range []string{"interactive", "standard", "batch"} {
		letIn(class)
		if got := call("-H", "x-request-id: r-"+class); got != class {
			t.Errorf("a call for a request of class %s has %s", class, got)
		}
	}
	if got := call(); got != "standard" {
		t.Errorf("a call for nobody has class %s", got)
	}
	if got := call("-H", "x-request-id: r-interactive", "-H", "Latency-Class: batch"); got != "batch" {
		t.Errorf("a lowered call has class %s", got)
	}
	if got := call("-H", "x-request-id: r-batch", "-H", "Latency-Class: interactive"); got != "batch" {
		t.Errorf("a call that claims to be interactive has class %s", got)
	}
	if stdout, _ := tool(t, "curl", "-sS", "--proxytunnel", "--proxy", s.outbound, next+"/echo"); classAt(stdout)[:4] != "none" {
		t.Errorf("in a tunnel, the next hop saw %s", stdout)
	}

	// Killed, it forgets; started again at the same addresses, it serves.
	s.kill(t)
	inbound, outbound := strings.TrimPrefix(s.inbound, "http://"), strings.TrimPrefix(s.outbound, "http://")
	s = startSidecar(t, "--inbound", inbound, "--app", app, "--outbound", outbound)
	if got := call("-H", "x-request-id: r-interactive"); got != "standard" {
		t.Errorf("after a restart, a call for an old request has class %s", got)
	}
	letIn("interactive")
	if got := call("-H", "x-request-id: r-interactive"); got != "interactive" {
		t.Errorf("after a restart, a call has class %s", got)
	}
	s.stop(t)
}

// SIGTERM waits for a tunnel, in both directions.
func TestE2ESidecarDrainsATunnel(t *testing.T) {
	far, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	s := startSidecar(t, "--inbound", "127.0.0.1:0", "--app", "http://127.0.0.1:1", "--outbound", "127.0.0.1:0")
	app, err := net.Dial("tcp", strings.TrimPrefix(s.outbound, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	app.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(app, "CONNECT %s HTTP/1.1\r\nHost: x\r\n\r\n", far.Addr())
	resp, err := http.ReadResponse(bufio.NewReader(app), &http.Request{Method: http.MethodConnect})
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("CONNECT: %v %v", resp, err)
	}
	server, err := far.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	server.SetDeadline(time.Now().Add(patience))
	s.signal(t, syscall.SIGTERM)
	s.find(t, `msg=(draining)`)
	pass := func(from, to net.Conn, text string) {
		t.Helper()
		got := make([]byte, len(text))
		if _, err := io.WriteString(from, text); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(to, got); err != nil || string(got) != text {
			t.Fatalf("got %q, %v, want %q", got, err, text)
		}
	}
	pass(app, server, "there")
	pass(server, app, "and back")
	app.Close()
	server.Close()
	if code := s.wait(t); code != exitOK {
		t.Errorf("it exited with %d", code)
	}
}

// sidecarUser is whom the redirect leaves alone. Any number will do.
const sidecarUser = "1377"

// startNextHop serves /echo at 10.9.0.2 and fd00:9::2, by HTTP at two ports and by
// HTTPS. Nobody listens at 10.9.0.3 and fd00:9::3.
func (ns namespace) startNextHop(t *testing.T) {
	t.Helper()
	for _, address := range []string{"10.9.0.2/32", "10.9.0.3/32"} {
		ns.run(t, "ip", "address", "add", address, "dev", "lo")
	}
	for _, address := range []string{"fd00:9::2/128", "fd00:9::3/128"} {
		ns.run(t, "ip", "-6", "address", "add", address, "dev", "lo", "nodad")
	}
	dir := t.TempDir()
	t.Chdir(dir)
	writeCertificate(t, "tls.crt", "tls.key")
	for _, address := range []string{"10.9.0.2:80", "[fd00:9::2]:80", "10.9.0.2:8080", "[fd00:9::2]:8080", "127.0.0.1:9000"} {
		ns.start(t, binary, "app", "--listen", address).find(t, `http://\S+`)
	}
	secure := filepath.Join(dir, "secure.yaml")
	write(t, secure, `
listeners: [{address: "10.9.0.2:443", tls: {cert: tls.crt, key: tls.key}}, {address: "[fd00:9::2]:443", tls: {cert: tls.crt, key: tls.key}}]
upstreams: {app: {servers: ["http://127.0.0.1:9000"]}}
admin: "off"
`)
	ns.start(t, binary, "gateway", "-c", secure).find(t, `msg=listening listener=(listener-2)`)
}

// startSidecar runs a sidecar as a user of its own, and redirects ports 80 and 443
// to a listener for each family, and 8080 to one for both.
func (ns namespace) startSidecar(t *testing.T) *program {
	t.Helper()
	if err := os.Chmod(filepath.Dir(binary), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(filepath.Dir(binary), "sidecar.yaml")
	write(t, file, `
listeners:
  - {address: "127.0.0.1:15006", role: inbound}
  - {address: "127.0.0.1:15001", role: outbound}
  - {address: "[::1]:15001", role: outbound}
  - {address: ":15002", role: outbound}
upstreams: {app: {servers: ["http://127.0.0.1:9000"]}}
admin: "off"
`)
	s := ns.start(t, "setpriv", "--reuid", sidecarUser, "--regid", sidecarUser, "--clear-groups", binary, "sidecar", "-c", file)
	s.find(t, `msg=listening listener=(listener-4)`)
	ns.exclude(t, "-A")
	for _, iptables := range []string{"iptables", "ip6tables"} {
		ns.run(t, iptables, "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-m", "multiport", "--dports", "80,443", "-j", "REDIRECT", "--to-ports", "15001")
		ns.run(t, iptables, "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "--dport", "8080", "-j", "REDIRECT", "--to-ports", "15002")
	}
	return s
}

// exclude adds (-A) or deletes (-D) the rule that leaves the sidecar alone.
func (ns namespace) exclude(t *testing.T, how string) {
	t.Helper()
	for _, iptables := range []string{"iptables", "ip6tables"} {
		ns.run(t, iptables, "-t", "nat", how, "OUTPUT", "-p", "tcp", "-m", "owner", "--uid-owner", sidecarUser, "-j", "RETURN")
	}
}

// Behind an iptables REDIRECT an app needs no setting at all: its calls are served
// by the sidecar and go where they were going, by IPv4 and IPv6, TLS as it is; and
// a redirect that does not leave the sidecar alone does no harm.
func TestE2ESidecarRedirect(t *testing.T) {
	ns := newNamespace(t)
	ns.startNextHop(t)
	s := ns.startSidecar(t)
	ns.run(t, "curl", "-sS", "http://127.0.0.1:15006/echo", "-H", "Latency-Class: interactive", "-H", "x-request-id: r-1")
	for _, host := range []string{"10.9.0.2", "[fd00:9::2]"} {
		for _, port := range []string{"80", "8080"} {
			if got := classAt(ns.run(t, "curl", "-gsS", "http://"+host+":"+port+"/echo", "-H", "x-request-id: r-1")); got != "interactive" {
				t.Errorf("%s saw class %s at port %s", host, got, port)
			}
		}
		if got := classAt(ns.run(t, "curl", "-gsS", "http://"+host+"/echo", "-H", "Host: of.another")); got != "standard" {
			t.Errorf("%s saw class %s of a call for nobody", host, got)
		}
		if got := ns.run(t, "curl", "-gksS", "https://"+host+"/echo"); !strings.Contains(got, "Latency-Class") {
			t.Errorf("%s answered by TLS: %s", host, got)
		}
		silent := strings.NewReplacer("0.2", "0.3", "::2", "::3").Replace(host)
		if got := ns.run(t, "curl", "-gsS", "http://"+silent+"/"); !strings.Contains(got, "connect_failed") {
			t.Errorf("where nobody listens: %s", got)
		}
	}

	// Without the exclusion, its own connections come back to it; new ones, that
	// is, and so to where no call has come yet.
	ns.exclude(t, "-D")
	if stdout := ns.run(t, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://10.9.0.3/"); stdout != "508" {
		t.Errorf("a loop was answered with %s, want 508", stdout)
	}
	if r := ns.try(t, "curl", "-sk", "https://10.9.0.2/echo"); r.code == 0 {
		t.Error("TLS through a loop was answered")
	}
	s.find(t, `exclude the user that the gateway (runs) as`)
	s.stop(t)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
