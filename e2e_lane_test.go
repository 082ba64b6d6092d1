//go:build e2e

package main

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// A full lane refuses with a reason, leaves the lanes of other classes alone,
// and takes jobs again when the app has worked it off.
func TestE2EFullLane(t *testing.T) {
	app := newRecorder(t, func(*delivery) bool { return true })
	g := startGateway(t, strings.Replace(queueConfig(t, app.url), "embedded: true", "embedded: true, max_bytes: 1MiB", 1))
	work := strings.Repeat("x", 32<<10)

	accepted := 0
	var full *http.Response
	for full == nil {
		switch resp, text := request(t, http.MethodPost, g.url+"/batch/job", work); {
		case resp.StatusCode == http.StatusServiceUnavailable:
			full = resp
			if !strings.Contains(text, `"reason":"queue_full"`) {
				t.Errorf("the refusal's body is %s", text)
			}
		case resp.StatusCode != http.StatusAccepted || accepted > 1000:
			t.Fatalf("job %d: %d %s", accepted, resp.StatusCode, text)
		default:
			accepted++
		}
	}
	if reason, after := full.Header.Get("Overtake-Reason"), full.Header.Get("Retry-After"); reason != "queue_full" || after == "" {
		t.Errorf("the refusal has the reason %q and Retry-After %q", reason, after)
	}
	if resp, text := request(t, http.MethodPost, g.url+"/interactive/job", work); resp.StatusCode != http.StatusAccepted {
		t.Errorf("beside a full batch lane, an interactive job got %d %s", resp.StatusCode, text)
	}

	app.hold(nil)
	app.await(t, "all jobs are done", func() bool { return app.answered("") == accepted+1 })
	eventually(t, "the lane takes jobs again", func() bool {
		resp, _ := request(t, http.MethodPost, g.url+"/batch/job", work)
		return resp.StatusCode == http.StatusAccepted
	})
	app.await(t, "the last job is done", func() bool { return app.answered("") == accepted+2 })
	g.stop(t)
	t.Logf("a lane of a broker of 1 MiB took %d jobs of 32 KiB", accepted)
}

// A repeated Idempotency-Key is the same job: it is done once.
func TestE2EIdempotencyKey(t *testing.T) {
	app := newRecorder(t, nil)
	g := startGateway(t, queueConfig(t, app.url))
	accepted := regexp.MustCompile(`^\{"id":"(\w+)",.*\}\s* 202 /_overtake/jobs/(\w+)$`)
	var first string
	for i := range 3 {
		stdout, _ := tool(t, "curl", "-sS", "-H", "Idempotency-Key: order-17", "-d", "work", "-w", " %{http_code} %header{location}", g.url+"/batch/job")
		job := accepted.FindStringSubmatch(stdout)
		if job == nil {
			t.Fatalf("post %d got %s", i, stdout)
		}
		if i == 0 {
			first = job[1]
		}
		if job[1] != first || job[2] != first {
			t.Errorf("post %d got %s, want job %s", i, stdout, first)
		}
	}
	last := publish(t, g.url, "batch", 1, nil)
	app.await(t, "the last job is done", func() bool { return app.done(last) })
	g.stop(t)
	if n := len(app.all()); n != 2 {
		t.Errorf("%d deliveries came, want 2", n)
	}
}

// Where the app can't be reached, the gateway starts, says so once and answers
// for it.
func TestE2EUnreachableUpstream(t *testing.T) {
	g := startGateway(t, "upstreams: {app: {servers: [\"http://127.0.0.1:1\"]}}\n")
	g.find(t, "upstream can't be reached")
	for range 3 {
		resp, text := get(t, g.url+"/")
		if reason := resp.Header.Get("Overtake-Reason"); resp.StatusCode != http.StatusBadGateway || reason != "connect_failed" || !strings.Contains(text, `"reason":"connect_failed"`) {
			t.Errorf("the answer is %d %s %s", resp.StatusCode, reason, text)
		}
	}
	g.stop(t)
	if n := strings.Count(g.text(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings, want 1", n)
	}
	if strings.Contains(g.text(), "level=ERROR") {
		t.Error("an error was logged")
	}
}

// The class is decided by the rules, whatever the client claims.
func TestE2EClassOnTheWay(t *testing.T) {
	app := startApp(t, 2)
	g := startGateway(t, fmt.Sprintf(`
upstreams: {app: {servers: [%q]}}
rules: [{name: reports, class: batch, match: {path: /echo, query: {kind: report}}}]
expose: all
`, app))
	for path, class := range map[string]string{"/echo": "standard", "/echo?kind=report": "batch"} {
		stdout, trace := tool(t, "curl", "-sv", "-H", "Latency-Class: interactive", g.url+path)
		if want := fmt.Sprintf(`"Latency-Class":%q`, class); !strings.Contains(stdout, want) || !strings.Contains(stdout, `"traceparent":"00-`) {
			t.Errorf("%s: the app got %s, want %s", path, stdout, want)
		}
		if want := "< Latency-Class: " + class; !strings.Contains(trace, want) || !strings.Contains(trace, "< Server-Timing: queue;dur=") {
			t.Errorf("%s: the client got\n%s\nwant %s", path, trace, want)
		}
	}
	g.stop(t)
}
