package gateway

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"testing"
)

func TestInterimResponsesArePassedOn(t *testing.T) {
	app := serveRaw(t)
	app.answering("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: X-Private\r\nX-Private: 1\r\nLatency-Class: x\r\n\r\n" +
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
	g := start(t, "", app.url())
	p := g.dial()
	const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for range 2 {
		p.send(get)
		if got := p.head(); got != "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" {
			t.Errorf("the first is %q", got)
		}
		if got := p.head(); got != "HTTP/1.1 100 Continue\r\n\r\n" {
			t.Errorf("the second is %q", got)
		}
		if resp, body := p.response("GET"); resp.StatusCode != 200 || body != "hi" {
			t.Errorf("the last is %d %q", resp.StatusCode, body)
		}
	}
	// Where the answer before may not have been sent yet, they are left out.
	p.send(get + get + get)
	var got []int
	for answers := 0; answers < 3; {
		resp, _ := p.response("GET")
		if got = append(got, resp.StatusCode); resp.StatusCode == 200 {
			answers++
		}
	}
	if !slices.Equal(got, []int{103, 100, 200, 200, 200}) {
		t.Errorf("three requests at once got %v", got)
	}
	p.send(get + "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
	p.head()
	p.head()
	p.send("hi") // its body comes while the answer before is held back
	for range 2 {
		if resp, _ := p.response("GET"); resp.StatusCode != 200 {
			t.Errorf("got %d before the answer before", resp.StatusCode)
		}
	}
	p.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
	if resp, _ := p.response("GET"); resp.StatusCode != 103 {
		t.Errorf("a request with a body, alone, got %d first", resp.StatusCode)
	}
	p.head()
	p.response("GET")
	p.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n") // which knows of none
	if resp, body := p.response("GET"); resp.StatusCode != 200 || body != "hi" {
		t.Errorf("a client of HTTP/1.0 got %d %q", resp.StatusCode, body)
	}
}

func TestTrailersOfTheResponse(t *testing.T) {
	g := start(t, "", serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum, X-None")
		w.Header().Set("X-Twice", "0")
		io.WriteString(w, "data")
		w.Header().Set("X-Sum", "42")
		w.Header().Set(http.TrailerPrefix+"X-Late", "not announced")
		w.Header()[http.TrailerPrefix+"X-Twice"] = []string{"1", "2"}
		w.Header().Set(http.TrailerPrefix+"Set-Cookie", "a=1")
	}))
	c := client(t)
	want := http.Header{"X-Sum": {"42"}, "X-Late": {"not announced"}, "X-Twice": {"1, 2"}}
	for range 2 {
		f := g.fetchBy(c, "GET", "/", nil)
		delete(f.Trailer, "X-None") // announced, so that there is an entry
		if f.err != nil || f.body != "data" || f.Header.Get("X-Twice") != "0" || !maps.EqualFunc(f.Trailer, want, slices.Equal) {
			t.Errorf("body %q, header %v, trailer %v, %v", f.body, f.Header, f.Trailer, f.err)
		}
	}
}
