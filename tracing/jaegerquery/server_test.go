package jaegerquery

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"time"

	"overtake/tracing"
)

// write makes the answer of which readTraces reads traces.
func write(t *testing.T, traces []Trace) []byte {
	t.Helper()
	list := []traceJSON{}
	for _, trace := range traces {
		j := traceJSON{TraceID: formatID(trace.ID), Spans: []spanJSON{}, Processes: map[string]processJSON{}}
		for i, s := range trace.Spans {
			process := fmt.Sprint("p", i)
			j.Processes[process] = processJSON{Service: s.Service, Tags: []tagJSON{{"service.instance.id", s.Instance}}}
			span := spanJSON{
				SpanID: s.ID.String(), Name: s.Name, Process: process, Tags: tags(s.Attributes),
				Start: uint64(s.Start.UnixMicro()), Duration: uint64(s.End.Sub(s.Start).Microseconds()),
			}
			if s.Parent != (tracing.SpanID{}) {
				span.References = []referenceJSON{{"CHILD_OF", j.TraceID, s.Parent.String()}}
			}
			for _, e := range s.Events {
				span.Logs = append(span.Logs, logJSON{uint64(e.Time.UnixMicro()), tags(e.Attributes)})
			}
			j.Spans = append(j.Spans, span)
		}
		list = append(list, j)
	}
	body, err := json.Marshal(map[string]any{"data": list})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func tags(attributes []tracing.Attribute) (tags []tagJSON) {
	for _, a := range attributes {
		value := a.Value
		if f, ok := value.(float64); ok { // one that is whole must not become an integer
			value = json.RawMessage(strconv.FormatFloat(f, 'e', -1, 64))
		}
		tags = append(tags, tagJSON{a.Key, value})
	}
	return tags
}

// storage answers searches as Jaeger's memory storage does.
type storage struct {
	traces   []Trace // the oldest first
	searches []string
}

func (s *storage) serve(t *testing.T) *Client {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/services", func(w http.ResponseWriter, _ *http.Request) {
		services := map[string]bool{}
		for _, trace := range s.traces {
			for _, span := range trace.Spans {
				services[span.Service] = true
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": slices.Collect(maps.Keys(services))})
	})
	mux.HandleFunc("GET /api/operations", func(w http.ResponseWriter, r *http.Request) {
		names := []map[string]string{}
		for _, trace := range s.traces {
			for _, span := range trace.Spans {
				if span.Service == r.FormValue("service") {
					names = append(names, map[string]string{"name": span.Name, "spanKind": "internal"})
				}
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": names})
	})
	mux.HandleFunc("GET /api/traces", func(w http.ResponseWriter, r *http.Request) {
		s.searches = append(s.searches, r.FormValue("service")+" "+r.FormValue("minDuration"))
		_, _ = w.Write(write(t, s.search(t, r)))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	client, err := New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.http.CloseIdleConnections)
	return client
}

func (s *storage) search(t *testing.T, r *http.Request) []Trace {
	t.Helper()
	var least time.Duration
	var err error
	if text := r.FormValue("minDuration"); text != "" {
		if least, err = time.ParseDuration(text); err != nil {
			t.Error(err)
		}
	}
	wanted := map[string]string{}
	if text := r.FormValue("tags"); text != "" {
		if err := json.Unmarshal([]byte(text), &wanted); err != nil {
			t.Error(err)
		}
	}
	limit, err := strconv.Atoi(r.FormValue("limit"))
	if err != nil {
		t.Error(err)
	}
	var found []Trace
	for _, trace := range slices.Backward(s.traces) {
		if len(found) < limit && slices.ContainsFunc(trace.Spans, func(span Span) bool {
			return span.Service == r.FormValue("service") && span.End.Sub(span.Start) >= least &&
				(wanted[ClassKey] == "" || span.Text(ClassKey) == wanted[ClassKey])
		}) {
			found = append(found, trace)
		}
	}
	return found
}
