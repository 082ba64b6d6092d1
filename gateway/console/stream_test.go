package console

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestEventsCompressed: a client that takes it gets the same events in a fraction of the
// bytes, each as soon as it is there, and a stream that is whole when it ends.
func TestEventsCompressed(t *testing.T) {
	rules := make([]Rule, 200)
	for i := range rules {
		rules[i] = Rule{Name: fmt.Sprint("rule-", i), Class: "batch", Match: fmt.Sprintf("path /%x/**", i*i)}
	}
	c := New(Options{Classes: twoClasses, Live: func() State { return State{Rules: append([]Rule(nil), rules...)} }})
	server := serve(t, c)
	var sizes []int
	for _, accept := range []string{"identity", "gzip"} {
		resp := accepting(t, server.URL+"/console/events", accept)
		if got := resp.Header.Get("Content-Encoding"); (got == "gzip") != (accept == "gzip") || resp.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: Content-Encoding %q, Vary %q", accept, got, resp.Header.Get("Vary"))
		}
		counted := &countingReader{from: resp.Body}
		var text io.Reader = counted
		if accept == "gzip" {
			var err error
			if text, err = gzip.NewReader(counted); err != nil {
				t.Fatal(err)
			}
		}
		lines := bufio.NewReader(text)
		var last int64
		for range 3 {
			state := readEvent(t, lines)
			if state.Now < last || len(state.Rules) != len(rules) || state.Rules[100].Match != rules[100].Match {
				t.Fatalf("%s: after %d: %+v", accept, last, state)
			}
			last = state.Now
		}
		sizes = append(sizes, counted.n)
		if accept != "gzip" {
			continue
		}
		c.Close()
		if rest, err := lines.ReadString(0); err != io.EOF {
			t.Errorf("the stream ends with %v, after %.100q", err, rest)
		}
	}
	if sizes[1] > sizes[0]/4 {
		t.Errorf("three events take %d bytes, compressed %d", sizes[0], sizes[1])
	}
}

// accepting asks with an Accept-Encoding of its own, and undoes nothing.
func accepting(t *testing.T, url, encoding string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", encoding)
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	t.Cleanup(client.CloseIdleConnections)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// readEvent reads one event.
func readEvent(t *testing.T, lines *bufio.Reader) (state State) {
	t.Helper()
	for _, want := range []string{"event: state\n", "data: ", "\n"} {
		line, err := lines.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, want) {
			t.Fatalf("%.100q, %v, want %q", line, err, want)
		}
		if text, ok := strings.CutPrefix(line, "data: "); ok {
			if err := json.Unmarshal([]byte(text), &state); err != nil {
				t.Fatal(err)
			}
		}
	}
	return state
}

// countingReader counts what is read through it.
type countingReader struct {
	from io.Reader
	n    int
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.n += n
	return n, err
}

// BenchmarkFrame is what each second costs while somebody looks, encoded and compressed
// once, and then for each stream that gets it.
func BenchmarkFrame(b *testing.B) {
	c := New(Options{Classes: twoClasses, Live: func() State { return State{Rules: make([]Rule, 50)} }})
	defer c.Close()
	for i := range 4 * slowPerMinute {
		c.Slow(i%2, time.Hour+time.Duration(i), Slow{Path: "/some/path", Hops: make([]Hop, 4)})
	}
	b.Run("made", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			f, err := c.hub.part(0)
			if err != nil {
				b.Fatal(err)
			}
			f.deflated()
		}
	})
	b.Run("stream", func(b *testing.B) {
		f, err := c.hub.part(0)
		if err != nil {
			b.Fatal(err)
		}
		e := eventWriter{w: discarded{}, zip: new(gzipped)}
		b.ReportAllocs()
		for b.Loop() {
			if err := e.write(f); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// discarded is an answer that nobody reads.
type discarded struct{ http.ResponseWriter }

func (discarded) Write(p []byte) (int, error) { return len(p), nil }
