package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"overtake/loadgen"
)

// written returns the report as WriteJSON writes it.
func written(t testing.TB, r *loadgen.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteJSON(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReadJSONReadsWhatWasWritten(t *testing.T) {
	for name, r := range map[string]*loadgen.Report{"sample": sampleReport(), "full": fullReport()} {
		text := strings.Replace(written(t, r), `"schema"`, `"from_the_future": {"a": [1]}, "schema"`, 1)
		back, err := ReadJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := written(t, back), written(t, r); got != want {
			t.Errorf("%s came back as\n%s\nwant\n%s", name, got, want)
		}
	}
}

// What is no report is refused with what to do instead.
func TestReadJSONRefuses(t *testing.T) {
	good := written(t, sampleReport())
	var comparison bytes.Buffer
	if err := WriteComparisonJSON(&comparison, CompareFiles([]string{"a", "b"}, []*loadgen.Report{sampleReport(), sampleReport()})); err != nil {
		t.Fatal(err)
	}
	const other = "report: not a report.json of overtake loadgen"
	for _, c := range []struct{ name, text, want, remedy string }{
		{"empty", "", "report: the file is empty", "give one that it wrote with --out"},
		{"blank", " \n", "report: the file is empty", "give one that it wrote with --out"},
		{"truncated", good[:len(good)/2], fmt.Sprintf("report: cut short after %d bytes", len(good)/2), "copy it again"},
		{"truncated at the end", strings.TrimRight(good, "\n}"), "report: cut short", "copy it again"},
		{"page", "<!doctype html>", other, "give one that it wrote with --out"},
		{"histogram", "       Value     Percentile", other, "give one that it wrote with --out"},
		{"two reports", good + good, other, "give one that it wrote with --out"},
		{"list", "[]", other, "give one that it wrote with --out"},
		{"object", "{}", other + ", as it has no schema", "give one that it wrote with --out"},
		{"null", "null", other + ", as it has no schema", "give one that it wrote with --out"},
		{"comparison", comparison.String(), "this is a comparison, not a report", "give the report.json files that it compares"},
		{"schema 1", `{"schema": 1, "environment": {"version": "v0.9"}}`, "report: overtake v0.9 wrote this report with schema 1", "measure again with this overtake"},
		{"schema 99", `{"schema": 99}`, "report: overtake of an unknown version wrote this report with schema 99", "use an overtake as new as that"},
		{"wrong type", strings.Replace(good, `"sent": 6000`, `"sent": "many"`, 1), "report: a field does not fit schema 2", "measure again with this overtake"},
		{"class twice", `{"schema": 2, "runs": [{"classes": [{"name": "a"}, {"name": "a"}]}]}`, `runs[0] has the class "a" twice`, "measure again"},
		{"schema of text", `{"schema": "2"}`, other, "give one that it wrote with --out"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := ReadJSON(strings.NewReader(c.text))
			if err == nil {
				t.Fatalf("read as %+v", r)
			}
			if text := err.Error(); !strings.HasPrefix(text, "report: ") || !strings.Contains(text, c.want) || !strings.Contains(text, c.remedy) {
				t.Errorf("%q, want %q and %q", text, c.want, c.remedy)
			}
		})
	}
}

func TestReadingIsBounded(t *testing.T) {
	for size, want := range map[int64]bool{1 << 20: true, 1<<20 + 1: false} {
		text, err := readBounded(io.LimitReader(endless{}, size), 1<<20)
		if ok := err == nil && int64(len(text)) == size; ok != want {
			t.Errorf("%d bytes: read %d, %v", size, len(text), err)
		}
		if !want && !strings.Contains(err.Error(), "more than 1 MiB, the most that is read: make fewer runs") {
			t.Errorf("%v", err)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// What is read can be shown and compared, and is written as it was read.
func FuzzReadJSON(f *testing.F) {
	// Long inputs would be mutated a few times a second.
	small, err := json.Marshal(reportOf("page", 1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(small)
	for _, text := range []string{"", "{}", `{"schema":1}`, `{"schema":2}`, `{"schema":2,"runs":[{},{}]}`, `{"schema":2,"files":[]}`,
		`{"schema":2,"runs":[{"classes":[{"name":"a","curve":[{}],"latency":{"count":-1}}]}],"conditions":[{"runs":2}]}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ReadJSON(bytes.NewReader(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "report: ") {
				t.Errorf("%q does not say where", err)
			}
			return
		}
		var once bytes.Buffer
		if err := WriteJSON(&once, r); err != nil {
			return // a figure that is too large to be rounded
		}
		back, err := ReadJSON(bytes.NewReader(once.Bytes()))
		if err != nil {
			t.Fatalf("what was written can't be read: %v", err)
		}
		if again := written(t, back); again != once.String() {
			t.Errorf("written as\n%s\nand then as\n%s", once.String(), again)
		}
		if err := WriteTable(io.Discard, r); err != nil {
			t.Error(err)
		}
		c := CompareFiles([]string{"a", "b"}, []*loadgen.Report{r, sampleReport()})
		if err := WriteComparisonTable(io.Discard, c, 100); err != nil {
			t.Error(err)
		}
		if err := WriteComparisonHTML(io.Discard, c); err != nil {
			t.Error(err)
		}
		if data, err := json.Marshal(c.Files); err != nil || len(c.Files) != 2 {
			t.Errorf("%s, %v", data, err)
		}
	})
}
