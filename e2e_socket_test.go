//go:build e2e && linux

package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestE2EWithoutCapabilities: a gateway that may do nothing special does everything
// but what takes a capability, says so once each, and counts it.
func TestE2EWithoutCapabilities(t *testing.T) {
	l := startLookout(t, strings.TrimPrefix(startApp(t, 4), "http://"))
	file := writeConfig(t, fmt.Sprintf(`
classes:
  - {name: interactive, socket: {priority: 6, dscp: AF21, mark: 1}}
  - {name: standard, socket: {priority: 7, mark: 2, user_timeout: 30s}}
  - {name: batch, socket: {priority: 1, dscp: LE, notsent_lowat: 16KiB, max_pacing_rate: 1gbit}}
rules: [{class: interactive, match: {path: /echo}}, {class: batch, match: {path: "/work"}}]
upstreams: {app: {servers: ["http://%s"]}}
`, l.Addr()))
	name, args := binary, []string{"gateway", "-c", file}
	if os.Getuid() == 0 { // others have none
		name, args = "setpriv", append([]string{"--bounding-set=-all", "--inh-caps=-all", binary}, args...)
	}
	p := startTool(t, nil, name, args...)
	g := gatewayProgram{
		program: p,
		url:     "http://" + p.find(t, `msg=listening listener=public address=(\S+)`),
		admin:   "http://" + p.find(t, `msg=listening listener=admin address=(\S+)`),
	}
	for range 3 {
		for _, target := range []string{"/echo", "/work?ms=1", "/"} {
			get(t, g.url+target)
		}
	}
	for target, octet := range map[string]byte{"GET /echo ": 18 << 2, "GET /work?ms=1 ": 1 << 2, "GET / ": 0} {
		if got := l.carrying(target); len(got) != 1 || got[0] != octet {
			t.Errorf("%s went over connections with %#x, want one with %#x", target, got, octet)
		}
	}
	for _, option := range []string{"mark", "priority"} {
		if n := strings.Count(p.text(), "option="+option+" "); n != 1 {
			t.Errorf("%s was said to be refused %d times, want once", option, n)
		}
		if g.metric(t, `overtake_socket_refused_total{option="`+option+`"}`) == 0 {
			t.Errorf("nothing was counted about %s", option)
		}
	}
	if n := strings.Count(p.text(), "the kernel refused"); n != 2 {
		t.Errorf("%d warnings, want 2", n)
	}
	g.stop(t)
}
