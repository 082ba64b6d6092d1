package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"overtake/loadgen"
)

// shown returns the terminal's table and the page, without its script.
func shown(t *testing.T, r *loadgen.Report) (table, page string) {
	t.Helper()
	var text, html bytes.Buffer
	for _, err := range []error{WriteTable(&text, r), WriteHTML(&html, r)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return text.String(), strings.Replace(html.String(), chartLibrary, "", 1)
}

// wants fails the test for each text that is missing.
func wants(t *testing.T, where, text string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(text, want) {
			t.Errorf("%s lacks %q:\n%s", where, want, text[:min(len(text), 4000)])
		}
	}
}

// booking has runs whose figures differ, in no order.
func booking(runs int) *loadgen.Report {
	r := &loadgen.Report{Schema: loadgen.ReportSchema, Verdict: loadgen.Verdict{State: loadgen.Valid, Reasons: []string{}}}
	for i := range runs {
		f := float64((i*3)%runs + 1) // 1, 4, 3, 2 of four
		m := func(ms float64) loadgen.Millis { return loadgen.Millis(ms * f) }
		latency := loadgen.Latency{Count: 1000, Mean: m(2), P50: m(1), P90: m(2), P99: m(3), P999: m(4), Max: m(5)}
		r.Runs = append(r.Runs, loadgen.RunResult{Condition: "8 workers", Repeat: i + 1, DurationSeconds: 10, Classes: []loadgen.ClassResult{{
			Name: "book", Objective: 50, DonePerSecond: 100 * f, Goodput: 10 * f, Latency: latency, Service: latency,
			Counts: loadgen.Counts{Intended: 1000, Sent: 1000, OK: 1000, WithinObjective: int64(100 * f)},
		}}})
	}
	r.Conditions = loadgen.Summarize(r.Runs)
	return r
}

// Of several runs, each figure is the median of all: of an even number, the mean of
// the two in the middle. No row is of one run.
func TestFiguresAreMediansOfAllRuns(t *testing.T) {
	table, page := shown(t, booking(4))
	wants(t, "the table", table, `
8 workers, 4 runs of 10 s
  book  median     250       25.0  100 %  2.50  5.00  7.50   10.0  12.5  2.50  7.50
        min        100       10.0  100 %  1.00  2.00  3.00   4.00  5.00  1.00  3.00
        max        400       40.0  100 %  4.00  8.00  12.0   16.0  20.0  4.00  12.0
`)
	wants(t, "the page", page,
		`<td class="number">7.50<span class="range">3.00..12.0</span></td>`, `<td class="number">25.0<span class="range">10.0..40.0</span></td>`,
		`<dt>p99</dt><dd><strong>7.50</strong> ms<span class="range">3.00..12.0</span></dd>`, "in the middle (book: run 4 of 4)")
	if strings.Contains(page, "id=\"table-spread\"") {
		t.Error("the page has the figures twice")
	}
}

// What failed in any run is told with the run, though most had no failure.
func TestFailuresOfEveryRunAreTold(t *testing.T) {
	r := booking(4)
	slow := loadgen.SlowRequest{TraceID: "aa", Request: "POST /book", At: 2.5, Latency: 777, Service: 770}
	bad := &r.Runs[1].Classes[0] // with the largest p99
	bad.OK, bad.Failed, bad.Slowest = 998, map[string]int64{"status 500": 2}, []loadgen.SlowRequest{slow}
	r.Runs[3].Classes[0].Slowest = []loadgen.SlowRequest{{TraceID: "bb", Request: "GET /", Latency: 5, Service: 5}}
	table, page := shown(t, r)
	const cause = "8 workers: book failed: status 500: 2 times (run 2)"
	wants(t, "the table", table, cause, "book  4,000  3,998     0       2 ", "8 workers: book 777 ms (service 770) at 2.5 s of run 2: POST /book")
	wants(t, "the page", page, cause, `<td class="number">3,998</td>`, "8 workers, run 2 of 4", "777")

	many := booking(7)
	for i := range many.Runs {
		many.Runs[i].Classes[0].Failed = map[string]int64{"timeout": int64(i + 1)}
	}
	many.Runs[0].Classes[0].Repeated = 1
	table, _ = shown(t, many)
	wants(t, "the table", table,
		"book failed: timeout: 28 times (run 7: 7, run 6: 6, run 5: 5, run 4: 4, run 3: 3, and 2 more)", "book done more than once: once (run 1)")

	one := booking(1)
	one.Runs[0].Classes[0].Failed = map[string]int64{"status 500": 2, "read": 1}
	table, _ = shown(t, one)
	wants(t, "the table", table, "8 workers: book failed: status 500: 2 times, read: once\n")
}

// A percentile of so few answers that it is about their maximum is marked wherever it
// is shown, and nothing else is.
func TestTooFewAnswersAreMarked(t *testing.T) {
	r := booking(2)
	for i := range r.Runs {
		c := &r.Runs[i].Classes[0]
		c.Latency.Count, c.Service.Count = 1000, 1000
		c.Phases = []loadgen.PhaseResult{{Name: "calm", Latency: c.Latency}}
	}
	table, page := shown(t, r)
	if strings.Contains(table, "^") || strings.Contains(page[:strings.Index(page, "<script")], "^") {
		t.Errorf("1000 answers are marked:\n%s", table)
	}
	r.Runs[1].Classes[0].Phases[0].Latency.Count = 20
	table, page = shown(t, r)
	wants(t, "the table of a short phase", table, "4.50^", "6.00^", "^ = too few answers in a run")
	if strings.Contains(table, "3.00^") {
		t.Errorf("p90 of 20 answers is marked:\n%s", table)
	}
	wants(t, "the page of a short phase", page, `4.50^<span class="range">3.00..6.00</span>`, "^ = too few answers in a run")

	r.Runs[1].Classes[0].Latency.Count = 5
	r.Conditions = loadgen.Summarize(r.Runs)
	table, page = shown(t, r)
	wants(t, "the table", table, "1.50  3.00^  4.50^  6.00^  7.50", "1.00  2.00   3.00   4.00   5.00")
	wants(t, "the page", page, `<strong>4.50^</strong> ms<span class="range">3.00..6.00</span>`, `<strong>1.50</strong> ms`)

	before := booking(2)
	for i := range before.Runs {
		before.Runs[i].Condition = "before"
		before.Runs[i].Classes[0].Latency.P99 = 900
	}
	both := loadgen.Merge(before, r)
	if got, want := changesOf(both).Headline(), "200x less; of too few answers for a p99"; !strings.Contains(got, want) {
		t.Errorf("headline %q, want %q", got, want)
	}
}

// What was expected and is not met stands beside the verdict, above all figures.
func TestUnmetExpectationsAreOnTop(t *testing.T) {
	_, page := shown(t, fullReport())
	top, _, _ := strings.Cut(page, "<main>")
	wants(t, "the top of the page", top, `href="#expectations">1 of 2 expectations NOT MET</a>`, "<li>export.failed&lt;=0: 3</li>")
	if strings.Contains(top, "pay.p99") {
		t.Error("an expectation that is met stands there too")
	}
	r := fullReport()
	r.Expectations = r.Expectations[:1]
	_, page = shown(t, r)
	top, _, _ = strings.Cut(page, "<main>")
	wants(t, "the top of the page", top, "1 of 1 expectations met</a>")
}

// A line goes over seconds with answers only, and one of them alone is not lost.
func TestSecondsWithoutAnswersAreGaps(t *testing.T) {
	series := []loadgen.Second{{Second: 0}, {Second: 2, Done: 1, P99: 7}, {Second: 3}, {Second: 4, Done: 1, P99: 8}, {Second: 5, Done: 3, P99: 9}, {Second: 7, Done: 1, P99: 6}}
	if got, want := fmt.Sprint(timeLines(series)), "[[{2 7}] [{4 8} {5 9}] [{7 6}]]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
