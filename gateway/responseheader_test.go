package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// holding makes every connection answer one request by the text, and stay open.
func (a *rawApp) holding(text string) {
	a.each(func(c net.Conn) {
		if _, err := readHead(newPeer(a.t, c).br); err == nil {
			io.WriteString(c, text)
			<-a.ctx.Done()
		}
	})
}

// TestResponsesThatAreNone are refused at once: their app keeps the connection open.
func TestResponsesThatAreNone(t *testing.T) {
	for _, response := range []string{
		"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n", "\nHTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n", "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 2000 OK\r\n", "HTTP/1.1 20x OK\r\n", "HTTP/1.1\r\n", "HTTP/1.1 \r\n", "220 ready\r\n",
	} {
		app := serveRaw(t)
		app.holding(response)
		f := start(t, "", app.url()).get("/")
		if f.StatusCode != 502 || f.Header.Get("Overtake-Reason") != reasonUpstreamFailed {
			t.Errorf("%q: %d %q", response, f.StatusCode, f.Header)
		}
	}
}

// TestReasonPhrase: what a terminal would act upon is not passed on.
func TestReasonPhrase(t *testing.T) {
	for phrase, want := range map[string]string{
		"Fine, thanks": "200 Fine, thanks", "": "200 OK", "\x1b[31mred": "200 OK", "a\x07": "200 OK", "\x9b31m": "200 OK", "a\x7f": "200 OK",
	} {
		app := serveRaw(t)
		app.answering("\r\nHTTP/1.1 200 " + phrase + "\r\nContent-Length: 0\r\n\r\n")
		if f := start(t, "", app.url()).get("/"); f.Status != want {
			t.Errorf("%q became %q, want %q", phrase, f.Status, want)
		}
	}
}

// TestTimingOfAHopBehind is for that hop's own clients; what the app measured stays,
// also if it looks the same.
func TestTimingOfAHopBehind(t *testing.T) {
	const ours = "queue;dur=1.234, upstream;dur=5.678"
	for _, tc := range []struct {
		header http.Header
		want   []string
	}{
		{http.Header{"Server-Timing": {"db;dur=3", ours, "cache"}, "Latency-Class": {"batch"}}, []string{"db;dur=3", "cache"}},
		{http.Header{"Server-Timing": {"queue;dur=0.000"}, "Latency-Class": {"batch"}}, nil},
		{http.Header{"Server-Timing": {"queue;dur=1", "queue;dur=1.5, db", ours + ", db"}, "Latency-Class": {"batch"}}, []string{"queue;dur=1", "queue;dur=1.5, db", ours + ", db"}},
		{http.Header{"Server-Timing": {"db;dur=3", ours}}, []string{"db;dur=3", ours}},
	} {
		app := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
			maps.Copy(w.Header(), tc.header)
		})
		if f := start(t, "expose: none", app).get("/"); !slices.Equal(f.Header["Server-Timing"], tc.want) || f.Header["Latency-Class"] != nil {
			t.Errorf("of %q came %q", tc.header, f.Header)
		}
	}
	behind := start(t, "expose: all", serveApp(t, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Server-Timing", "db;dur=3") }))
	if f := start(t, "expose: none", behind.url("")).get("/"); !slices.Equal(f.Header["Server-Timing"], []string{"db;dur=3"}) {
		t.Errorf("through two hops came %q", f.Header)
	}
}

// TestReasonOfAHopBehind reaches the client with the refusal, and counts as none of
// this hop.
func TestReasonOfAHopBehind(t *testing.T) {
	behind := start(t, "", deadAddress(t))
	front := start(t, "", behind.url(""))
	wantRefusal(t, front.get("/"), 502, reasonConnectFailed)
	if !strings.Contains(behind.log.String(), "msg=refused") || strings.Contains(front.log.String(), "msg=refused") {
		t.Error("the refusal is not that of the hop behind alone")
	}
	for reason, h := range map[string]struct {
		status      int
		contentType string
	}{"draining": {200, problemType}, "deadline": {503, "text/plain"}, "because": {503, problemType}} {
		app := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Overtake-Reason", reason)
			w.Header().Set("Content-Type", h.contentType)
			w.WriteHeader(h.status)
		})
		if f := start(t, "", app).get("/"); f.Header["Overtake-Reason"] != nil || f.StatusCode != h.status {
			t.Errorf("%s with %v: %q", reason, h, f.Header)
		}
	}
}

func TestWhyUnreached(t *testing.T) {
	for want, err := range map[string]error{
		"its name is not known.":           &net.DNSError{Name: "x", IsNotFound: true},
		"its name could not be looked up.": &net.DNSError{Name: "x", IsTimeout: true},
		"it refused the connection.":       &net.OpError{Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
		"no network leads there.":          &net.OpError{Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)},
		"it did not answer.":               context.DeadlineExceeded,
		"no connection could be made.":     errors.New("192.0.2.1 said something"),
	} {
		if got := whyUnreached(fmt.Errorf("gateway: %w", err)); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}

// TestReasonInAnyCase: names of fields have no case, and two lines are no reason.
func TestReasonInAnyCase(t *testing.T) {
	const rest = "\r\nContent-Type: Application/Problem+JSON\r\nContent-Length: 0\r\n\r\n"
	for header, want := range map[string]string{
		"overtake-reason: max_wait":                          "max_wait",
		"Overtake-Reason: max_wait\r\nOVERTAKE-REASON: evil": "",
	} {
		app := serveRaw(t)
		app.answering("HTTP/1.1 503 No\r\n" + header + rest)
		if f := start(t, "", app.url()).get("/"); strings.Join(f.Header.Values("Overtake-Reason"), ", ") != want {
			t.Errorf("of %q came %q", header, f.Header)
		}
	}
}

// TestForbiddenTrailerIsNotAnnounced: its name is left out, and the response is good.
func TestForbiddenTrailerIsNotAnnounced(t *testing.T) {
	for list, want := range map[string]string{
		"Set-Cookie": "", "content-type": "", "Authorization": "", "WWW-Authenticate": "", "": "", "Keep-Alive": "",
		"X-T, Content-Length": "X-T", "Content-Length,X-T,X-U": "X-T, X-U", ",X-T,,": "X-T",
	} {
		app := serveRaw(t)
		app.answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\ntrailer:" + list + "\r\n\r\n2\r\nok\r\n0\r\nSet-Cookie: a=1\r\n\r\n")
		p := start(t, "", app.url()).dial()
		p.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		head := p.head()
		if got := strings.Join(values(head, "Trailer"), "|"); !strings.HasPrefix(head, "HTTP/1.1 200 ") || got != want {
			t.Errorf("of %q came %q", list, head)
		}
		if rest := p.body(12); rest != "2\r\nok\r\n0\r\n\r\n" {
			t.Errorf("behind %q came %q", list, rest)
		}
	}
}

// TestTrailerTakesNothingAway: what is announced as a trailer is left out of the header,
// which is no way to remove what this hop writes there, or to write it.
func TestTrailerTakesNothingAway(t *testing.T) {
	app := serveRaw(t)
	app.answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: latency-class, X-Sum, Overtake-Reason, Server-Timing\r\n\r\n" +
		"2\r\nok\r\n0\r\nX-Sum: 1\r\nLatency-Class: interactive\r\nOvertake-Reason: draining\r\nServer-Timing: queue;dur=1.000\r\n\r\n")
	f := start(t, "expose: all", app.url()).get("/")
	if f.body != "ok" || f.Header.Get("Latency-Class") != "standard" || f.Header.Get("Server-Timing") == "" {
		t.Errorf("body %q, header %q", f.body, f.Header)
	}
	if len(f.Trailer) != 1 || f.Trailer.Get("X-Sum") != "1" {
		t.Errorf("trailer %q", f.Trailer)
	}
}

// RFC 9110 section 6.6.1: who forwards a response without a Date adds one.
func TestResponsesHaveADate(t *testing.T) {
	for _, line := range []string{"", "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"} {
		app := serveRaw(t)
		app.answering("HTTP/1.1 200 OK\r\n" + line + "Content-Length: 0\r\n\r\n")
		g := start(t, "", app.url())
		dates := g.get("/").Header.Values("Date")
		if len(dates) != 1 {
			t.Fatalf("%q: dates %q", line, dates)
		}
		if at, err := http.ParseTime(dates[0]); err != nil || (at.Year() == 1994) != (line != "") {
			t.Errorf("%q: date %q, error %v", line, dates[0], err)
		}
	}
}
