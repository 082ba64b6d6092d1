//go:build e2e

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"overtake/loadgen/app"
)

// reused is what curl says about the second of two URLs on one connection.
const reused = "Re-using existing connection"

// What HTTP/1.1 promises beside bodies holds through the gateway, as curl sees it.
func TestE2EHTTP(t *testing.T) {
	g := startGateway(t, fmt.Sprintf("upstreams: {app: {servers: [%q]}}\n", newBodyServer(t).URL))
	curl := func(t *testing.T, args ...string) (stdout, trace string) {
		t.Helper()
		return tool(t, "curl", append([]string{"-sv"}, args...)...)
	}

	t.Run("keep-alive", func(t *testing.T) {
		stdout, trace := curl(t, g.url+"/body?n=0", g.url+"/body?n=70000&chunked=1", g.url+"/body?n=5")
		if got, want := len(stdout), 70005; got != want {
			t.Errorf("%d bytes came, want %d", got, want)
		}
		if n := strings.Count(trace, reused); n != 2 {
			t.Errorf("the connection was used again %d times, want 2:\n%s", n, trace)
		}
	})
	t.Run("HEAD", func(t *testing.T) {
		stdout, trace := curl(t, "-I", g.url+"/body?n=12345", g.url+"/body?n=0")
		if !strings.Contains(stdout, "HTTP/1.1 200") || !strings.Contains(stdout, "Content-Length: 12345\r\n") {
			t.Errorf("the header is\n%s", stdout)
		}
		if !strings.Contains(trace, reused) {
			t.Errorf("the connection was not used again:\n%s", trace)
		}
	})
	for _, code := range []int{http.StatusNoContent, http.StatusNotModified} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			stdout, trace := curl(t, fmt.Sprint(g.url, "/status?code=", code), g.url+"/body?n=5")
			if len(stdout) != 5 || !strings.Contains(trace, fmt.Sprintf("< HTTP/1.1 %d ", code)) || !strings.Contains(trace, `< Etag: "one"`) {
				t.Errorf("%d bytes came and curl says\n%s", len(stdout), trace)
			}
			if !strings.Contains(trace, reused) {
				t.Errorf("the connection was not used again:\n%s", trace)
			}
		})
	}
	t.Run("Expect", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "body")
		if err := os.WriteFile(file, make([]byte, 100_000), 0o600); err != nil {
			t.Fatal(err)
		}
		stdout, trace := curl(t, "-H", "Expect: 100-continue", "--expect100-timeout", "60", "-T", file, g.url+"/digest")
		var got received
		if err := json.Unmarshal([]byte(stdout), &got); err != nil || got.Bytes != 100_000 || !strings.Contains(trace, "< HTTP/1.1 100 Continue") {
			t.Errorf("the upstream got %d bytes and curl says\n%s", got.Bytes, trace)
		}
	})
	t.Run("HTTP/1.0", func(t *testing.T) { checkHTTP10(t, g.url) })
	t.Run("pipelining", func(t *testing.T) { checkPipelining(t) })
	g.stop(t)
}

// An HTTP/1.0 client gets no chunks: a body of unknown length ends with the
// connection.
func checkHTTP10(t *testing.T, gateway string) {
	for _, query := range []string{"n=70000", "n=70000&chunked=1"} {
		stdout, trace := tool(t, "curl", "-sv", "--http1.0", gateway+"/body?"+query)
		if got, want := digest(strings.NewReader(stdout)), digest(body(70000)); got != want {
			t.Errorf("%s: the body has changed", query)
		}
		if strings.Contains(strings.ToLower(trace), "< transfer-encoding") {
			t.Errorf("%s: the answer to an HTTP/1.0 client is chunked:\n%s", query, trace)
		}
	}
}

// Requests sent without waiting for answers are answered in their order, bodies
// between them included.
func checkPipelining(t *testing.T) {
	g := startGateway(t, fmt.Sprintf("upstreams: {app: {servers: [%q]}}\n", startApp(t, 4)))
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	const requests = 200
	go func() {
		for i := range requests {
			if i%2 == 0 {
				fmt.Fprintf(conn, "GET /echo?i=%d HTTP/1.1\r\nHost: app\r\n\r\n", i)
			} else {
				fmt.Fprintf(conn, "POST /echo?i=%d HTTP/1.1\r\nHost: app\r\nContent-Length: %d\r\n\r\n%s", i, i, strings.Repeat("x", i))
			}
		}
	}()
	br := bufio.NewReader(conn)
	for i := range requests {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		var echo app.Echo
		if err := json.Unmarshal(text, &echo); err != nil {
			t.Fatalf("answer %d: %v: %s", i, err, text)
		}
		want := fmt.Sprintf("/echo?i=%d", i)
		if echo.Target != want || echo.BodyBytes != int64(i%2*i) {
			t.Fatalf("answer %d is to %s with %d bytes, want %s with %d", i, echo.Target, echo.BodyBytes, want, i%2*i)
		}
	}
}

// The load tools find no error in a gateway at full speed.
func TestE2ELoadTools(t *testing.T) {
	g := startGateway(t, fmt.Sprintf("upstreams: {app: {servers: [%q]}}\n", startApp(t, 8)))
	t.Run("wrk", func(t *testing.T) {
		out, _ := tool(t, "wrk", "-t2", "-c64", "-d5s", g.url+"/healthz")
		for _, trouble := range []string{"Socket errors", "Non-2xx"} {
			if strings.Contains(out, trouble) {
				t.Errorf("wrk says\n%s", out)
			}
		}
		checkRate(t, out, `Requests/sec:\s+([\d.]+)`)
	})
	for _, pipelined := range []string{"1", "8"} {
		t.Run("h2load, "+pipelined+" at once", func(t *testing.T) {
			out, _ := tool(t, "h2load", "--h1", "-t2", "-c64", "-n20000", "-m"+pipelined, g.url+"/healthz")
			for _, want := range []string{
				"20000 done, 20000 succeeded, 0 failed, 0 errored, 0 timeout",
				"20000 2xx, 0 3xx, 0 4xx, 0 5xx",
			} {
				if !strings.Contains(out, want) {
					t.Errorf("h2load does not say %q:\n%s", want, out)
				}
			}
			checkRate(t, out, `([\d.]+) req/s,`)
		})
	}
	t.Run("nc", func(t *testing.T) {
		host, port, err := net.SplitHostPort(strings.TrimPrefix(g.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		lines := filepath.Join(t.TempDir(), "request")
		if err := os.WriteFile(lines, []byte("GET /healthz HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		stdin, err := os.Open(lines)
		if err != nil {
			t.Fatal(err)
		}
		defer stdin.Close()
		r := runTool(t, nil, stdin, "nc", host, port)
		if !strings.HasPrefix(r.stdout, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(r.stdout, "ok\n") {
			t.Errorf("nc got\n%s", r.stdout)
		}
	})
	g.checkRSS(t)
	g.stop(t)
}

// checkRate finds the requests per second in a tool's report.
func checkRate(t *testing.T, report, pattern string) {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(report)
	if m == nil {
		t.Errorf("there is no rate in\n%s", report)
		return
	}
	t.Logf("%s requests/s", m[1])
}
