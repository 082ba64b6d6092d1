//go:build e2e

package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestE2EConsoleCost: 50 open consoles cost less than 2 % of one processor.
func TestE2EConsoleCost(t *testing.T) {
	const (
		consoles = 50
		most     = 0.02 // of one processor, as docs/console.md says
		during   = 5 * time.Second
	)
	app := startApp(t, 8)
	g := startGateway(t, fmt.Sprintf(`
rules: [{class: interactive, match: {path: "/i/**"}}, {class: batch, match: {path: "/b/**"}}]
routes:
- {match: {path: "/jobs/**"}, queue: jobs}
- {match: {path: "/mails/**"}, queue: mails}
- {match: {path: "/work"}, upstream: app}
- {match: {path: "/b/**"}, upstream: other}
- {upstream: third}
upstreams: {app: {servers: [%[1]q]}, other: {servers: [%[1]q, %[2]q]}, third: {servers: [%[1]q]}}
brokers: {local: {type: nats, embedded: true, dir: %[3]q}}
queues: {jobs: {broker: local, deliver: {upstream: app, path: /work}}, mails: {broker: local, deliver: {upstream: other, path: /work}}}
`, app, startApp(t, 2), t.TempDir()))
	for _, path := range []string{"/work", "/i/1", "/b/1", "/none"} { // for the console to have something to show
		for range 5 {
			get(t, g.url+path)
		}
	}
	alone := g.share(t, during)

	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	var events atomic.Int64
	var reading sync.WaitGroup
	t.Cleanup(reading.Wait) // when all are closed
	for range consoles {
		resp, err := client.Get(g.admin + "/console/events")
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("console: %v, %v", err, resp)
		}
		reading.Go(func() {
			lines := bufio.NewScanner(resp.Body)
			lines.Buffer(nil, 8<<20)
			for lines.Scan() {
				if strings.HasPrefix(lines.Text(), "data: ") {
					events.Add(1)
				}
			}
		})
		t.Cleanup(func() { resp.Body.Close() })
	}
	eventually(t, "all consoles show something", func() bool { return events.Load() >= 2*consoles })
	// What else the machine does can only make it more: the least of some counts.
	before, watched := events.Load(), 1.0
	for range 5 {
		if watched = min(watched, g.share(t, during)); watched-alone < most {
			break
		}
	}
	if n := events.Load() - before; n < consoles*int64(during/time.Second)/2 {
		t.Errorf("%d events came to %d consoles in %v or more", n, consoles, during)
	}
	t.Logf("the idle gateway takes %.2f %% of one processor, with %d consoles %.2f %%: they cost %.2f %%",
		100*alone, consoles, 100*watched, 100*(watched-alone))
	if watched-alone >= most {
		t.Errorf("%d consoles cost %.2f %% of one processor, want less than %.0f %%", consoles, 100*(watched-alone), 100*most)
	}
}

// share is how much of one processor the process takes.
func (p *program) share(t *testing.T, during time.Duration) float64 {
	t.Helper()
	began, before := time.Now(), p.processorTime(t)
	time.Sleep(during)
	return (p.processorTime(t) - before).Seconds() / time.Since(began).Seconds()
}

// processorTime is how long the process has run: utime and stime of proc_pid_stat(5),
// in ticks of 10 ms.
func (p *program) processorTime(t *testing.T) (took time.Duration) {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // behind the name
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		t.Fatalf("unknown form: %s", stat)
	}
	for _, field := range fields[11:13] {
		ticks, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		took += time.Duration(ticks) * 10 * time.Millisecond
	}
	return took
}
