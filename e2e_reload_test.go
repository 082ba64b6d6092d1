//go:build e2e

package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// configMap is a directory as Kubernetes mounts a ConfigMap: the file is a link to
// one in a directory that is a link itself, which is swapped.
type configMap struct {
	t       *testing.T
	dir     string
	version int
}

func newConfigMap(t *testing.T, text string) *configMap {
	c := &configMap{t: t, dir: t.TempDir()}
	c.swap(text)
	if err := os.Symlink(filepath.Join("..data", "overtake.yaml"), c.file()); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *configMap) file() string { return filepath.Join(c.dir, "overtake.yaml") }

// swap puts another version of the file in place, and removes the one before.
func (c *configMap) swap(text string) {
	c.t.Helper()
	data := filepath.Join(c.dir, "..data")
	before, _ := os.Readlink(data) // there is none at first
	c.version++
	next := fmt.Sprintf("..version-%d", c.version)
	do := func(err error) {
		c.t.Helper()
		if err != nil {
			c.t.Fatal(err)
		}
	}
	do(os.Mkdir(filepath.Join(c.dir, next), 0o700))
	do(os.WriteFile(filepath.Join(c.dir, next, "overtake.yaml"), []byte(text), 0o600))
	do(os.Symlink(next, data+".new"))
	do(os.Rename(data+".new", data))
	if before != "" {
		do(os.RemoveAll(filepath.Join(c.dir, before)))
	}
}

// edit writes the file in place.
func (c *configMap) edit(text string) {
	c.t.Helper()
	if err := os.WriteFile(c.file(), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// echoApp answers with what it was asked, some of it slowly and in parts.
func echoApp(t *testing.T) string {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		fmt.Fprintf(w, "%s ", r.URL.Path)
		if r.URL.Path == "/slow" {
			w.(http.Flusher).Flush()
			time.Sleep(50 * time.Millisecond) // a request in flight, as it is across many a reload
		}
		_, _ = w.Write(body)
	}))
	t.Cleanup(app.Close)
	return app.URL
}

// load sends requests of many kinds until stop, each of which must be answered as
// it should be. It returns how many were.
func load(t *testing.T, url string, clients int, stop <-chan struct{}) (served *atomic.Int64, wait func()) {
	served = new(atomic.Int64)
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: patience}
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				path := []string{"/", "/slow", "/batch/1", "/other"}[n%4]
				if err := echo(client, url, path, strings.Repeat("x", n%5*4000)); err != nil {
					t.Errorf("after %d requests: %v", served.Load(), err)
					return
				}
				served.Add(1)
			}
		})
	}
	return served, all.Wait
}

func echo(client *http.Client, url, path, body string) error {
	resp, err := client.Post(url+path, "text/plain", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if want := path + " " + body; err != nil || resp.StatusCode != http.StatusOK || string(got) != want {
		return fmt.Errorf("POST %s: %s, %d bytes, want %d: %.80q, %w", path, resp.Status, len(got), len(want), got, err)
	}
	return nil
}

// 200 reloads, by SIGHUP and by swapping what is mounted, of good files and bad ones,
// with requests and jobs on their way all the time: none fails, each good file is in
// effect and no bad one is.
func TestE2EReload(t *testing.T) {
	const clients, jobs, reloads = 8, 100, 200
	apps := []string{echoApp(t), echoApp(t)}
	shared := fmt.Sprintf(`
listeners: [{name: public, address: "127.0.0.1:0"}]
admin: "127.0.0.1:0"
expose: all
brokers: {local: {type: nats, embedded: true, dir: %q}}
queues: {jobs: {deliver: {upstream: app}}}
`, t.TempDir())
	// good is the n-th configuration; probe is the class that it gives /probe.
	good := func(n int) (text, probe string) {
		probe = []string{"interactive", "batch"}[n%2]
		limit := []string{"{max: 4}", "{mode: adaptive, initial: 4, min: 2}", "{max: 16}"}[n%3]
		text = shared + fmt.Sprintf(`
rules: [{name: probe-%d, class: %s, match: {path: /probe}}, {class: batch, match: {path: "/batch/**"}}]
upstreams: {app: {servers: [%q], limit: %s}, other-%d: {servers: [%q]}}
routes: [{match: {path: /jobs}, queue: jobs}, {match: {path: /other}, upstream: other-%d}, {upstream: app}]
`, n%5, probe, apps[n/4%2], limit, n%7, apps[n%2], n%7)
		return text, probe
	}
	first, class := good(0)
	mounted := newConfigMap(t, first)
	g := runGateway(t, mounted.file())
	stop := make(chan struct{})
	served, wait := load(t, g.url, clients, stop)
	probed := func() string {
		resp, _ := get(t, g.url+"/probe")
		return resp.Header.Get("Latency-Class")
	}
	failures := func() float64 { return g.metric(t, `overtake_reloads_total{result="failure"}`) }
	for n := range reloads {
		if n%(reloads/jobs) == 0 {
			if resp, _ := request(t, http.MethodPost, g.url+"/jobs", "a job"); resp.StatusCode != http.StatusAccepted {
				t.Fatalf("a job was answered with %s", resp.Status)
			}
		}
		switch n % 5 {
		case 0, 1, 2: // a good one, swapped, edited, and edited with a signal
			text, next := good(n)
			if n%5 == 0 {
				mounted.swap(text)
			} else {
				mounted.edit(text)
			}
			if n%5 == 2 {
				g.signal(t, syscall.SIGHUP)
			}
			eventually(t, "the new configuration is in effect", func() bool { return probed() == next })
			class = next
		case 3, 4: // one that is broken, and one that takes a restart
			before := failures()
			text, _ := good(n)
			if text += "rulez: []\n"; n%5 == 4 {
				text = strings.Replace(strings.TrimSuffix(text, "rulez: []\n"), "expose: all", "expose: none\ndefault_class: batch\nprovenance: {keep: 5m}", 1)
			}
			mounted.swap(text)
			g.signal(t, syscall.SIGHUP)
			eventually(t, "the configuration is refused", func() bool { return failures() > before })
			if got := probed(); got != class {
				t.Errorf("reload %d: after a bad file the probe is %s, want %s", n, got, class)
			}
		}
		if t.Failed() {
			break
		}
	}
	close(stop)
	wait()
	g.find(t, `overtake.yaml:\d+:\d+: rulez`)
	g.find(t, `overtake.yaml:\d+:\d+: provenance.keep: can't change while the process runs`)
	last, next := good(reloads)
	mounted.swap(last)
	eventually(t, "the last one is in effect", func() bool { return probed() == next })
	eventually(t, "all jobs are done", func() bool {
		return g.metric(t, `overtake_deliveries_total{class="standard",queue="jobs",result="done"}`) == jobs
	})
	checkForgotten(t, g, reloads)
	done := g.metric(t, `overtake_reloads_total{result="success"}`)
	t.Logf("%.0f reloads done and %.0f refused, %d requests served", done, failures(), served.Load())
	if done < reloads*3/5 || failures() < reloads*2/5 || g.metric(t, "overtake_config_last_reload_successful") != 1 {
		t.Errorf("%.0f reloads done and %.0f refused, want at least %d and %d, and the last one done", done, failures(), reloads*3/5, reloads*2/5)
	}
	g.stop(t)
}

// checkForgotten checks that only what is configured is counted.
func checkForgotten(t *testing.T, g gatewayProgram, n int) {
	t.Helper()
	_, page := get(t, g.admin+"/metrics")
	for line := range strings.Lines(page) {
		if strings.Contains(line, `upstream="other-`) && !strings.Contains(line, fmt.Sprintf(`"other-%d"`, n%7)) ||
			strings.Contains(line, `rule="probe-`) && !strings.Contains(line, fmt.Sprintf(`"probe-%d"`, n%5)) {
			t.Errorf("it is still counted: %s", line)
		}
	}
}
