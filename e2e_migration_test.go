//go:build e2e

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"overtake/docs/markdown"
)

// migrating is how many requests are under way at once: more than one client may
// have connections, where that is bounded.
const migrating = 200

// Behind an nginx and a HAProxy as docs/migration.md has them, the app sees the
// client's address and scheme, nobody outside says what only the proxy may, and a dry
// run refuses nothing.
func TestE2EMigration(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("docs", "migration.md"))
	if err != nil {
		t.Fatal(err)
	}
	steps, err := markdown.Steps(string(text))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, s := range steps {
		if s.Kind == markdown.Write {
			files[s.File] = s.Text
		}
	}
	for _, c := range []struct{ front, behind, class string }{
		{"front/nginx.conf", "behind.yaml", "standard"},
		{"front/nginx.conf", "nginx.yaml", "interactive"}, // by the rule for pages
		{"front/haproxy.cfg", "behind.yaml", "standard"},
		{"front/haproxy.cfg", "haproxy.yaml", "standard"},
	} {
		t.Run(filepath.Base(c.front)+" "+c.behind, func(t *testing.T) {
			app := newMigratedApp(t)
			g := startMigrated(t, files[c.behind], app.URL)
			front := startFront(t, filepath.Base(c.front), files[c.front], strings.TrimPrefix(g.url, "http://"))
			checkMigrated(t, app, front, c.class)
			_, metrics := get(t, g.admin+"/metrics")
			for line := range strings.Lines(metrics) {
				if name, _, _ := strings.Cut(line, "{"); (name == "overtake_connections_refused_total" || name == "overtake_request_failures_total") && !strings.HasSuffix(line, " 0\n") {
					t.Errorf("in a dry run: %s", line)
				}
			}
			g.stop(t)
		})
	}
}

// startMigrated runs a gateway with a file of the document, on free ports in front of
// an app on this host, and behind a proxy on this host.
func startMigrated(t *testing.T, text, app string) gatewayProgram {
	t.Helper()
	if !strings.Contains(text, "dry_run: true") || !strings.Contains(text, "trust: ") {
		t.Fatalf("docs/migration.md no longer has a dry run that trusts the proxy in\n%s", text)
	}
	text = strings.NewReplacer("127.0.0.1:8080", "127.0.0.1:0", `":80"`, `"127.0.0.1:0"`, "10.0.0.5/32", "127.0.0.1/32",
		"http://127.0.0.1:9000", app, `"http://10.0.0.11:9000", "http://10.0.0.12:9000"`, `"`+app+`"`).Replace(text)
	file := filepath.Join(t.TempDir(), "overtake.yaml")
	if err := os.WriteFile(file, []byte("admin: \"127.0.0.1:0\"\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	return runGateway(t, file)
}

// startFront runs a proxy with a file of the document in front of a gateway, and
// returns its address.
func startFront(t *testing.T, name, text, gateway string) string {
	t.Helper()
	dir, front := t.TempDir(), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, cert, key)
	file, both := filepath.Join(dir, name), filepath.Join(dir, "both.pem")
	tool(t, "sh", "-c", fmt.Sprintf("cat %s %s >%s", cert, key, both))
	text = edited(t, text, "127.0.0.1:8080", gateway)
	run := []string{"haproxy", "-db", "-f", file}
	if name == "nginx.conf" {
		run = []string{"nginx", "-p", dir, "-c", file, "-g", "daemon off; master_process off; pid nginx.pid; error_log stderr;"}
		text = edited(t, text, "listen 443 ", "listen "+front+" ", "http {\n", "http {\naccess_log off; client_body_temp_path body; "+
			"proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n")
	} else {
		text = edited(t, text, "bind :443 ", "bind "+front+" ", "crt both.pem", "crt "+both)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	startTool(t, nil, run[0], run[1:]...)
	eventually(t, run[0]+" takes connections", func() bool {
		conn, err := tls.Dial("tcp", front, &tls.Config{InsecureSkipVerify: true})
		return err == nil && conn.Close() == nil
	})
	return front
}

// edited replaces what must be there, in pairs of old and new.
func edited(t *testing.T, text string, edits ...string) string {
	t.Helper()
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(text, edits[i]) {
			t.Fatalf("docs/migration.md no longer has %q in\n%s", edits[i], text)
		}
		text = strings.ReplaceAll(text, edits[i], edits[i+1])
	}
	return text
}

// migratedApp keeps the header of the last request for /seen, answers those for /together
// when migrating of them are there, and echoes over a WebSocket at /ws.
type migratedApp struct {
	*httptest.Server
	together chan struct{} // closed when all of them are there
	mu       sync.Mutex
	seen     http.Header
	host     string
	arrived  int
}

func newMigratedApp(t *testing.T) *migratedApp {
	app := &migratedApp{together: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/seen", func(_ http.ResponseWriter, r *http.Request) {
		app.mu.Lock()
		defer app.mu.Unlock()
		app.seen, app.host = r.Header, r.Host
	})
	mux.HandleFunc("/together", func(_ http.ResponseWriter, r *http.Request) {
		app.mu.Lock()
		if app.arrived++; app.arrived == migrating {
			close(app.together)
		}
		app.mu.Unlock()
		select {
		case <-app.together:
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return // the client gets no 101, and tells
		}
		defer conn.Close()
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		_ = rw.Flush()
		_, _ = io.CopyN(conn, rw, 5)
	})
	app.Server = httptest.NewServer(mux)
	t.Cleanup(app.Close)
	return app
}

// checkMigrated asks the app through the proxy at front, from an address that is not
// the proxy's. The rules give what it asks a class.
func checkMigrated(t *testing.T, app *migratedApp, front, class string) {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", front) },
	}
	defer transport.CloseIdleConnections()
	ask := func(path string, header http.Header) (*http.Response, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://shop.example"+path, nil)
		if err != nil {
			return nil, err
		}
		req.Header = header
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		return resp, resp.Body.Close()
	}
	resp, err := ask("/seen", http.Header{
		"Latency-Class": {"batch"}, "Baggage": {"latency.class=batch"}, "Uberctx-Latency.class": {"batch"}, "X-Request-Id": {"forged"},
		"Forwarded": {"for=198.51.100.1;proto=http"}, "X-Forwarded-For": {"198.51.100.1"}, "X-Forwarded-Proto": {"http"},
		"X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Prefix": {"/admin"}, "X-Real-Ip": {"198.51.100.1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if shown, timing := resp.Header.Get("Latency-Class"), resp.Header.Get("Server-Timing"); shown != "" || timing != "" {
		t.Errorf("the client sees Latency-Class %q and Server-Timing %q", shown, timing)
	}
	app.mu.Lock()
	for name, want := range map[string]string{
		"X-Forwarded-For": "127.0.0.2, 127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example", "X-Real-Ip": "127.0.0.2",
		"Forwarded":     "for=127.0.0.2;host=shop.example;proto=https, for=127.0.0.1;host=shop.example;proto=https",
		"Latency-Class": class, "X-Forwarded-Prefix": "",
	} {
		if got := strings.Join(app.seen.Values(name), "; "); got != want {
			t.Errorf("the app gets %s: %q, want %q", name, got, want)
		}
	}
	if id := app.seen.Get("X-Request-Id"); id == "" || id == "forged" || app.host != "shop.example" {
		t.Errorf("the app gets Host %s and X-Request-Id %s", app.host, id)
	}
	app.mu.Unlock()
	var asked sync.WaitGroup
	for range migrating {
		asked.Go(func() {
			if resp, err := ask("/together", http.Header{}); err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("one of %d together: %+v, %v", migrating, resp, err)
			}
		})
	}
	asked.Wait()
	checkMigratedSocket(t, front)
}

func checkMigratedSocket(t *testing.T, front string) {
	t.Helper()
	conn, err := tls.Dial("tcp", front, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /ws HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("asked for a WebSocket: %+v, %v", resp, err)
	}
	fmt.Fprint(conn, "hello")
	echo := make([]byte, 5)
	if _, err := io.ReadFull(r, echo); err != nil || string(echo) != "hello" {
		t.Errorf("the WebSocket answers %q, %v", echo, err)
	}
}
