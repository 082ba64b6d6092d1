package report

import (
	"strings"
	"testing"

	"overtake/loadgen"
)

// The terminal shows where to look a slow request up if it asked to be recorded: an id
// of others would mostly lead nowhere.
func TestTableShowsRecordedTraces(t *testing.T) {
	asked, link := strings.Repeat("a", 32), "http://127.0.0.1:16686/trace/"+strings.Repeat("c", 32)
	r := &loadgen.Report{Runs: []loadgen.RunResult{{Condition: "run", Repeat: 1, Classes: []loadgen.ClassResult{{
		Name: "page", Class: "page",
		Slowest: []loadgen.SlowRequest{
			{TraceID: asked, Sampled: true, Request: "GET /a", Latency: 3, Service: 3},
			{TraceID: strings.Repeat("b", 32), Request: "GET /b", Latency: 2, Service: 2},
			{TraceID: strings.Repeat("c", 32), Sampled: true, URL: link, Request: "GET /c", Latency: 1, Service: 1},
		},
	}}}}}
	var out strings.Builder
	if err := WriteTable(&out, r); err != nil {
		t.Fatal(err)
	}
	want := "GET /a\n    trace " + asked + "\n"
	if got := out.String(); !strings.Contains(got, want) || !strings.Contains(got, "GET /c\n    "+link+"\n") || !strings.Contains(got, "GET /b\n") || strings.Contains(got, "bbbb") {
		t.Errorf("it shows\n%s", got)
	}
}
