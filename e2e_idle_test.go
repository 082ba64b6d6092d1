//go:build e2e

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestE2EIdleConnections: connections that carry nothing cost little, whether or
// not they have carried something.
func TestE2EIdleConnections(t *testing.T) {
	const connections, most = 10_000, 150 << 10 // KiB
	for _, used := range []bool{false, true} {
		t.Run(fmt.Sprintf("used=%v", used), func(t *testing.T) {
			g := startGateway(t, fmt.Sprintf("upstreams: {app: {servers: [%q]}}\n", startApp(t, 8)))
			get(t, g.url+"/echo")
			before := g.rss(t)
			for i := range connections {
				c, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
				if err != nil {
					t.Fatalf("connection %d: %v", i, err)
				}
				t.Cleanup(func() { c.Close() })
				if used {
					exchange(t, c)
				}
			}
			eventually(t, "all connections are accepted and idle", func() bool { return g.goroutines(t) >= connections })
			eventually(t, "the memory is within bounds", func() bool { return g.rss(t) <= most })
			t.Logf("%d MiB of memory before, %d MiB with %d idle connections, %d MiB at the most",
				before>>10, g.rss(t)>>10, connections, g.peakRSS(t)>>10)
		})
	}
}

// exchange sends a request on a connection that stays open.
func exchange(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %v", resp.StatusCode, err)
	}
}

// rss returns the memory that the process has resident now, in KiB.
func (p *program) rss(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	kib, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kib
}

// goroutines returns how many goroutines the gateway has.
func (g gatewayProgram) goroutines(t *testing.T) int {
	t.Helper()
	return int(g.metric(t, "go_goroutines"))
}
