package console

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// TestPage: whoever looks at it fetches nothing from elsewhere, and it runs no script
// that is not its own.
func TestPage(t *testing.T) {
	server := serve(t, newTest(t))
	resp, err := server.Client().Get(server.URL + "/console")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	html, policy := string(body), resp.Header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("the policy lacks %s: %s", part, policy)
		}
	}
	for element, source := range map[string]string{"style": "style-src ", "script": "script-src "} {
		found := regexp.MustCompile(`(?s)<`+element+`\b[^>]*>(.*?)</`+element+`>`).FindAllStringSubmatch(html, -1)
		if len(found) != 1 {
			t.Errorf("the page has %d elements %s, want one", len(found), element)
			continue
		}
		text := found[0][1]
		if !strings.Contains(policy, source+hashOf(text)+";") {
			t.Errorf("the policy does not allow the page's own %s: %s", element, policy)
		}
	}
	for _, part := range []string{"{{style}}", "{{script}}", "<script src", "<img src", "<link rel=\"stylesheet\""} {
		if strings.Contains(html, part) {
			t.Errorf("the page has %s", part)
		}
	}
	for name, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// Who writes /console/ comes to the page, also where a proxy has it below a prefix: what
// the page asks for is relative to where it is.
func TestPageWithSlash(t *testing.T) {
	mux := http.NewServeMux()
	newTest(t).Register(mux)
	for _, prefix := range []string{"", "/ops/overtake"} {
		server := httptest.NewServer(http.StripPrefix(prefix, mux))
		defer server.Close()
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			req, err := http.NewRequest(method, server.URL+prefix+"/console/", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := server.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if got := resp.Request.URL.Path; resp.StatusCode != http.StatusOK || got != prefix+"/console" {
				t.Errorf("%s %s/console/ leads to %s, %s", method, prefix, got, resp.Status)
			}
			if first := resp.Request.Response; first == nil || first.StatusCode != http.StatusPermanentRedirect {
				t.Errorf("%s %s/console/: %+v, want 308", method, prefix, first)
			}
		}
	}
}

func TestAcceptsGzip(t *testing.T) {
	for value, want := range map[string]bool{
		"gzip": true, "deflate, GZIP;q=0.5, br": true, "": false, "br": false, "gzip;q=0": false, "gzip; q=0.0": false, "gzip;q=x": false, "x-gzip": false,
	} {
		r := &http.Request{Header: http.Header{"Accept-Encoding": {value}}}
		if got := acceptsGzip(r); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

// TestStateCompressed: a client that takes it gets the state compressed; the transport
// undoes that.
func TestStateCompressed(t *testing.T) {
	server := serve(t, newTest(t))
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer client.CloseIdleConnections()
	resp, err := client.Get(server.URL + "/console/state")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var state State
	if err := json.NewDecoder(resp.Body).Decode(&state); err != nil || len(state.Classes) != 2 {
		t.Errorf("%v, %+v", err, state.Classes)
	}
	if !resp.Uncompressed {
		t.Error("it was not compressed")
	}
}

// TestTraceErrors: they come as JSON, with a status of their own.
func TestTraceErrors(t *testing.T) {
	hold, asked := make(chan struct{}), make(chan struct{}, mostTraces)
	c := New(Options{Classes: twoClasses, Live: func() State { return State{} }, Trace: func(ctx context.Context, id string) (any, error) {
		switch id {
		case "none":
			return nil, &Error{http.StatusNotFound, "set it"}
		case "held":
			asked <- struct{}{}
			<-hold
		}
		return nil, errors.New("it broke")
	}})
	server := serve(t, c)
	for id, want := range map[string]int{"none": http.StatusNotFound, "other": http.StatusBadGateway} {
		status, text := fetch(t, server.URL+"/console/trace?id="+id)
		var got struct{ Error string }
		if err := json.Unmarshal([]byte(text), &got); err != nil || status != want || got.Error == "" {
			t.Errorf("%s: status %d, %s", id, status, text)
		}
	}
	done := make(chan struct{}, mostTraces)
	for range mostTraces {
		go func() {
			defer func() { done <- struct{}{} }()
			fetch(t, server.URL+"/console/trace?id=held")
		}()
		<-asked
	}
	if status, text := fetch(t, server.URL+"/console/trace?id=none"); status != http.StatusServiceUnavailable {
		t.Errorf("too many: status %d, %s", status, text)
	}
	close(hold)
	for range mostTraces {
		<-done
	}
}
