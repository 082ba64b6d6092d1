//go:build e2e

package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestE2EHostileClients: while all the attacks of e2e_hostile_attacks_test.go go on
// at once, good clients, wrk among them, see no error; each attack ends as it should, and by the
// gateway's own doing; and then nothing is left of them.
func TestE2EHostileClients(t *testing.T) {
	g := startAttacked(t)
	good := g.goodClients(t)
	wrk := startTool(t, nil, "wrk", "-t1", "-c4", "-d1h", g.url+"/good")
	good.more(t, 200)
	goroutines, memory, files := g.goroutines(t), g.heap(t), g.files(t)
	var all sync.WaitGroup
	for _, a := range attacks {
		for range attackers {
			all.Go(func() {
				if err := g.suffer(a); err != nil {
					t.Errorf("%s: %v", a.name, err)
				}
			})
		}
	}
	all.Wait()
	good.more(t, 200)
	eventually(t, "the goroutines of the attacks have ended", func() bool { return g.goroutines(t) <= goroutines+8 })
	eventually(t, "their connections are closed", func() bool { return g.files(t) <= files+32 }) // some to the app stay
	const kept = 8 << 20                                                                         // in pools
	eventually(t, "their memory is free", func() bool { return g.heap(t) <= memory+kept })
	for _, hold := range g.held {
		hold.Close()
	}
	good.stop(t)
	wrk.signal(t, syscall.SIGINT)
	wrk.find(t, `(requests in )`)
	wrk.wait(t)
	if said := wrk.text(); strings.Contains(said, "Socket errors") || strings.Contains(said, "Non-2xx") {
		t.Errorf("wrk, which is a good client, says\n%s", said)
	} else {
		t.Log(said)
	}
	g.checkRSS(t)
	g.stop(t)
}

// attacked is a gateway that is attacked.
type attacked struct {
	gatewayProgram
	addresses map[string]string // of its listeners
	mu        sync.Mutex
	held      []net.Conn // connections that their clients leave open
}

func startAttacked(t *testing.T) *attacked {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(serveVictim))
	t.Cleanup(app.Close)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, cert, key)
	const limits = "limits: {header_timeout: 2s, idle_timeout: 2s, request_timeout: 15s, body_bytes: 4MiB}"
	file := filepath.Join(dir, "overtake.yaml")
	config := fmt.Sprintf(`
listeners:
  - {name: public, address: "127.0.0.1:0", %s}
  - {name: tls, address: "127.0.0.1:0", %[1]s, tls: {cert: %[2]s, key: %[3]s}}
  - {name: proxied, address: "127.0.0.1:0", %[1]s, proxy_protocol: true, proxy_protocol_from: ["127.0.0.0/8"]}
  - {name: few, address: "127.0.0.1:0", limits: {connections_per_client: 1, idle_timeout: 2s}}
admin: "127.0.0.1:0"
classes: [{name: interactive, reserve: 25%%}, {name: batch}]
rules: [{class: interactive, match: {path: /good}}, {class: batch}]
upstreams: {app: {servers: [%[4]q], limit: {max: 200}}}
`, limits, cert, key, app.URL)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	g := &attacked{gatewayProgram: runGateway(t, file), addresses: map[string]string{}}
	for _, name := range []string{"public", "tls", "proxied", "few"} {
		g.addresses[name] = g.find(t, `msg=listening listener=`+name+` address=(\S+)`)
	}
	return g
}

// serveVictim is the app: /large answers with more than sockets hold, anything else
// with what it got.
func serveVictim(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/large" {
		part := make([]byte, 64<<10)
		for range 1024 {
			if _, err := w.Write(part); err != nil {
				return
			}
		}
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintf(w, "%s %d", r.URL.RawQuery, len(body))
}

// attack is something that clients do to the gateway.
type attack struct {
	name string
	on   string // the listener; "" for public
	// does is all that the client does by itself. It may leave, by closing c.
	does func(c *net.TCPConn)
	// sees is how the answer begins that the client gets in the end, before the
	// gateway closes the connection; "" for none. A client that is deaf does not
	// look, and one that leaves sees nothing.
	sees  string
	times int // how many answers begin like that; 0 for any number
	deaf  bool
}

// attackers is how many clients do the same at once.
const attackers = 8

// suffer runs an attack of one client to its end.
func (g *attacked) suffer(a attack) error {
	dialed, err := net.Dial("tcp", g.addresses[cmp.Or(a.on, "public")])
	if err != nil {
		return err
	}
	c := dialed.(*net.TCPConn)
	_ = c.SetDeadline(time.Now().Add(2 * patience))
	if a.deaf {
		a.does(c)
		g.mu.Lock()
		g.held = append(g.held, c)
		g.mu.Unlock()
		return nil
	}
	var doing sync.WaitGroup
	defer doing.Wait()
	defer c.Close() // ends what it does
	doing.Go(func() { a.does(c) })
	var seen bytes.Buffer
	_, err = io.Copy(&seen, c)
	answers := strings.Count(seen.String(), a.sees)
	switch {
	case os.IsTimeout(err):
		return fmt.Errorf("the gateway left the connection open, after %.100q", seen.String())
	case !strings.HasPrefix(seen.String(), a.sees) || a.sees == "" && seen.Len() > 0:
		return fmt.Errorf("the client saw %.100q (%w), want %q", seen.String(), err, a.sees)
	case a.times > 0 && answers != a.times:
		return fmt.Errorf("the client saw %d answers %q, want %d", answers, a.sees, a.times)
	}
	return nil
}

// good are clients that ask for what they may.
type good struct {
	cancel context.CancelFunc
	ended  sync.WaitGroup
	done   atomic.Int64
	failed chan error
}

func (g *attacked) goodClients(t *testing.T) *good {
	ctx, cancel := context.WithCancel(context.Background())
	good := &good{cancel: cancel, failed: make(chan error, 1)}
	t.Cleanup(func() { cancel(); good.ended.Wait() })
	for i := range 8 {
		good.ended.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: patience}
			for n := 0; ctx.Err() == nil; n++ {
				err := ask(ctx, client, g.url, fmt.Sprintf("%d-%d", i, n), n%3*1000)
				if err != nil && ctx.Err() == nil {
					select {
					case good.failed <- err:
					default:
					}
					return
				}
				good.done.Add(1)
			}
		})
	}
	return good
}

// ask sends one good request with a body of the size.
func ask(ctx context.Context, client *http.Client, url, id string, size int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/good?"+id, bytes.NewReader(make([]byte, size)))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if want := fmt.Sprintf("%s %d", id, size); err != nil || resp.StatusCode != http.StatusOK || string(body) != want {
		return fmt.Errorf("request %s: status %d, body %.100q, %w", id, resp.StatusCode, body, err)
	}
	return nil
}

// more waits until n more good requests were served.
func (g *good) more(t *testing.T, n int64) {
	t.Helper()
	until := g.done.Load() + n
	eventually(t, "good clients go on", func() bool {
		select {
		case err := <-g.failed:
			t.Fatal(err)
		default:
		}
		return g.done.Load() >= until
	})
}

func (g *good) stop(t *testing.T) {
	t.Helper()
	g.cancel()
	g.ended.Wait()
	select {
	case err := <-g.failed:
		t.Error(err)
	default:
	}
	t.Logf("%d good requests were served", g.done.Load())
}

// heap returns the memory that is in use after a collection.
func (g *attacked) heap(t *testing.T) int {
	t.Helper()
	get(t, g.admin+"/debug/pprof/heap?gc=1")
	return int(g.metric(t, "go_memstats_heap_alloc_bytes"))
}

// files returns how many descriptors the gateway has open.
func (g *attacked) files(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/" + strconv.Itoa(g.cmd.Process.Pid) + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// TestE2EOutOfDescriptors: while more connections are made than the process may
// have open, those that there are are served, and afterwards new ones.
func TestE2EOutOfDescriptors(t *testing.T) {
	file := writeConfig(t, fmt.Sprintf("upstreams: {app: {servers: [%q]}}\n", startApp(t, 8)))
	p := startTool(t, nil, "sh", "-c", "ulimit -n 100 && exec "+binary+" gateway -c "+file)
	address := p.find(t, `msg=listening listener=public address=(\S+)`)
	served, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer served.Close()
	exchange(t, served)
	var flood []net.Conn
	for range 200 {
		c, err := net.Dial("tcp", address) // the kernel takes it, whoever accepts
		if err != nil {
			t.Fatal(err)
		}
		flood = append(flood, c)
	}
	p.find(t, `(connections can't be accepted)`)
	exchange(t, served)
	for _, c := range flood {
		c.Close()
	}
	late, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	exchange(t, late)
	p.signal(t, syscall.SIGTERM)
	if code := p.wait(t); code != exitOK {
		t.Errorf("it exited with %d", code)
	}
}
