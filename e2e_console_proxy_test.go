//go:build e2e

package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// consoleProxy stands between browsers and an admin listener, and notes what they ask.
type consoleProxy struct {
	*httptest.Server

	state   watched
	asked   []string                              // paths at the gateway, or here if no path of it; guarded by state
	streams map[*http.Request]func()              // those of events that are open, and what ends each; guarded by state
	spoil   map[string]func(*http.Response) error // by path at the gateway, what becomes of its answers; guarded by state
}

// startConsoleProxy passes on what is below prefix, which begins with a / if it is not
// empty, to the admin listener at to.
func startConsoleProxy(t *testing.T, to, prefix string) *consoleProxy {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	p := &consoleProxy{streams: make(map[*http.Request]func()), spoil: make(map[string]func(*http.Response) error)}
	rest := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			if r.In.URL.Path == events {
				r.Out.Header.Del("Accept-Encoding") // for spoil to find the ends of events
			}
		},
		ModifyResponse: p.answered,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
		ErrorLog:  log.New(io.Discard, "", 0), // streams that are broken off, on purpose
		Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true},
	}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.state.change(func() { p.asked = append(p.asked, strings.TrimPrefix(r.URL.Path, prefix)) })
		if !strings.HasPrefix(r.URL.Path, prefix+"/") {
			p.state.change(func() { p.asked[len(p.asked)-1] = "outside: " + r.URL.Path })
			http.NotFound(w, r)
			return
		}
		http.StripPrefix(prefix, rest).ServeHTTP(w, r)
	}))
	t.Cleanup(func() { p.CloseClientConnections(); p.Close() })
	return p
}

// events is the path of streams of events.
const events = "/console/events"

// answered spoils an answer, if that is what becomes of those of its path, and notes
// streams of events.
func (p *consoleProxy) answered(resp *http.Response) (err error) {
	p.state.change(func() {
		if spoil := p.spoil[resp.Request.URL.Path]; spoil != nil {
			err = spoil(resp)
		}
	})
	if err != nil || resp.Request.URL.Path != events {
		return err
	}
	r, body := resp.Request, resp.Body
	p.state.change(func() { p.streams[r] = func() { body.Close() } })
	resp.Body = closeNoted{body, func() { p.state.change(func() { delete(p.streams, r) }) }}
	return nil
}

// closeNoted calls closed when it is closed, which the proxy does at the end of a stream.
type closeNoted struct {
	io.ReadCloser
	closed func()
}

// Close implements io.Closer.
func (c closeNoted) Close() error {
	c.closed()
	return c.ReadCloser.Close()
}

// turn has the streams of events end that are open, and those to come be spoilt; nil
// for no more.
func (p *consoleProxy) turn(spoil func(*http.Response) error) {
	p.state.change(func() {
		p.spoil[events] = spoil
		for _, end := range p.streams {
			end()
		}
	})
}

// await waits until holds, which may look at what state guards.
func (p *consoleProxy) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if !p.state.await(ctx, holds) {
		t.Fatalf("after %v: %s", patience, what)
	}
}

// seen returns what was asked for until now.
func (p *consoleProxy) seen() (asked []string) {
	p.state.change(func() { asked = slices.Clone(p.asked) })
	return asked
}

// spoilt is the body of an answer that does not come through as it was sent.
type spoilt struct {
	io.Reader
	io.Closer
}

// holdBack passes nothing of a stream on until it ends, as a proxy does that buffers
// whole answers.
func holdBack(resp *http.Response) error {
	resp.Body = spoilt{heldBack{resp.Body}, resp.Body}
	return nil
}

type heldBack struct{ body io.Reader }

// Read implements io.Reader.
func (h heldBack) Read([]byte) (int, error) {
	_, err := io.Copy(io.Discard, h.body) // nobody reads it: the client has left by then
	return 0, cmp.Or(err, io.EOF)
}

// endAfter ends streams that have passed so many events on.
func endAfter(events int) func(*http.Response) error {
	return func(resp *http.Response) error {
		resp.Body = spoilt{&firstEvents{lines: bufio.NewReader(resp.Body), left: events}, resp.Body}
		return nil
	}
}

// firstEvents are so many events of a stream.
type firstEvents struct {
	lines *bufio.Reader
	left  int
	line  []byte // what is left of the line that is passed on
}

// Read implements io.Reader.
func (f *firstEvents) Read(b []byte) (int, error) {
	if len(f.line) == 0 {
		if f.left == 0 {
			return 0, io.EOF
		}
		var err error
		if f.line, err = f.lines.ReadBytes('\n'); err != nil {
			return 0, err
		}
		if len(f.line) == 1 { // the empty line at the end of an event
			f.left--
		}
	}
	n := copy(b, f.line)
	f.line = f.line[n:]
	return n, nil
}

// wantLogin answers with a page instead of the gateway.
func wantLogin(resp *http.Response) error { return answerPage(resp, http.StatusOK) }

// wantPassword answers instead of the gateway that none was sent.
func wantPassword(resp *http.Response) error { return answerPage(resp, http.StatusUnauthorized) }

// redirect leads to a login elsewhere.
func redirect(resp *http.Response) error {
	resp.Header.Set("Location", "/login")
	return answerPage(resp, http.StatusFound)
}

func answerPage(resp *http.Response, status int) error {
	resp.Header.Set("Content-Type", "text/html")
	resp.Header.Del("Content-Length")
	resp.Header.Del("Content-Encoding")
	resp.StatusCode = status
	resp.Body = spoilt{strings.NewReader("<!doctype html><title>Log in</title>"), resp.Body}
	return nil
}

// refuse answers instead of the gateway.
func refuse(*http.Response) error { return errors.New("streams are refused here") }
