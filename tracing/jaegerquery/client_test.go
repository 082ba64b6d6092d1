package jaegerquery

import (
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overtake/tracing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// madeUp returns a trace with one span of a class in a service, and its queue span.
func madeUp(number int, service, class string, took time.Duration) Trace {
	id := tracing.TraceID{14: byte(number >> 8), 15: byte(number)}
	start := time.UnixMicro(1893553445678000 + int64(number))
	span := func(id byte, name string) Span {
		return Span{Service: service, Span: tracing.Span{
			ID: tracing.SpanID{7: id}, Name: name, Start: start, End: start.Add(took),
			Attributes: []tracing.Attribute{{Key: ClassKey, Value: class}},
		}}
	}
	return Trace{ID: id, Spans: []Span{span(1, "GET /"), span(2, "overtake.queue")}}
}

// The slowest traces are found among more than a search returns, however old they
// are, and whatever of other classes and services is slower.
func TestSlowest(t *testing.T) {
	s := &storage{}
	for i := range 3000 {
		s.traces = append(s.traces,
			madeUp(10*i+1, "gateway", "interactive", time.Duration(3000-i)*time.Millisecond), // the slowest are the oldest
			madeUp(10*i+2, "gateway", "batch", time.Hour))
	}
	s.traces = append(s.traces, madeUp(40001, "sidecar", "interactive", time.Minute))
	other := madeUp(40002, "shop", "", time.Hour)
	other.Spans = other.Spans[:1]
	s.traces = append(s.traces, other)
	found, err := s.serve(t).Slowest(t.Context(), Query{Class: "interactive", Start: time.UnixMicro(0), End: time.Now(), Most: 3})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(found.Traces, func(a, b Trace) int {
		return cmp.Compare(b.Spans[0].End.Sub(b.Spans[0].Start), a.Spans[0].End.Sub(a.Spans[0].Start))
	})
	for i, want := range []time.Duration{time.Minute, 3000 * time.Millisecond, 2999 * time.Millisecond} {
		if span := found.Traces[i].Spans[0]; span.End.Sub(span.Start) != want || span.Text(ClassKey) != "interactive" {
			t.Errorf("slowest %d takes %v and is %s, want %v", i, span.End.Sub(span.Start), span.Text(ClassKey), want)
		}
	}
	if got := fmt.Sprint(found.Services, found.Known); got != "[gateway sidecar] [gateway shop sidecar]" {
		t.Errorf("services are %s", got)
	}
	if len(found.Cut) != 1 || found.Cut[0].Service != "gateway" || found.Cut[0].Least <= 0 {
		t.Errorf("left out is %+v", found.Cut)
	}
	if slices.Contains(s.searches, "shop ") {
		t.Errorf("searched where Overtake has no spans: %q", s.searches)
	}
}

// More equally long spans than a search returns can't be told apart.
func TestSlowestOfEquals(t *testing.T) {
	s := &storage{}
	for i := range 1000 {
		s.traces = append(s.traces, madeUp(i+1, "gateway", "interactive", time.Second))
	}
	found, err := s.serve(t).Slowest(t.Context(), Query{Start: time.UnixMicro(0), End: time.Now(), Most: 3})
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Cut) != 1 || found.Cut[0].Least <= time.Second || len(found.Traces) != leastPage {
		t.Errorf("found %d traces, left out is %+v", len(found.Traces), found.Cut)
	}
	if len(s.searches) > mostSteps {
		t.Errorf("it took %d searches", len(s.searches))
	}
}

func TestSlowestOfFew(t *testing.T) {
	s := &storage{traces: []Trace{madeUp(1, "gateway", "batch", time.Second)}}
	found, err := s.serve(t).Slowest(t.Context(), Query{Start: time.UnixMicro(0), End: time.Now(), Most: 3})
	if err != nil || len(found.Traces) != 1 || found.Cut != nil || len(s.searches) != 1 {
		t.Errorf("found %+v, %v in %d searches", found, err, len(s.searches))
	}
}

// What is not Jaeger, or does not answer, is told with a remedy and without the
// password.
func TestErrors(t *testing.T) {
	serve := func(status int, contentType, body string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	for name, c := range map[string]struct {
		url  string
		want string
	}{
		"not there":      {"http://127.0.0.1:1", "is it running there? Its pages and its query API are usually on port 16686"},
		"a page":         {serve(200, "text/html; charset=utf-8", "<html>"), "is not Jaeger's query API: it answered with a page in HTML; that is usually on port 16686"},
		"text":           {serve(200, "text/plain", "hello"), "is not Jaeger's query API: it answered with something else than its JSON"},
		"other JSON":     {serve(200, "application/json", `{"status":"Server available"}`), "is not Jaeger's query API: it answered with other JSON"},
		"data of others": {serve(200, "application/json", `{"data":{"a":1}}`), "is not Jaeger's query API: it answered with other JSON"},
		"no such path":   {serve(404, "text/plain", "404 page not found"), "is not Jaeger's query API: it answered 404 Not Found"},
		"who are you":    {serve(401, "text/plain", ""), "give who you are in the address"},
		"fails":          {serve(500, "text/plain", `{"data":null,"errors":[{"code":500,"msg":"no \u001b[2J index"}]}`), "answered 500 Internal Server Error: no  [2J index; its log may say more"},
		"fails with 200": {serve(200, "application/json", `{"data":null,"total":0,"errors":[{"code":500,"msg":"index is closed"}]}`), "answered 200 OK: index is closed; its log may say more"},
		"a list too few": {serve(200, "application/json", `{"errors":null}`), "is not Jaeger's query API: it answered with other JSON"},
		"half of it":     {serve(200, "application/json", `{"data":[`), "is not Jaeger's query API: it answered with other JSON"},
		"proxy":          {serve(502, "text/html", "<html>"), "answered 502 Bad Gateway: try again when it is up"},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := New(strings.Replace(c.url, "//", "//me:secret@", 1))
			if err != nil {
				t.Fatal(err)
			}
			defer client.http.CloseIdleConnections()
			_, err = client.Slowest(t.Context(), Query{Most: 1})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("Slowest: %v\nwant %s", err, c.want)
			}
			_, err = client.Trace(t.Context(), tracing.TraceID{15: 1})
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrNotFound) {
				t.Errorf("Trace: %v\nwant %s", err, c.want)
			}
			err = client.Reach(t.Context())
			if name == "who are you" {
				if err != nil {
					t.Errorf("Reach: %v", err)
				}
			} else if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Reach: %v\nwant %s", err, c.want)
			}
		})
	}
	unknown := `{"data":null,"errors":[{"code":404,"msg":"trace not found"}]}`
	for _, url := range []string{serve(404, "text/plain", unknown), serve(200, "application/json", unknown), serve(200, "application/json", `{"data":[]}`)} {
		client, err := New(url)
		if err != nil {
			t.Fatal(err)
		}
		defer client.http.CloseIdleConnections()
		if _, err := client.Trace(t.Context(), tracing.TraceID{15: 1}); !errors.Is(err, ErrNotFound) {
			t.Errorf("an unknown trace is %v", err)
		}
	}
}

// What Jaeger has of a trace is shown even if it complains about a part, and another
// trace than the one that was asked for is not.
func TestTrace(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"errors":[{"msg":"a span has no process"}],"data":[{"traceID":"ab","spans":[{"spanID":"1"}]}]}`))
	}))
	defer server.Close()
	client, err := New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer client.http.CloseIdleConnections()
	if trace, err := client.Trace(t.Context(), tracing.TraceID{15: 0xab}); err != nil || len(trace.Spans) != 1 {
		t.Errorf("read %+v, %v", trace, err)
	}
	want := "was asked for trace 0000000000000001 and answered with trace 00000000000000ab"
	if _, err := client.Trace(t.Context(), tracing.TraceID{15: 1}); err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, ErrNotFound) {
		t.Errorf("of another trace it says %v", err)
	}
}

// An answer without an end, or one that is small only while it is compressed, is given
// up, and what was read of it does not stay.
func TestEndless(t *testing.T) {
	endless := func(w io.Writer, begin, more string) {
		_, err := io.WriteString(w, begin)
		for part := []byte(strings.Repeat(more, 1<<16/len(more))); err == nil; {
			_, err = w.Write(part)
		}
	}
	for name, serve := range map[string]http.HandlerFunc{
		"elements": func(w http.ResponseWriter, _ *http.Request) {
			endless(w, `{"data":[{}`, `,{"traceID":"`+strings.Repeat("a", 1000)+`"}`)
		},
		"a text": func(w http.ResponseWriter, _ *http.Request) { endless(w, `{"data":[{"traceID":"`, "a") },
		"compressed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			endless(gzip.NewWriter(w), "", " ")
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(serve)
			defer server.Close()
			client, err := New(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer client.http.CloseIdleConnections()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = client.Trace(t.Context(), tracing.TraceID{15: 1})
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), "is longer than 64 MiB") {
				t.Errorf("it says %v", err)
			}
			// A decoder doubles its room when there is more, and needs both meanwhile.
			if grown := after.Sys - before.Sys; grown > 5*mostAnswer {
				t.Errorf("it took %d MiB", grown>>20)
			}
		})
	}
}

// Who stops the command need not wait for Jaeger.
func TestStopped(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		stop()
		<-r.Context().Done()
	}))
	defer server.Close()
	client, err := New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer client.http.CloseIdleConnections()
	if _, err := client.Slowest(ctx, Query{Most: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func TestLink(t *testing.T) {
	for base, want := range map[string]string{
		"http://127.0.0.1:16686":                     "http://127.0.0.1:16686/trace/00000000000000ab",
		"https://me:secret@example.org:8443/jaeger/": "https://example.org:8443/jaeger/trace/00000000000000ab",
		"http://[::1]:16686/":                        "http://[::1]:16686/trace/00000000000000ab",
	} {
		client, err := New(base)
		if err != nil {
			t.Fatal(err)
		}
		if got := client.Link(tracing.TraceID{15: 0xab}); got != want {
			t.Errorf("the page is at %s, want %s", got, want)
		}
	}
	for _, base := range []string{"", "127.0.0.1:16686", "localhost", "/jaeger", "ftp://a", "http://", "http://a/?b", "http://a/%zz"} {
		if _, err := New(base); err == nil || !strings.Contains(err.Error(), "such as http://127.0.0.1:16686") {
			t.Errorf("New(%q): %v", base, err)
		}
	}
}
