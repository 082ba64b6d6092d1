package topology

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp's own: they sleep for up to an idle time after the last use.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}

// parse reads a graph that is meant to be right.
func parse(t *testing.T, text string) *Graph {
	t.Helper()
	g, err := Parse("graph.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// running is a graph that runs until the test ends.
type running struct {
	*App
	t    *testing.T
	http *http.Client
}

func run(t *testing.T, g *Graph, opts Options) *running {
	t.Helper()
	a, err := Start(t.Context(), g, opts)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{App: a, t: t, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}}
	t.Cleanup(func() {
		r.http.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	return r
}

func (r *running) url(service string) string {
	return "http://" + r.servers[service].listener.Addr().String()
}

// get sends a request and returns what comes back. headers are names and values in
// turn.
func (r *running) get(service, path string, headers ...string) (int, string) {
	r.t.Helper()
	status, body, err := r.tryGet(service, path, headers...)
	if err != nil {
		r.t.Fatal(err)
	}
	return status, body
}

func (r *running) tryGet(service, path string, headers ...string) (int, string, error) {
	req, err := http.NewRequest("GET", r.url(service)+path, nil)
	if err != nil {
		return 0, "", err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header[headers[i]] = append(req.Header[headers[i]], headers[i+1])
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func (r *running) mustGet(service, path string, headers ...string) string {
	r.t.Helper()
	status, body := r.get(service, path, headers...)
	if status != 200 {
		r.t.Fatalf("%s %s: status %d: %s", service, path, status, body)
	}
	return body
}

func (r *running) stats(service string) Stats {
	r.t.Helper()
	s, ok := r.Stats(service)
	if !ok {
		r.t.Fatalf("%s does not run", service)
	}
	return s
}

// requests is how many requests each service has had, in the order of the file.
func (r *running) requests() string {
	var all []string
	for _, name := range r.order {
		all = append(all, fmt.Sprintf("%s %d", name, r.stats(name).Requests))
	}
	return strings.Join(all, ", ")
}

// eventually fails the test unless cond holds within 10 s.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}
