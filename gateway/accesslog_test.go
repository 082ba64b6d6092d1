package gateway

import (
	"cmp"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// logged is one line of an access log.
type logged map[string]any

// loggingTo is the part of a configuration that writes an access log to path.
func loggingTo(path string) string {
	return "access_log: {output: " + strconv.Quote(path) + "}\n"
}

// linesIn reads the lines of a file.
func linesIn(t *testing.T, path string) (all []logged) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var l logged
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, l)
	}
	return all
}

// want checks some of a line's fields.
func (l logged) want(t *testing.T, fields logged) {
	t.Helper()
	for name, want := range fields {
		if got := l[name]; got != want {
			t.Errorf("%s is %v, want %v, in %v", name, got, want, l)
		}
	}
}

// theLine shuts the gateway down and returns the only line of its access log.
func (g *testGateway) theLine(path string) logged {
	g.t.Helper()
	g.wholeAgain()
	if err := g.Shutdown(testContext(g.t)); err != nil {
		g.t.Fatal(err)
	}
	all := linesIn(g.t, path)
	if len(all) != 1 {
		g.t.Fatalf("%d lines, want 1: %v", len(all), all)
	}
	return all[0]
}

func TestAccessLogLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	app := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusCreated)
		w.Write(append(body, "!!"...))
	})
	g := start(t, loggingTo(path)+classRules+
		"routes: [{match: {path: /nothing}, upstream: app}, {match: {path: /}, upstream: app}]\n", app)
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	before := time.Now()
	f := g.fetch(http.MethodPost, "/reports/a%20b?c=d", strings.NewReader("12345"), "Traceparent: "+parent, "User-Agent: me")
	if f.err != nil || f.body != "12345!!" {
		t.Fatalf("%v %q", f.err, f.body)
	}
	l := g.theLine(path)
	l.want(t, logged{
		"client": "127.0.0.1", "listener": "public", "method": "POST", "host": g.addr, "target": "/reports/a%20b?c=d",
		"protocol": "HTTP/1.1", "status": 201.0, "bytes_in": 5.0, "bytes_out": 7.0, "class": "batch", "rule": "reports",
		"route": "routes[1]", "upstream": "app", "server": app, "reason": "", "attempts": 1.0,
		"trace_id": "0af7651916cd43dd8448eb211c80319c", "user_agent": "me",
	})
	at, err := time.Parse(time.RFC3339Nano, l["time"].(string))
	if err != nil || at.Before(before) || at.After(time.Now()) {
		t.Errorf("time %v, %v", l["time"], err)
	}
	queue, upstream, total := l["queue_ms"].(float64), l["upstream_ms"].(float64), l["total_ms"].(float64)
	if queue < 0 || upstream <= 0 || total < queue+upstream-0.01 {
		t.Errorf("waited %v ms, upstream %v ms, in all %v ms", queue, upstream, total)
	}
	if len(l) != 22 {
		t.Errorf("%d fields: %v", len(l), l)
	}
}

// TestAccessLogOfEndings: each way in which a request may end has its line.
func TestAccessLogOfEndings(t *testing.T) {
	cutShort := func(app *rawApp, then string) func(*testGateway) {
		return func(g *testGateway) {
			p := g.dial()
			p.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			up := app.next()
			up.head()
			up.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
			p.head()
			p.body(4)
			if then == "app" {
				up.Close()
				p.closed()
			} else {
				p.Close()
				up.closed()
			}
		}
	}
	app := serveRaw(t)
	dead := deadAddress(t)
	for name, tc := range map[string]struct {
		yaml string
		app  string
		do   func(*testGateway)
		want logged
	}{
		"no route": {
			yaml: "upstreams: {app: {servers: [$APP]}}\nroutes: [{match: {path: /x}, upstream: app}]\n",
			do:   func(g *testGateway) { g.get("/y") },
			want: logged{"status": 404.0, "reason": reasonNoUpstream, "route": "", "upstream": "", "server": "", "attempts": 0.0, "target": "/y"},
		},
		"no connection": {
			app: dead, do: func(g *testGateway) { g.get("/") },
			want: logged{"status": 502.0, "reason": reasonConnectFailed, "server": dead, "attempts": 1.0, "upstream": "app"},
		},
		"another server": {
			yaml: "upstreams: {app: {servers: [" + strconv.Quote(dead) + ", " + strconv.Quote(deadAddress(t)) + "]}}\n",
			do:   func(g *testGateway) { g.get("/") },
			want: logged{"status": 502.0, "attempts": 2.0},
		},
		"not HTTP": {
			do:   func(g *testGateway) { p := g.dial(); p.send("hello\r\n\r\n"); p.response("GET") },
			want: logged{"status": 400.0, "reason": reasonBadRequest, "client": "127.0.0.1", "listener": "public", "method": nil},
		},
		"two readings": {
			do: func(g *testGateway) {
				p := g.dial()
				p.send("GET / HTTP/1.0\r\nHost: a,b\r\n\r\n")
				p.response("GET")
			},
			want: logged{"status": 400.0, "reason": reasonBadRequest, "host": "a,b", "protocol": "HTTP/1.0", "trace_id": ""},
		},
		"the app died": {
			app: app.url(), do: cutShort(app, "app"),
			want: logged{"status": 200.0, "reason": reasonUpstreamFailed, "bytes_out": 4.0},
		},
		"the client left": {
			app: app.url(), do: cutShort(app, "client"),
			want: logged{"status": 499.0, "reason": reasonLeft, "bytes_out": 4.0},
		},
		"tunnel": {
			app: app.url(),
			do: func(g *testGateway) {
				near, far := g.upgraded(app, g.dial().Conn)
				near.send("ping")
				far.body(4)
				far.Close()
				near.closed()
				near.Close()
				eventually(t, "the tunnel has ended", func() bool {
					_, page := g.adminGet("/metrics")
					return strings.Contains(page, `code="101"`)
				})
			},
			want: logged{"status": 101.0, "reason": "", "bytes_in": 4.0, "bytes_out": 5.0, "target": "/chat", "server": app.url()},
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "access.log")
			g := start(t, loggingTo(path)+tc.yaml, cmp.Or(tc.app, dead))
			tc.do(g)
			g.theLine(path).want(t, tc.want)
		})
	}
}

// TestAccessLogIsReopened: what is written after Reopen is in a new file.
func TestAccessLogIsReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	g := start(t, loggingTo(path), serveApp(t, func(http.ResponseWriter, *http.Request) {}))
	for _, target := range []string{"/before", "/after"} {
		g.get(target)
		g.wholeAgain()
		if target == "/before" {
			if err := os.Rename(path, path+".1"); err != nil {
				t.Fatal(err)
			}
			if err := g.ReopenAccessLog(); err != nil {
				t.Fatal(err)
			}
		}
	}
	g.theLine(path).want(t, logged{"target": "/after"})
	linesIn(t, path+".1")[0].want(t, logged{"target": "/before"})
}

func TestAccessLogSample(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	g := start(t, "access_log: {output: "+strconv.Quote(path)+", sample: 0}\n", serveApp(t, func(http.ResponseWriter, *http.Request) {}))
	for range 20 {
		g.get("/")
	}
	g.wholeAgain()
	if _, page := g.adminGet("/metrics"); !strings.Contains(page, "overtake_access_log_dropped_total 0") {
		t.Error("the metric is missing")
	}
	if err := g.Shutdown(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if all := linesIn(t, path); len(all) != 0 {
		t.Errorf("%d lines of a sample of nothing", len(all))
	}
}

func TestAccessLogThatCannotBeOpened(t *testing.T) {
	g := newGateway(t, loggingTo(filepath.Join(t.TempDir(), "none", "access.log")), deadAddress(t))
	if err := g.Start(); err == nil || !strings.Contains(err.Error(), "make its directory") {
		t.Errorf("error %v", err)
	}
}

// FuzzAccessLog: whatever a client sends, it is one line, and reads as what it was.
func FuzzAccessLog(f *testing.F) {
	for _, s := range []string{"", "a b", "a\"b", `a\`, "a\nb", "\x1b[31m", "\xff\xfe", "{}", "x=1 y=2", "\u2028", "level"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, said string) {
		for _, format := range []string{"json", "text"} {
			var out strings.Builder
			(&accessLog{lines: linesOf(format, &out)}).write(time.Unix(1, 0), slog.String("user_agent", said), slog.Int("status", 200))
			line := out.String()
			if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") || strings.ContainsAny(line[:len(line)-1], "\x00\x1b\x07\r") {
				t.Errorf("%s: %q became %q", format, said, line)
			}
			if format == "text" {
				continue
			}
			var l logged
			if err := json.Unmarshal([]byte(line), &l); err != nil || len(l) != 3 || l["user_agent"] != strings.ToValidUTF8(said, "\ufffd") && strings.ToValidUTF8(said, "") == said {
				t.Errorf("%q became %q: %v", said, line, err)
			}
		}
	})
}
