package gateway

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"overtake/gateway/config"
)

// Two hundred reloads, good and bad, of everything at once, while clients of all
// kinds are at work: none of them notices.
func TestReloadUnderLoad(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.URL.Path, body)
	}
	apps := []string{serveApp(t, echo), serveApp(t, echo)}
	configs := []string{
		singleSlot,
		"upstreams: {app: {servers: [$APP], limit: {mode: adaptive, initial: 2}}}\nrules: [{class: batch, match: {path: /a}}]",
		"upstreams: {app: {servers: [$APP], limit: {mode: \"off\"}}}\ndry_run: true",
		"upstreams: {app: {servers: [$APP]}, other: {servers: [$APP]}}\nroutes: [{match: {path: /b}, upstream: other}, {upstream: app}]\ndefault_class: batch",
		"rules: [{class: none}]", // bad
		"admin: \"off\"",         // impossible
	}
	g := start(t, configs[0], apps[0])
	stop := make(chan struct{})
	var clients sync.WaitGroup
	var served atomic.Int64
	for n := range 6 {
		clients.Go(func() {
			c := client(t)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				path, body := fmt.Sprintf("/%c", 'a'+i%3), strings.Repeat("x", i%3*10_000)
				if i%50 == n {
					c.CloseIdleConnections() // come anew
				}
				f := g.fetchBy(c, "POST", path, strings.NewReader(body))
				if f.err != nil || f.StatusCode != http.StatusOK || f.body != path+" "+body {
					t.Errorf("POST %s: %v, %.100q", path, f.err, f.body)
					return
				}
				served.Add(1)
			}
		})
	}
	refused := 0
	for i := range 200 {
		before := served.Load()
		if g.tryReload(configs[i%len(configs)], apps[i/2%len(apps)]) != nil {
			refused++
		}
		eventually(t, "requests are served", func() bool { return served.Load() > before+5 || t.Failed() })
	}
	close(stop)
	clients.Wait()
	if refused != 66 {
		t.Errorf("%d reloads were refused, want 66", refused)
	}
	g.reloadTo(configs[0], apps[0])
	g.alone()
	if n := len(g.inUse()); n != 1 {
		t.Errorf("%d upstreams are in use", n)
	}
	t.Logf("%d requests", served.Load())
}

// Changed files are seen by the gateway itself: the configuration's, and those that
// it names, whichever they are by now.
func TestReloadByFiles(t *testing.T) {
	ca := newIssuer(t)
	file, one, two := filepath.Join(t.TempDir(), "overtake.yaml"), t.TempDir(), t.TempDir()
	yaml := func(dir string) string {
		cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		return fmt.Sprintf("listeners: [{address: \"127.0.0.1:0\", tls: {cert: %s, key: %s}}]", cert, key)
	}
	ca.issue(one, "one.example")
	ca.issue(two, "two.example")
	write(t, file, yaml(one))
	app := deadAddress(t)
	g := newGateway(t, yaml(one), app)
	g.files = []string{file}
	g.file = func() (*config.Config, error) {
		text, err := os.ReadFile(file)
		must(t, err)
		return parseConfig(string(text), app)
	}
	g.run()
	shows := func(name string) {
		t.Helper()
		eventually(t, "clients are shown "+name, func() bool { return g.shown("") == name })
	}
	shows("one.example")
	ca.issue(one, "one.again.example")
	shows("one.again.example")
	write(t, file, yaml(two))
	shows("two.example")
	g.wantMetric(`overtake_reloads_total{result="success"} 1`)
	ca.issue(two, "two.again.example")
	shows("two.again.example")

	// A reload in the middle of a rotation is made up for at its end.
	key := filepath.Join(two, "key.pem")
	right, err := os.ReadFile(key)
	must(t, err)
	_, other := ca.issue(t.TempDir(), "other.example")
	complaints := func() int { return strings.Count(g.log.String(), "new certificates are no good") }
	before := complaints()
	must(t, os.Rename(other, key))
	eventually(t, "the key is no good", func() bool { return complaints() > before })
	write(t, file, "expose: all\n"+yaml(two))
	g.wantMetric(`overtake_reloads_total{result="failure"} 1`)
	write(t, key, string(right))
	g.wantMetric(`overtake_reloads_total{result="success"} 2`)
	shows("two.again.example")
}

// What changes while the gateway starts does not wait for the next change.
func TestReloadAtStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "overtake.yaml")
	write(t, file, "")
	app := serveApp(t, says("ok"))
	for _, test := range []struct{ yaml, class, metric string }{
		{"expose: all", "standard", `overtake_reloads_total{result="success"} 0`},
		{"expose: all\nrules: [{class: batch}]", "batch", `overtake_reloads_total{result="success"} 1`},
		{"expose: some", "standard", `overtake_reloads_total{result="failure"} 1`},
	} {
		g := newGateway(t, "expose: all", app)
		g.files = []string{file}
		g.file = func() (*config.Config, error) { return parseConfig(test.yaml, app) }
		g.run()
		g.wantMetric(test.metric)
		if got := g.get("/").Header.Get("Latency-Class"); got != test.class {
			t.Errorf("with %q the class is %s, want %s", test.yaml, got, test.class)
		}
	}
}
