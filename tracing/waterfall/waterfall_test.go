package waterfall

import (
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"overtake/tracing"
	"overtake/tracing/jaegerquery"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expected output in testdata/*.txt")

// begin is when the traces of the tests begin.
var begin = time.Date(2030, 1, 2, 3, 4, 5, 678e6, time.UTC)

// TestDrawings runs testdata/*.txt: traces, ----, and how they are drawn. A trace is
// one line per span:
//
//	ID PARENT KIND SERVICE[@INSTANCE] START+DURATION "NAME" KEY=VALUE...
//
// with milliseconds as times, and - for no parent; "!text" among the attributes is a
// failure, "shed=REASON" an event. "trace" begins another trace. "screen WIDTH"
// draws them that wide, "colour" in colour, and "table" as a table. With -rewrite,
// the drawing is written anew.
func TestDrawings(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(text), "----\n")
			got := draw(t, input)
			if *rewrite {
				if err := os.WriteFile(file, []byte(input+"----\n"+got), 0o666); err != nil {
					t.Fatal(err)
				}
			} else if got != want {
				t.Errorf("got\n%s\nwant\n%s\nIf this is right, run go test with -rewrite", got, want)
			}
		})
	}
}

// draw reads a file of testdata and draws its traces.
func draw(t *testing.T, input string) string {
	t.Helper()
	screen := Screen{Width: 80, Now: begin.Add(5 * time.Minute), Link: "http://jaeger.example/trace/1"}
	var traces []jaegerquery.Trace
	table := false
	for line := range strings.Lines(input) {
		fields := split(t, line)
		switch {
		case len(fields) == 0 || strings.HasPrefix(fields[0], "#"):
		case fields[0] == "screen":
			screen.Width = number(t, fields[1])
		case fields[0] == "colour":
			screen.Colour = true
		case fields[0] == "table":
			table = true
		case fields[0] == "trace":
			traces = append(traces, jaegerquery.Trace{ID: tracing.TraceID{14: 0xab, 15: byte(len(traces) + 1)}})
		default:
			last := &traces[len(traces)-1]
			last.Spans = append(last.Spans, readSpan(t, fields))
		}
	}
	var out strings.Builder
	var requests []*Request
	for _, trace := range traces {
		requests = append(requests, NewRequest(trace))
	}
	if table {
		if err := WriteTable(&out, Slowest(requests, 10)); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	for _, r := range requests {
		if err := r.Write(&out, screen); err != nil {
			t.Fatal(err)
		}
	}
	checkScreen(t, out.String(), screen)
	return out.String()
}

// checkScreen asserts what holds for every drawing: nothing steers the terminal, and
// nothing but the link is wider than the screen.
func checkScreen(t interface {
	Helper()
	Errorf(string, ...any)
}, drawing string, s Screen) {
	t.Helper()
	for line := range strings.Lines(drawing) {
		line = strings.TrimSuffix(line, "\n")
		for _, code := range []style{dim, bold, red, green, yellow, purple} {
			if s.Colour {
				line = strings.ReplaceAll(line, "\x1b["+string(code)+"m", "")
			}
		}
		if s.Colour {
			line = strings.ReplaceAll(line, "\x1b[0m", "")
		}
		if line != clean(line) {
			t.Errorf("steers the terminal: %q", line)
		}
		if length(line) > max(s.Width, leastWidth) && !strings.Contains(line, s.Link) {
			t.Errorf("%d columns on a screen of %d: %s", length(line), s.Width, line)
		}
	}
}

// split divides a line at spaces that are not in quotes.
func split(t *testing.T, line string) (fields []string) {
	t.Helper()
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		field := ""
		for line != "" && line[0] != ' ' {
			if line[0] != '"' {
				field, line = field+line[:1], line[1:]
				continue
			}
			quoted, err := strconv.QuotedPrefix(line)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			text, _ := strconv.Unquote(quoted)
			field, line = field+text, line[len(quoted):]
		}
		fields = append(fields, field)
	}
	return fields
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func readSpan(t *testing.T, fields []string) (s jaegerquery.Span) {
	t.Helper()
	s.ID[7] = byte(number(t, fields[0]))
	if fields[1] != "-" {
		s.Parent[7] = byte(number(t, fields[1]))
	}
	kinds := map[string]tracing.Kind{"internal": tracing.Internal, "server": tracing.Server, "client": tracing.Client, "producer": tracing.Producer, "consumer": tracing.Consumer}
	s.Kind = kinds[fields[2]]
	s.Service, s.Instance, _ = strings.Cut(fields[3], "@")
	start, duration, _ := strings.Cut(fields[4], "+")
	s.Start = begin.Add(time.Duration(number(t, start)) * time.Millisecond)
	s.End = s.Start.Add(time.Duration(number(t, duration)) * time.Millisecond)
	s.Name = fields[5]
	for _, field := range fields[6:] {
		key, value, _ := strings.Cut(field, "=")
		switch {
		case key[0] == '!':
			s.Failure = field[1:]
		case key == "shed":
			s.Events = append(s.Events, tracing.Event{Name: "shed", Attributes: []tracing.Attribute{{Key: "overtake.reason", Value: value}}})
		default:
			s.Attributes = append(s.Attributes, tracing.Attribute{Key: key, Value: value})
		}
	}
	return s
}
