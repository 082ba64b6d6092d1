package jaegerquery

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"overtake/tracing"
)

var rewrite = flag.Bool("rewrite", false, "rewrite testdata/trace.txt")

// testdata/trace.json is an answer of Jaeger 1.76 with spans that came by OTLP, also
// with links to other spans, without a parent, and with an end before the start.
func TestReadTraces(t *testing.T) {
	body, err := os.ReadFile("testdata/trace.json")
	if err != nil {
		t.Fatal(err)
	}
	traces, err := readTraces(body)
	if err != nil {
		t.Fatal(err)
	}
	got := dump(traces)
	if *rewrite {
		if err := os.WriteFile("testdata/trace.txt", []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/trace.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("read\n%s\nwant\n%s", got, want)
	}
}

// readTraces reads an answer with traces, as Client does.
func readTraces(body []byte) ([]Trace, error) {
	traces := []Trace{}
	_, err := readList(bytes.NewReader(body), func(j traceJSON) {
		if trace, ok := j.trace(); ok {
			traces = append(traces, trace)
		}
	})
	return traces, err
}

func dump(traces []Trace) string {
	var b strings.Builder
	attributes := func(list []tracing.Attribute) {
		for _, a := range list {
			fmt.Fprintf(&b, "    %s: %T %#v\n", a.Key, a.Value, a.Value)
		}
	}
	for _, trace := range traces {
		fmt.Fprintln(&b, "trace", trace.ID)
		for i := range trace.Spans {
			s := &trace.Spans[i]
			fmt.Fprintf(&b, "%s of %s, kind %d, %q in %q %q, %s + %v, failure %q, own %v\n", s.ID, s.Parent, s.Kind, s.Name, s.Service, s.Instance,
				s.Start.UTC().Format("15:04:05.000000"), s.End.Sub(s.Start), s.Failure, s.Own())
			attributes(s.Attributes)
			for _, e := range s.Events {
				fmt.Fprintf(&b, "  %s at %s\n", e.Name, e.Time.UTC().Format("15:04:05.000000"))
				attributes(e.Attributes)
			}
		}
	}
	return b.String()
}

// Spans with no ids and with times that no clock shows don't hide the others.
func TestReadBrokenSpans(t *testing.T) {
	traces, err := readTraces([]byte(`{"data": [{"traceID": "0000000000000000", "spans": [{"spanID": "1"}]}, {"traceID": "ab", "spans": [
		{"spanID": "0000000000000000", "startTime": 1}, {"spanID": "x", "startTime": 1},
		{"spanID": "1", "startTime": 18446744073709551615, "duration": 18446744073709551615, "logs": [{"timestamp": 18446744073709551615}]},
		{"spanID": "2", "startTime": 1893553445678000, "duration": 7}]}]}`))
	if err != nil || len(traces) != 1 || len(traces[0].Spans) != 4 {
		t.Fatalf("read %+v, %v", traces, err)
	}
	broken, good := traces[0].Spans[2], traces[0].Spans[3]
	if broken.Start.Unix() != 0 || broken.End != broken.Start || good.End.Sub(good.Start).Microseconds() != 7 {
		t.Errorf("read %v to %v, and %v to %v", broken.Start, broken.End, good.Start, good.End)
	}
}

func TestParseID(t *testing.T) {
	for text, want := range map[string]string{
		"4bf92f3577b34da6a3ce929d0e0e4736":  "4bf92f3577b34da6a3ce929d0e0e4736",
		"4BF92F3577B34DA6A3CE929D0E0E4736":  "4bf92f3577b34da6a3ce929d0e0e4736",
		"00a3ce929d0e0e47":                  "000000000000000000a3ce929d0e0e47",
		"a3ce929d0e0e47":                    "000000000000000000a3ce929d0e0e47",
		"1":                                 "00000000000000000000000000000001",
		"":                                  "",
		"0":                                 "",
		"x":                                 "",
		"-1":                                "",
		"4bf92f3577b34da6a3ce929d0e0e47361": "",
	} {
		id, err := ParseID(text)
		if want == "" && err == nil || want != "" && (err != nil || id.String() != want) {
			t.Errorf("ParseID(%q) = %s, %v; want %q", text, id, err, want)
		}
	}
}

// Whatever was read is sound, and what is written like Jaeger does is read again as
// the same.
func FuzzReadTraces(f *testing.F) {
	f.Add([]byte(`{"data":[{"traceID":"ab","spans":[{"spanID":"2","operationName":"n","references":[{"refType":"CHILD_OF","traceID":"ab","spanID":"1"}],"startTime":5,"duration":7,"tags":[{"key":"error","value":true}],"logs":[{"timestamp":6,"fields":[{"key":"event","value":"e"}]}],"processID":"p"}],"processes":{"p":{"serviceName":"s","tags":[{"key":"hostname","value":"h"}]}}}]}`))
	f.Add([]byte(`{"data":[],"errors":null}`))
	f.Add([]byte(`{"data":[{"traceID":"1","spans":[{"spanID":"1","tags":[{"key":"a","value":1e400},{"key":"b","value":[1]}]}]}]}`))
	f.Add([]byte(`{"data":[{"traceID":"1","spans":[{"tags":[{"key":"whole","value":0e1}]}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		traces, err := readTraces(body)
		if err != nil {
			return
		}
		for _, trace := range traces {
			for _, s := range trace.Spans {
				if s.End.Before(s.Start) || s.TraceID != trace.ID || trace.ID == (tracing.TraceID{}) || s.Parent == s.ID && s.ID != (tracing.SpanID{}) {
					t.Errorf("read %+v", s)
				}
			}
		}
		again, err := readTraces(write(t, traces))
		if err != nil || !reflect.DeepEqual(again, traces) {
			t.Errorf("read %+v, and then %+v, %v", traces, again, err)
		}
	})
}
