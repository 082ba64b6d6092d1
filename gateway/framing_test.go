package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// framingCase is one case of testdata/framing, whose README.md has the format.
type framingCase struct {
	name     string
	sent     string   // by the client, or by the app in reply
	client   []string // statuses that the client gets, and how it ends
	body     string   // of the last response
	requests []string // that reach the app, without what is stamped on all
	cut      bool     // a request reaches the app without its end
	closes   bool     // the app closes after its reply
}

// framingCases reads the cases of a file.
func framingCases(t *testing.T, file string) (cases []*framingCase) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(text), "\n") {
		verb, rest, _ := strings.Cut(line, " ")
		if line == "" || verb == "#" {
			continue
		}
		if verb == "===" {
			cases = append(cases, &framingCase{name: rest})
			continue
		}
		if len(cases) == 0 {
			t.Fatalf("%s:%d: before the first case", file, i+1)
		}
		if err := cases[len(cases)-1].add(verb, rest); err != nil {
			t.Fatalf("%s:%d: %v", file, i+1, err)
		}
	}
	return cases
}

// add takes one line of a case.
func (c *framingCase) add(verb, rest string) (err error) {
	text := ""
	if quoted, prefixErr := strconv.QuotedPrefix(rest); prefixErr == nil {
		times := 1
		if text, err = strconv.Unquote(quoted); err == nil && len(rest) > len(quoted) {
			times, err = strconv.Atoi(strings.TrimPrefix(rest[len(quoted):], " * "))
		}
		text = strings.Repeat(text, times)
	}
	switch verb {
	case ">":
		c.sent += text
	case "client":
		for word := range strings.FieldsSeq(rest) {
			status, times, _ := strings.Cut(word, "*")
			n, _ := strconv.Atoi(times) // none is one
			c.client = append(c.client, slices.Repeat([]string{status}, max(n, 1))...)
		}
	case "body":
		c.body = text
	case "app":
		c.requests = append(c.requests, text)
	case "+":
		c.requests[len(c.requests)-1] += text
	case "cut":
		c.cut = true
	case "closes":
		c.closes = true
	default:
		return fmt.Errorf("no verb: %q", verb)
	}
	return err
}

// recordingApp keeps every byte that reaches it, by request, and takes nothing for a
// request that a strict reader would not.
type recordingApp struct {
	*rawApp
	// reply is what the next request is answered with, and whether the connection is
	// closed then. All others get okNoBody.
	reply chan framingCase

	mu       sync.Mutex
	requests []string // complete
	rest     []string // what came without being one
}

func serveRecording(t *testing.T) *recordingApp {
	t.Helper()
	a := &recordingApp{rawApp: serveRaw(t), reply: make(chan framingCase, 1)}
	a.each(a.converse)
	return a
}

func (a *recordingApp) converse(c net.Conn) {
	var seen strings.Builder
	br := bufio.NewReader(io.TeeReader(c, &seen))
	for {
		err := readStrictly(br)
		whole := seen.String()[:seen.Len()-br.Buffered()]
		ahead := seen.String()[len(whole):]
		seen.Reset()
		seen.WriteString(ahead)
		a.mu.Lock()
		if err == nil {
			a.requests = append(a.requests, withoutStamps(whole))
		} else if whole+ahead != "" {
			a.rest = append(a.rest, whole+ahead)
		}
		a.mu.Unlock()
		if err != nil {
			return
		}
		select {
		case reply := <-a.reply:
			io.WriteString(c, reply.sent)
			if reply.closes {
				return
			}
		default:
			io.WriteString(c, okNoBody)
		}
	}
}

// take returns what has come, and forgets it.
func (a *recordingApp) take() (requests, rest []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	requests, rest = a.requests, a.rest
	a.requests, a.rest = nil, nil
	return requests, rest
}

// readStrictly reads one request and fails on all that has two readings.
func readStrictly(br *bufio.Reader) error {
	head, err := readHead(br)
	if err != nil {
		return err
	}
	if strings.Count(head, "\n") != strings.Count(head, "\r\n") || strings.Count(head, "\r") != strings.Count(head, "\r\n") || strings.ContainsAny(head, "\x00\v\f") {
		return fmt.Errorf("lines do not end in CRLF: %q", head)
	}
	framing := 0
	for _, line := range lines(head) {
		name, value, ok := strings.Cut(line, ": ")
		if !ok || strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
			return fmt.Errorf("no field: %q", line)
		}
		switch {
		case strings.EqualFold(name, "Content-Length"):
			n, err := strconv.ParseUint(value, 10, 63)
			if err != nil {
				return err
			}
			framing++
			if _, err := io.CopyN(io.Discard, br, int64(n)); err != nil {
				return err
			}
		case strings.EqualFold(name, "Transfer-Encoding"):
			if value != "chunked" {
				return fmt.Errorf("coding %q", value)
			}
			framing++
			if _, err := io.Copy(io.Discard, httputil.NewChunkedReader(br)); err != nil {
				return err
			}
			if _, err := readHead(br); err != nil { // the trailer
				return err
			}
		}
	}
	if framing > 1 {
		return fmt.Errorf("framed %d times: %q", framing, head)
	}
	return nil
}

// withoutStamps leaves out of a request what the gateway stamps on all.
func withoutStamps(request string) string {
	head, body, _ := strings.Cut(request, "\r\n\r\n")
	kept := slices.DeleteFunc(strings.Split(head, "\r\n"), func(line string) bool {
		name, _, _ := strings.Cut(line, ":")
		return stampedOnAll(name) || name == "Forwarded" || strings.HasPrefix(name, "X-Forwarded-") || line == "Via: 1.1 overtake"
	})
	return strings.Join(kept, "\r\n") + "\r\n\r\n" + body
}

const sentinel = "GET /sentinel HTTP/1.1\r\nHost: s\r\n\r\n"

// TestFramingOfRequests sends each case through a gateway, and looks at what reaches
// the app, byte for byte.
func TestFramingOfRequests(t *testing.T) {
	app := serveRecording(t)
	g := start(t, "", app.url())
	for _, file := range framingFiles(t, "request-*.txt") {
		for _, c := range framingCases(t, file) {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt")+"/"+c.name, func(t *testing.T) {
				p := newPeer(t, g.dial().Conn)
				p.send(c.sent)
				if p.follow(c) {
					p.send(sentinel)
					if resp, _ := p.response("GET"); resp.StatusCode != http.StatusOK {
						t.Errorf("the request behind it got %d", resp.StatusCode)
					}
					c.requests = append(c.requests, sentinel)
				}
				p.Close()
				g.wholeAgain()
				app.check(t, c)
			})
		}
	}
}

// TestFramingOfResponses answers a request with each case, and looks at what the
// client makes of it, and the next client of the gateway of the next answer.
func TestFramingOfResponses(t *testing.T) {
	app := serveRecording(t)
	g := start(t, "", app.url())
	for _, file := range framingFiles(t, "response-*.txt") {
		for _, c := range framingCases(t, file) {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt")+"/"+c.name, func(t *testing.T) {
				app.reply <- *c
				p := newPeer(t, g.dial().Conn)
				p.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n")
				p.follow(c)
				p.Close()
				g.wholeAgain()
				next := newPeer(t, g.dial().Conn)
				next.send(sentinel)
				if resp, body := next.response("GET"); resp.StatusCode != http.StatusOK || body != "" {
					t.Errorf("the next client got %d %q", resp.StatusCode, body)
				}
				next.Close()
				c.requests = []string{"GET /first HTTP/1.1\r\nHost: a\r\n\r\n", sentinel}
				app.check(t, c)
			})
		}
	}
}

func framingFiles(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "framing", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(files), err)
	}
	return files
}

// follow reads what the client is to get, and reports whether the connection is to
// stay open.
func (p *peer) follow(c *framingCase) (open bool) {
	p.t.Helper()
	end := c.client[len(c.client)-1]
	last := ""
	for i, want := range c.client[:len(c.client)-1] {
		resp, err := http.ReadResponse(p.br, &http.Request{Method: http.MethodGet})
		if err != nil {
			p.t.Fatalf("response %d: %v, want %s", i+1, err, want)
		}
		body, err := io.ReadAll(resp.Body)
		if broken := end == "broken" && i == len(c.client)-2; (err != nil) != broken {
			p.t.Errorf("response %d ends with error %v after %q", i+1, err, body)
		}
		last = string(body)
		if strconv.Itoa(resp.StatusCode) != want {
			p.t.Fatalf("response %d is %d %s, want %s", i+1, resp.StatusCode, body, want)
		}
		if reason := resp.Header.Get("Overtake-Reason"); want == "400" && reason != reasonBadRequest || want == "502" && reason != reasonUpstreamFailed {
			p.t.Errorf("response %d has the reason %q", i+1, reason)
		}
	}
	if c.body != "" && last != c.body {
		p.t.Errorf("the body is %q, want %q", last, c.body)
	}
	if end != "open" {
		p.closed()
	}
	return end == "open"
}

// check compares what has come with what the case says.
func (a *recordingApp) check(t *testing.T, c *framingCase) {
	t.Helper()
	var requests, rest []string
	more := func() {
		r, s := a.take()
		requests, rest = append(requests, r...), append(rest, s...)
	}
	more()
	if c.cut {
		eventually(t, "the app has seen the end of what was cut", func() bool { more(); return len(rest) > 0 })
	}
	if !slices.Equal(requests, c.requests) {
		t.Errorf("the app got\n%q\nwant\n%q", requests, c.requests)
	}
	if (len(rest) > 0) != c.cut {
		t.Errorf("the app got %q, which is no request", rest)
	}
}
