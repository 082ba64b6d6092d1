//go:build e2e

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	redirectUser = "65532" // whom the sidecar runs as
	appUser      = "1001"
)

// redirectedPod is a namespace with an app and its sidecar, as in a pod, and one
// beside it, from which it is called and which it calls.
type redirectedPod struct {
	pod, outside namespace
	script       string
	sidecar      *program
}

// newRedirectedPod starts the app at a port of 10.77.0.2 and fd77::2, and the sidecar
// with that configuration as a user, without any capability. Outside, 10.77.0.1 and
// fd77::1 serve /echo at ports 80, 8081 and 8082, and by HTTPS at 443; so do
// 10.77.9.1 and fd77:9::1 at 80.
func newRedirectedPod(t *testing.T, appPort, user, config string) *redirectedPod {
	t.Helper()
	script := redirectScript(t)
	p := &redirectedPod{pod: newNamespace(t), outside: newNamespace(t), script: script}
	p.outside.join(t, "pod", p.pod)
	p.outside.ip(t, "address add 10.77.0.1/24 dev pod")
	p.outside.ip(t, "address add 10.77.9.1/32 dev pod")
	p.outside.ip(t, "-6 address add fd77::1/64 dev pod nodad")
	p.outside.ip(t, "-6 address add fd77:9::1/128 dev pod nodad")
	p.pod.ip(t, "address add 10.77.0.2/24 dev eth0")
	p.pod.ip(t, "-6 address add fd77::2/64 dev eth0 nodad")
	p.pod.ip(t, "route add default via 10.77.0.1")
	p.pod.ip(t, "-6 route add default via fd77::1")

	dir := filepath.Dir(binary)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	writeCertificate(t, "tls.crt", "tls.key")
	write(t, "secure.yaml", `
listeners: [{address: ":443", tls: {cert: tls.crt, key: tls.key}}]
upstreams: {app: {servers: ["http://127.0.0.1:8081"]}}
admin: "off"
`)
	for _, address := range []string{":80", ":8081", ":8082"} {
		p.outside.start(t, binary, "app", "--listen", address).find(t, `http://\S+`)
	}
	p.outside.start(t, binary, "gateway", "-c", "secure.yaml").find(t, `msg=listening listener=(public)`)
	p.pod.start(t, "setpriv", "--reuid", appUser, "--regid", appUser, "--clear-groups", binary, "app", "--listen", ":"+appPort).find(t, `http://\S+`)

	file := filepath.Join(dir, "redirected.yaml")
	write(t, file, config)
	p.sidecar = p.pod.start(t, "setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--bounding-set", "-all", "--inh-caps", "-all",
		"--no-new-privs", binary, "sidecar", "-c", file)
	p.sidecar.find(t, `msg=listening listener=(admin)`)
	return p
}

// redirect runs the script with these settings, which must succeed, and returns what
// it said.
func (p *redirectedPod) redirect(t *testing.T, settings ...string) string {
	t.Helper()
	return p.pod.run(t, append(append([]string{"env"}, settings...), "sh", p.script)...)
}

// tables are the rules of both families as they are now.
func (p *redirectedPod) tables(t *testing.T) string {
	t.Helper()
	return p.pod.run(t, "iptables", "-t", "nat", "-S") + p.pod.run(t, "ip6tables", "-t", "nat", "-S")
}

// call returns the class that the other side sees of a call by a user in the pod, for
// the requests that were let in with class.
func (p *redirectedPod) call(t *testing.T, user, url, class string) string {
	t.Helper()
	return classAt(p.pod.run(t, "setpriv", "--reuid", user, "--regid", user, "--clear-groups", "curl", "-gksS", url+"/echo", "-H", "x-request-id: r-"+class))
}

// letIn returns the class that the app sees of a request that gives class, if any.
func (p *redirectedPod) letIn(t *testing.T, url, class string) string {
	t.Helper()
	return classAt(p.outside.run(t, "curl", "-gsS", url+"/echo", "-H", "x-request-id: r-"+class, "-H", "Latency-Class: "+class))
}

// seen fails when the class that was seen is another; "none" is that nobody stamped
// one.
func seen(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want && !(want == "none" && strings.HasPrefix(got, "none")) {
		t.Errorf("%s: the class that was seen is %s, want %s", what, got, want)
	}
}

// The chart's script leads the connections of a pod's app through its sidecar, in
// both directions and families, and leaves everything else alone.
func TestE2ERedirect(t *testing.T) {
	p := newRedirectedPod(t, "9000", redirectUser, `
listeners:
  - {address: ":15006", role: inbound}
  - {address: "127.0.0.1:15001", role: outbound}
  - {address: "[::1]:15001", role: outbound}
upstreams: {app: {servers: ["http://127.0.0.1:9000"]}}
admin: ":9901"
`)
	before := p.tables(t)
	seen(t, "before the redirect", p.letIn(t, "http://10.77.0.2:9000", ""), "none")

	settings := []string{
		"OVERTAKE_APP_PORTS=9000", "OVERTAKE_OUTBOUND_PORTS=80, 443 8081", "OVERTAKE_EXCLUDE_PORTS=8081", "OVERTAKE_EXCLUDE_CIDRS=10.77.9.0/24,fd77:9::/64",
	}
	p.redirect(t, settings...)
	once := p.tables(t)
	p.redirect(t, settings...)
	if twice := p.tables(t); twice != once {
		t.Errorf("a second run changes the rules:\n%s\nthe first made\n%s", twice, once)
	}

	for _, f := range []struct{ pod, outside, excluded string }{{"10.77.0.2", "10.77.0.1", "10.77.9.1"}, {"[fd77::2]", "[fd77::1]", "[fd77:9::1]"}} {
		seen(t, "let in without a class", p.letIn(t, "http://"+f.pod+":9000", ""), "standard")
		for _, class := range []string{"batch", "interactive"} {
			seen(t, "let in", p.letIn(t, "http://"+f.pod+":9000", class), class)
			seen(t, "a call for it", p.call(t, appUser, "http://"+f.outside, class), class)
		}
		seen(t, "TLS", p.call(t, appUser, "https://"+f.outside, "batch"), "standard") // by the gateway that ends it
		seen(t, "an excluded port", p.call(t, appUser, "http://"+f.outside+":8081", "batch"), "none")
		seen(t, "a port that is not redirected", p.call(t, appUser, "http://"+f.outside+":8082", "batch"), "none")
		seen(t, "an excluded network", p.call(t, appUser, "http://"+f.excluded, "batch"), "none")
		seen(t, "the sidecar's user", p.call(t, redirectUser, "http://"+f.outside, "batch"), "none")
		seen(t, "the pod's own address", p.call(t, appUser, "http://"+f.pod+":9000", "batch"), "none")
		if got := p.outside.run(t, "curl", "-gsS", "http://"+f.pod+":9901/healthz"); got != "alive\n" {
			t.Errorf("the admin port answers %q", got)
		}
	}
	seen(t, "loopback", p.call(t, appUser, "http://127.0.0.1:9000", "batch"), "none")

	// Other settings take the place of those before.
	p.redirect(t, "OVERTAKE_APP_PORTS=*", "OVERTAKE_OUTBOUND_PORTS=*")
	for _, f := range []struct{ pod, outside string }{{"10.77.0.2", "10.77.0.1"}, {"[fd77::2]", "[fd77::1]"}} {
		seen(t, "let in at any port", p.letIn(t, "http://"+f.pod+":7777", "batch"), "batch")
		seen(t, "let in at the inbound port", p.letIn(t, "http://"+f.pod+":15006", "batch"), "batch")
		seen(t, "a call to any port", p.call(t, appUser, "http://"+f.outside+":8081", "batch"), "batch")
		if got := p.outside.run(t, "curl", "-gsS", "http://"+f.pod+":9901/healthz"); got != "alive\n" {
			t.Errorf("with all ports redirected, the admin port answers %q", got)
		}
	}

	for range 2 { // the second has nothing to remove
		p.pod.run(t, "sh", p.script, "remove")
		if after := p.tables(t); after != before {
			t.Errorf("removed, there is\n%s\nbefore there was\n%s", after, before)
		}
	}
	seen(t, "removed", p.letIn(t, "http://10.77.0.2:9000", ""), "none")
	p.sidecar.stop(t)
}

var (
	// chartSetting is a setting of the script as the chart renders it.
	chartSetting = regexp.MustCompile(`\{name: (OVERTAKE_[A-Z0-9_]+), value: "(.*)"\}`)
	// chartConfig is the sidecar's configuration in its ConfigMap.
	chartConfig = regexp.MustCompile(`(?s)  overtake\.yaml: \|\n(.*?)\n---`)
)

// With what the chart renders by default, whose sidecar does not listen on ::1, an
// app's calls by IPv6 arrive, past the sidecar.
func TestE2ERedirectOfChart(t *testing.T) {
	rendered, err := os.ReadFile("e2e/charts/testdata/golden/app.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := chartConfig.FindSubmatch(rendered)
	var settings []string
	user := ""
	for _, setting := range chartSetting.FindAllSubmatch(rendered, -1) {
		settings = append(settings, string(setting[1])+"="+string(setting[2]))
		if string(setting[1]) == "OVERTAKE_UID" {
			user = string(setting[2])
		}
	}
	if config == nil || user == "" {
		t.Fatalf("the chart renders the settings %q and the configuration %q", settings, config)
	}
	p := newRedirectedPod(t, "3000", user, strings.ReplaceAll("\n"+string(config[1]), "\n    ", "\n"))
	said := p.redirect(t, settings...)
	for _, want := range []string{"IPv4 by iptables: app ports 3000 to 15006, calls to ports 80,443 to 15001", "IPv6 by ip6tables: app ports 3000 to 15006, calls to ports none"} {
		if !strings.Contains(said, want) {
			t.Errorf("it says\n%s\nwant %q", said, want)
		}
	}

	seen(t, "let in by IPv4", p.letIn(t, "http://10.77.0.2:3000", "batch"), "batch")
	seen(t, "let in by IPv6", p.letIn(t, "http://[fd77::2]:3000", "batch"), "batch")
	seen(t, "a call by IPv4", p.call(t, appUser, "http://10.77.0.1", "batch"), "batch")
	seen(t, "a call by IPv6", p.call(t, appUser, "http://[fd77::1]", "batch"), "none")
	seen(t, "TLS by IPv6", p.call(t, appUser, "https://[fd77::1]", "batch"), "standard") // by the gateway that ends it
}

// What the script is given wrong, or lacks, it refuses with the remedy, before it
// changes anything.
func TestE2ERedirectRefuses(t *testing.T) {
	ns := newNamespace(t)
	script := redirectScript(t)
	tables := func() string {
		return ns.run(t, "iptables", "-t", "nat", "-S") + ns.run(t, "ip6tables", "-t", "nat", "-S")
	}
	before := tables()
	refuses := func(want string, command ...string) {
		t.Helper()
		r := ns.try(t, append(append([]string{}, command...), "sh", script)...)
		if r.code != 1 || !strings.HasPrefix(r.stderr, "redirect.sh: ") || !strings.Contains(r.stderr, want) || r.stdout != "" {
			t.Errorf("%q: it exited with %d and said %q on stdout, and\n%s\nwant it to say %q", command, r.code, r.stdout, r.stderr, want)
		}
		if after := tables(); after != before {
			t.Errorf("%q changed\n%s\nto\n%s", command, before, after)
		}
	}
	mark := filepath.Join(t.TempDir(), "mark")
	for setting, want := range map[string]string{
		"OVERTAKE_UID=0":                               "run the sidecar as a user of its own",
		"OVERTAKE_UID=root":                            "not a number",
		"OVERTAKE_UID=1;id":                            "not a number",
		"OVERTAKE_UID=-1":                              "not a number",
		"OVERTAKE_UID=9999999999":                      "more than 4294967294",
		"OVERTAKE_INBOUND_PORT=0":                      "not a number",
		"OVERTAKE_INBOUND_PORT=010":                    "not a number",
		"OVERTAKE_INBOUND_PORT=15001":                  "both 15001",
		"OVERTAKE_OUTBOUND_PORT=65536":                 "more than 65535",
		"OVERTAKE_ADMIN_PORT=x":                        "not a number",
		"OVERTAKE_APP_PORTS=9901":                      "a port of the sidecar",
		"OVERTAKE_APP_PORTS=80 15006":                  "a port of the sidecar",
		"OVERTAKE_APP_PORTS=80\n-F":                    "not a number",
		"OVERTAKE_APP_PORTS=80\nCOMMIT":                "not a number",
		"OVERTAKE_APP_PORTS=80:90":                     "not a number",
		"OVERTAKE_APP_PORTS=$(touch " + mark + ")":     "not a number",
		"OVERTAKE_OUTBOUND_PORTS=`touch " + mark + "`": "not a number",
		"OVERTAKE_EXCLUDE_CIDRS=10.0.0.0/8;touch":      "not a number",
		"OVERTAKE_OUTBOUND_PORTS=80,*":                 "stands for all ports",
		"OVERTAKE_OUTBOUND_PORTS=":                     "nothing to redirect",
		"OVERTAKE_EXCLUDE_PORTS=*":                     "name the ports",
		"OVERTAKE_EXCLUDE_CIDRS=10.0.0.0/33":           "more than 32",
		"OVERTAKE_EXCLUDE_CIDRS=10.0.0.0/":             "not a number",
		"OVERTAKE_EXCLUDE_CIDRS=10.0.0/8":              "not an address",
		"OVERTAKE_EXCLUDE_CIDRS=256.0.0.0/8":           "not an address",
		"OVERTAKE_EXCLUDE_CIDRS=1.2.3.4.5":             "not an address",
		"OVERTAKE_EXCLUDE_CIDRS=1.2.3.04":              "not an address",
		"OVERTAKE_EXCLUDE_CIDRS=10.0.0.0/08":           "not a number",
		"OVERTAKE_EXCLUDE_CIDRS=10.0.0.0/8/8":          "not a number",
		"OVERTAKE_EXCLUDE_CIDRS=/8":                    "not an address",
		"OVERTAKE_EXCLUDE_CIDRS=1.2.3.4:80":            "not an address",
		"OVERTAKE_EXCLUDE_CIDRS=:":                     "not an address",
		"OVERTAKE_EXCLUDE_CIDRS=:::":                   "not an address",
		"OVERTAKE_EXCLUDE_CIDRS=1:2":                   "not an address",
		"OVERTAKE_EXCLUDE_CIDRS=a:b::c::d":             "not an address",
		"OVERTAKE_EXCLUDE_CIDRS=::1.2.3.4.5":           "not an address",
		"OVERTAKE_EXCLUDE_CIDRS=1.2.3.4::":             "not an address",
		"OVERTAKE_EXCLUDE_CIDRS=1:2:3:4:5:6:7:8:9":     "not an address",
		"OVERTAKE_EXCLUDE_CIDRS=1:2:3:4:5:6:7:1.2.3.4": "not an address",
		"OVERTAKE_EXCLUDE_CIDRS=1::3:4:5:6:7:8:9":      "not an address",
		"OVERTAKE_EXCLUDE_CIDRS=:1:2:3:4:5:6:7":        "not an address",
		"OVERTAKE_EXCLUDE_CIDRS=fd000::":               "not an address",
		"OVERTAKE_EXCLUDE_CIDRS=fe80::1%eth0":          "not an address",
		"OVERTAKE_EXCLUDE_CIDRS=billing.local":         "not an address",
		"OVERTAKE_EXCLUDE_CIDRS=fd00::/129":            "more than 128",
		"OVERTAKE_EXCLUDE_CIDRS=! 10.0.0.0/8":          "not an address",
		"OVERTAKE_EXCLUDE_CIDRS=fd00:::/8":             "not an address",
		"OVERTAKE_OUTBOUND_IPV6=false":                 "neither yes nor no",
	} {
		refuses(want, "env", setting)
	}
	refuses("OVERTAKE_INBOUND_PORT are both 15006", "env", "OVERTAKE_ADMIN_PORT=15006")
	refuses("OVERTAKE_OUTBOUND_PORT are both 15001", "env", "OVERTAKE_ADMIN_PORT=15001")
	refuses("both have 8080; take it out of one", "env", "OVERTAKE_APP_PORTS=80,8080", "OVERTAKE_EXCLUDE_PORTS=22,8080")
	if _, err := os.Stat(mark); err == nil {
		t.Error("a setting was run as a command")
	}
	refuses("NET_ADMIN", "setpriv", "--bounding-set", "-all", "--inh-caps", "-all")
	refuses("run it as root", "setpriv", "--reuid", appUser, "--clear-groups")
	refuses("install iptables", "env", "PATH="+only(t, "tr"))
	refuses("iptables-restore is not installed", "env", "PATH="+only(t, "tr", "iptables", "ip6tables", "ip6tables-restore"))
	for _, arguments := range [][]string{{"again"}, {"remove", "extra"}, {"apply", "remove"}} {
		if r := ns.try(t, append([]string{"sh", script}, arguments...)...); r.code != 2 || !strings.Contains(r.stderr, "usage") {
			t.Errorf("arguments that it does not know, %q: %+v", arguments, r)
		}
	}
}

// redirectScript returns the path of the script, from any folder.
func redirectScript(t *testing.T) string {
	t.Helper()
	script, err := filepath.Abs("charts/overtake/files/redirect.sh")
	if err != nil {
		t.Fatal(err)
	}
	return script
}

// Without ip6tables, IPv6 is left out where nobody has an address of it or nothing is
// to be redirected by it, and refused where calls could pass the sidecar by: then IPv4
// is not redirected, either.
func TestE2ERedirectWithoutIPv6(t *testing.T) {
	ns := newNamespace(t)
	script := redirectScript(t)
	path := "PATH=" + only(t, "tr", "iptables", "iptables-restore")
	for _, disabled := range []string{"0", "1"} { // with ::1, and with no address at all
		ns.run(t, "sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6="+disabled)
		if got := ns.run(t, "env", path, "OVERTAKE_EXCLUDE_CIDRS=fd00::/8", "sh", script); !strings.Contains(got, "IPv4 by iptables") || !strings.Contains(got, "IPv6 is left out") {
			t.Errorf("with disable_ipv6 %s: %s", disabled, got)
		}
		ns.run(t, "env", path, "sh", script, "remove")
	}
	ns.run(t, "sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=0")
	ns.ip(t, "-6 address add fd77::2/64 dev lo nodad")
	before := ns.run(t, "iptables", "-t", "nat", "-S")
	for _, setting := range []string{"OVERTAKE_OUTBOUND_IPV6=yes", "OVERTAKE_OUTBOUND_IPV6=no"} {
		if r := ns.try(t, "env", path, setting, "OVERTAKE_APP_PORTS=9000", "sh", script); r.code != 1 || !strings.Contains(r.stderr, "ip6tables is not installed") {
			t.Errorf("with an address of IPv6 and %s: %+v", setting, r)
		}
		if after := ns.run(t, "iptables", "-t", "nat", "-S"); after != before {
			t.Errorf("it failed with %s and changed IPv4 from\n%s\nto\n%s", setting, before, after)
		}
	}
	if got := ns.run(t, "env", path, "OVERTAKE_OUTBOUND_IPV6=no", "sh", script); !strings.Contains(got, "IPv4 by iptables") || !strings.Contains(got, "IPv6 is left out") {
		t.Errorf("with nothing to redirect by IPv6: %s", got)
	}

	redirected := ns.run(t, "iptables", "-t", "nat", "-S")
	if r := ns.try(t, "env", path, "sh", script, "remove"); r.code != 1 || !strings.Contains(r.stderr, "ip6tables is not installed") {
		t.Errorf("removed where IPv6 may be redirected: %+v", r)
	}
	if after := ns.run(t, "iptables", "-t", "nat", "-S"); after != redirected {
		t.Errorf("it could not remove IPv6 and changed IPv4 from\n%s\nto\n%s", redirected, after)
	}
	ns.run(t, "env", path, "OVERTAKE_OUTBOUND_IPV6=no", "sh", script, "remove")
	if after := ns.run(t, "iptables", "-t", "nat", "-S"); after != before {
		t.Errorf("removed, there is\n%s\nbefore there was\n%s", after, before)
	}
}

// Addresses of IPv6 may be written in all forms, and each is left alone.
func TestE2ERedirectAddresses(t *testing.T) {
	ns := newNamespace(t)
	script := redirectScript(t)
	for address, want := range map[string]string{
		"::": "::/128", "::/0": "-A OVERTAKE_OUTPUT -j RETURN", "::1": "::1/128", "FD00::/8": "fd00::/8", "1:2:3:4:5:6:7:8": "1:2:3:4:5:6:7:8/128", "1:2:3:4:5:6:7::": "1:2:3:4:5:6:7:0/128",
		"::2:3:4:5:6:7:8": "0:2:3:4:5:6:7:8/128", "64:ff9b::192.0.2.33": "64:ff9b::c000:221/128", "1:2:3:4:5:6:1.2.3.4": "1:2:3:4:5:6:102:304/128", "fd00:0db8::0001/64": "fd00:db8::/64",
	} {
		ns.run(t, "env", "OVERTAKE_EXCLUDE_CIDRS="+address, "sh", script)
		if got := ns.run(t, "ip6tables", "-t", "nat", "-S", "OVERTAKE_OUTPUT"); !strings.Contains(got, want) {
			t.Errorf("%s: no %s in\n%s", address, want, got)
		}
	}
}

// Runs that remove the redirect at the same time do not fail by one another.
func TestE2ERedirectRemovedTwice(t *testing.T) {
	ns := newNamespace(t)
	script := redirectScript(t)
	tables := func() string {
		return ns.run(t, "iptables", "-t", "nat", "-S") + ns.run(t, "ip6tables", "-t", "nat", "-S")
	}
	before := tables()
	for range 3 {
		ns.run(t, "sh", script)
		ns.run(t, "sh", "-ec", `
for run in 1 2 3 4 5 6; do sh "$0" remove & runs="${runs-} $!"; done
for run in $runs; do wait "$run"; done`, script)
		if after := tables(); after != before {
			t.Errorf("removed, there is\n%s\nbefore there was\n%s", after, before)
		}
	}
}

// only returns a directory with these commands and the shell.
func only(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range append(names, "sh") {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
