package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"overtake/loadgen"
)

var update = flag.Bool("update", false, "rewrite testdata/table.txt")

// sampleReport has two phases with figures that show every column.
func sampleReport() *loadgen.Report {
	stream := func(name, class string, done float64, latency loadgen.Latency) loadgen.ClassResult {
		return loadgen.ClassResult{
			Name: name, Class: class, Rate: 200, Method: "GET", Path: "/work?ms=5",
			Counts: loadgen.Counts{Intended: 6000, Sent: 6000, OK: 6000,
				Shed: map[string]int64{}, Failed: map[string]int64{}}, DonePerSecond: done, Latency: latency,
			Curve:        []loadgen.CurvePoint{{Percentile: 0, Latency: latency.P50 / 2}, {Percentile: 50, Latency: latency.P50}, {Percentile: 99, Latency: latency.P99}},
			Distribution: []loadgen.Bucket{{UpTo: latency.P50, Count: 3000}, {UpTo: latency.P99, Count: 3000}},
			Series:       []loadgen.Second{{Second: 0, Done: 200, P50: latency.P50, P99: latency.P99}},
		}
	}
	fifo := stream("interactive", "interactive", 97.7, loadgen.Latency{Count: 2930, Mean: 1700, P50: 1503, P90: 1900, P99: 1980.4, P999: 2007, Max: 2010})
	fifo.OK, fifo.Shed = 2930, map[string]int64{"max_wait": 3000, "queue_full": 50}
	fifo.Failed = map[string]int64{"status 502 connect_failed": 20}
	ordered := stream("interactive", "interactive", 199.8, loadgen.Latency{Count: 6000, Mean: 7, P50: 6.5, P90: 12, P99: 21.04, P999: 33.3, Max: 40})
	batch := stream("reports", "batch", 146, loadgen.Latency{Count: 8000, Mean: 2000, P50: 2003, P90: 2005, P99: 2007, P999: 2008, Max: 2010})
	batchAfter := stream("reports", "batch", 142, loadgen.Latency{})
	batchAfter.Repeated, batchAfter.Skipped, batchAfter.Intended = 3, 12, 6012
	valid := loadgen.Verdict{State: loadgen.Valid, Reasons: []string{}}
	return &loadgen.Report{
		Schema: loadgen.ReportSchema, Created: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), Target: "http://127.0.0.1:8080",
		Environment: loadgen.Environment{Version: "v1.0.0", Go: "go1.26", OS: "linux", Arch: "amd64", CPUs: 2, GOMAXPROCS: 2},
		Verdict:     valid,
		Runs: []loadgen.RunResult{
			{Condition: "first come, first served", DurationSeconds: 30, Verdict: valid, Classes: []loadgen.ClassResult{fifo, batch}},
			{Condition: "class order", DurationSeconds: 30, Verdict: valid, Classes: []loadgen.ClassResult{ordered, batchAfter}},
		},
	}
}

func TestWriteTable(t *testing.T) {
	const golden = "testdata/table.txt"
	var got bytes.Buffer
	if err := WriteTable(&got, sampleReport()); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func TestJSONComesBack(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJSON(&b, sampleReport()); err != nil {
		t.Fatal(err)
	}
	var back loadgen.Report
	dec := json.NewDecoder(&b)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&back, sampleReport()) {
		t.Errorf("came back as %+v", back)
	}
}

func TestHTMLHoldsTheReportAndLoadsNothing(t *testing.T) {
	r := sampleReport()
	const evil = `</script><img src=x onerror=alert(1)>`
	r.Runs[0].Condition = evil
	var b bytes.Buffer
	if err := WriteHTML(&b, r); err != nil {
		t.Fatal(err)
	}
	html := b.String()
	_, rest, found := strings.Cut(html, `<script type="application/json" id="report">`)
	data, _, closed := strings.Cut(rest, "</script>")
	if !found || !closed {
		t.Fatal("no report in the page")
	}
	var back loadgen.Report
	if err := json.Unmarshal([]byte(data), &back); err != nil {
		t.Fatalf("report in the page: %v", err)
	}
	if !reflect.DeepEqual(&back, r) {
		t.Errorf("came back as %+v", back)
	}
	own := strings.Replace(html, chartLibrary, "", 1)
	if strings.Contains(own, evil) || strings.Contains(own, "<img") {
		t.Error("a phase name became markup")
	}
	if len(own) == len(html) {
		t.Error("the page is without its chart library")
	}
	if hit := regexp.MustCompile(`(?i)(src|href)\s*=\s*["']?\s*(https?:|//)|@import|url\(`).FindString(own); hit != "" {
		t.Errorf("the page loads something: %q", hit)
	}
	if !strings.Contains(html, `content="default-src 'none'`) {
		t.Error("no policy that forbids loading")
	}
	for _, want := range []string{"1,980", "21.0", "94× less", "batch kept 97 % of its throughput", "VALID"} {
		if !strings.Contains(own, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(own, "ZgotmplZ") {
		t.Error("the template refused a value")
	}
}

// Reports with little or nothing in them must not break the page.
func TestHTMLOfSmallReports(t *testing.T) {
	single := sampleReport()
	single.Runs = single.Runs[:1]
	for name, r := range map[string]*loadgen.Report{"empty": {}, "single": single} {
		var b bytes.Buffer
		if err := WriteHTML(&b, r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := WriteTable(&b, r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCompare(t *testing.T) {
	c := changesOf(sampleReport())
	if c.From != "first come, first served" || c.To != "class order" || len(c.Classes) != 2 {
		t.Fatalf("%+v", c)
	}
	lead, ok := c.Lead()
	if !ok || lead.Class != "interactive" || lead.Factor != 94.125 || lead.NotServedBefore != 0.512 || lead.NotServedAfter != 0 {
		t.Errorf("lead %+v", lead)
	}
	if batch := c.Classes[1]; batch.Kept != 0.973 || batch.Factor != 0 {
		t.Errorf("batch %+v", batch)
	}
	want := "interactive p99 1,980 ms -> 21.0 ms: 94x less; not served 51 % -> 0 %; batch kept 97 % of its throughput"
	if got := c.Headline(); got != want {
		t.Errorf("headline %q\nwant     %q", got, want)
	}
}

func TestCompareWithoutGain(t *testing.T) {
	r := sampleReport()
	r.Runs[0], r.Runs[1] = r.Runs[1], r.Runs[0]
	if lead, ok := changesOf(r).Lead(); ok {
		t.Errorf("lead %+v, though everything got worse", lead)
	}
	if got := changesOf(r).Headline(); !strings.HasPrefix(got, "no class's p99 fell") {
		t.Errorf("headline %q", got)
	}
	r.Runs = r.Runs[:1]
	if got := changesOf(r).Headline(); got != "" {
		t.Errorf("headline of a single phase: %q", got)
	}
}

func TestFormats(t *testing.T) {
	for want, got := range map[string]string{
		"0": formatCount(0), "999": formatCount(999), "1,000": formatCount(1000),
		"-123,456": formatCount(-123456), "12,345,678": formatCount(12345678),
		"9.99": formatMillis(9.99), "10.0": formatMillis(9.996), "100": formatMillis(99.96), "2,007": formatMillis(2006.6),
		"100 %": formatOK(1), "99.9 %": formatOK(0.99999), "99.5 %": formatOK(0.9959), "99 %": formatOK(0.994), "0 %": formatOK(0),
		"0.2": formatRate(0.2), "146": formatRate(146.2),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// What was never answered was not served either: it must not look as if it was
// only slow.
func TestUnfinishedIsNotServed(t *testing.T) {
	r := sampleReport()
	fifo := &r.Runs[0].Classes[0]
	fifo.OK, fifo.Shed, fifo.Failed, fifo.Unfinished = 2040, map[string]int64{"max_wait": 1680}, map[string]int64{}, 2280
	var table, page bytes.Buffer
	if err := WriteTable(&table, r); err != nil {
		t.Fatal(err)
	}
	if err := WriteHTML(&page, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"not served 66 % -> 0 %", "97.7          -   34 %"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q is not in\n%s", want, table.String())
		}
	}
	for _, want := range []string{`not served 66 % → 0 %`, `<dt>not served</dt><dd><span class="was">66.0 %</span>`, `<td class="number">34 %</td>`} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}
