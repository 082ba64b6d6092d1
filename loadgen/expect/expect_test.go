package expect

import (
	"strconv"
	"strings"
	"testing"

	"overtake/loadgen"
)

// runOf is a run in which class a got these figures.
func runOf(change func(*loadgen.ClassResult)) loadgen.RunResult {
	c := loadgen.ClassResult{
		Name: "a",
		Counts: loadgen.Counts{Intended: 1010, Sent: 1000, OK: 990, Skipped: 10,
			Shed: map[string]int64{"max_wait": 4, "queue_full": 1}, Failed: map[string]int64{"timeout": 5}},
		DonePerSecond: 99, Goodput: 95,
		Latency: loadgen.Latency{Count: 990, Mean: 7, P50: 5, P75: 6, P90: 9, P95: 12, P99: 20.5, P999: 30, P9999: 40, Max: 41},
		Service: loadgen.Latency{Count: 990, Mean: 6, P50: 4, P75: 5, P90: 8, P95: 11, P99: 19, P999: 29, P9999: 39, Max: 40},
		Queue:   loadgen.Latency{Count: 990}, QueueShare: 0.25,
	}
	if change != nil {
		change(&c)
	}
	return loadgen.RunResult{Classes: []loadgen.ClassResult{c}}
}

func TestCheck(t *testing.T) {
	worse := runOf(func(c *loadgen.ClassResult) {
		c.Latency.P99, c.DonePerSecond, c.Shed = 60, 80, map[string]int64{"max_wait": 20}
	})
	hung := runOf(func(c *loadgen.ClassResult) { c.OK, c.Unfinished, c.Failed = 500, 500, nil })
	answered := runOf(func(c *loadgen.ClassResult) { c.Failed, c.Latency.Count = nil, 1000 })
	handful := runOf(func(c *loadgen.ClassResult) { c.Failed, c.Latency.Count, c.Service.Count = nil, 5, 5 })
	silent := runOf(func(c *loadgen.ClassResult) {
		c.Latency, c.Queue, c.Sent = loadgen.Latency{}, loadgen.Latency{}, 0
	})
	for _, c := range []struct {
		text string
		runs []loadgen.RunResult
		got  string
		met  bool
	}{
		{"a.p99<50ms", []loadgen.RunResult{runOf(nil)}, "20.5ms", true},
		{"a.p99 < 0.0205s", []loadgen.RunResult{runOf(nil)}, "20.5ms", false},
		{"a.p99 <= 20500us", []loadgen.RunResult{runOf(nil)}, "20.5ms", true},
		{"a.p99 < 50ms", []loadgen.RunResult{runOf(nil), worse, runOf(nil)}, "60ms", false},
		{"a.p99 > 30ms", []loadgen.RunResult{worse, runOf(nil)}, "20.5ms", false},
		{"a.p99.9<=30ms", []loadgen.RunResult{answered}, "30ms", true},
		{"a.p99.9<=30ms", []loadgen.RunResult{answered, runOf(nil)}, "beyond measure: of 1000 sent, 5 failed and 0 are unfinished", false},
		{"a.max<50ms", []loadgen.RunResult{answered}, "41ms", true},
		{"a.max<50ms", []loadgen.RunResult{runOf(nil)}, "beyond measure: of 1000 sent, 5 failed and 0 are unfinished", false},
		{"a.p99<50ms", []loadgen.RunResult{hung}, "beyond measure: of 1000 sent, 0 failed and 500 are unfinished", false},
		{"a.service.p90<50ms", []loadgen.RunResult{hung}, "beyond measure: of 1000 sent, 0 failed and 500 are unfinished", false},
		{"a.p50<50ms", []loadgen.RunResult{hung}, "5ms", true},
		{"a.p99>20ms", []loadgen.RunResult{hung}, "20.5ms", true},
		{"a.unfinished<=0", []loadgen.RunResult{runOf(nil), hung}, "500", false},
		{"a.unfinished<1%", []loadgen.RunResult{hung}, "50%", false},
		{"a.unfinished<=0", []loadgen.RunResult{runOf(nil)}, "0", true},
		{"a.service.p99<20ms", []loadgen.RunResult{runOf(nil)}, "19ms", true},
		{"a.p75<7ms", []loadgen.RunResult{runOf(nil)}, "6ms", true},
		{"a.p95<13ms", []loadgen.RunResult{runOf(nil)}, "12ms", true},
		{"a.service.p95<11ms", []loadgen.RunResult{runOf(nil)}, "11ms", false},
		{"a.p99.99<50ms", []loadgen.RunResult{answered}, "too few answers (1000; p99.99 needs 10000)", false},
		{"a.p50<50ms", []loadgen.RunResult{handful}, "5ms", true},
		{"a.p95<50ms", []loadgen.RunResult{handful}, "too few answers (5; p95 needs 20)", false},
		{"a.p99<50ms", []loadgen.RunResult{answered, handful}, "too few answers (5; p99 needs 100)", false},
		{"a.p99>1ms", []loadgen.RunResult{handful}, "too few answers (5; p99 needs 100)", false},
		{"a.service.p90<50ms", []loadgen.RunResult{handful}, "too few answers (5; service.p90 needs 10)", false},
		{"a.max<50ms", []loadgen.RunResult{handful}, "41ms", true},
		{"a.mean<50ms", []loadgen.RunResult{handful}, "7ms", true},
		{"a.mean>=7ms", []loadgen.RunResult{runOf(nil)}, "7ms", true},
		{"a.mean<500ms", []loadgen.RunResult{hung}, "beyond measure: of 1000 sent, 0 failed and 500 are unfinished", false},
		{"a.service.mean<500ms", []loadgen.RunResult{runOf(nil)}, "beyond measure: of 1000 sent, 5 failed and 0 are unfinished", false},
		{"a.done/s>90/s", []loadgen.RunResult{runOf(nil), worse}, "80/s", false},
		{"a.done/s >= 80/s", []loadgen.RunResult{runOf(nil), worse}, "80/s", true},
		{"a.goodput>90/s", []loadgen.RunResult{runOf(nil)}, "95/s", true},
		{"a.shed<=5", []loadgen.RunResult{runOf(nil)}, "5", true},
		{"a.shed<1%", []loadgen.RunResult{runOf(nil)}, "0.5%", true},
		{"a.shed<1%", []loadgen.RunResult{runOf(nil), worse}, "2%", false},
		{"a.failed<=0", []loadgen.RunResult{runOf(nil)}, "5", false},
		{"a.skipped<=1 %", []loadgen.RunResult{runOf(nil)}, "0.99%", true},
		{"a.queue_share<20%", []loadgen.RunResult{runOf(nil)}, "25%", false},
		{"a.p99<50ms", []loadgen.RunResult{runOf(nil), silent}, "no success", false},
		{"a.queue_share<20%", []loadgen.RunResult{silent}, "not told: no Server-Timing in the answers; give the gateway the line expose: all", false},
		{"a.shed<1%", []loadgen.RunResult{silent}, "nothing sent", false},
		{"b.shed<1%", []loadgen.RunResult{runOf(nil)}, "no such class in the report", false},
		{"a.shed<1%", nil, "no such class in the report", false},
	} {
		e, err := Parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		want := loadgen.Expectation{Text: c.text, Got: c.got, Met: c.met}
		if got := e.Check(&loadgen.Report{Runs: c.runs}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                    "no <, <=, > or >=",
		"a.p99=50ms":          "no <, <=, > or >=; want CLASS.FIGURE OP VALUE, such as interactive.p99<50ms",
		"a<50ms":              `no '.' in "a"; want CLASS.FIGURE`,
		".p99<50ms":           "no class before .p99",
		"a.p98<50ms":          `unknown figure "p98"; there are p50, p75, p90, p95, p99, p99.9, p99.99, max, mean, done/s, goodput, shed, failed, unfinished, skipped, queue_share, and service.p50 to service.mean`,
		"a.P99<50ms":          `unknown figure "P99"`,
		"a.p99<":              "no value; want a duration with its unit, such as 50ms or 1.5s",
		"a.p99<50":            `value "50" is not a duration with its unit`,
		"a.p99<-5ms":          `value "-5ms" is not a duration`,
		"a.p99<infs":          `value "infs" is not`,
		"a.p99<1e3ms":         `value "1e3ms" is not`,
		"a.p99<5%":            `value "5%" is not a duration`,
		"a.done>100/s":        `unknown figure "done"; there are p50`,
		"a.done/s>100":        `value "100" is not a rate with its unit, such as 100/s`,
		"a.shed<5ms":          `value "5ms" is not a count or a share`,
		"a.queue_share<0.2":   `value "0.2" is not a share, such as 20%`,
		"a.p99<5ms and a.p50": `value "5ms and a.p50" is not a duration`,
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q): %v, want %q in it", text, err, want)
		}
	}
}

// Figures have three significant digits, but for those that are next to the limit.
func TestGotIsRoundedButNotAcrossTheLimit(t *testing.T) {
	for _, c := range []struct {
		text  string
		p99   loadgen.Millis
		shown string
	}{
		{"a.p99<1s", 850.431, "850ms"},
		{"a.p99<1s", 1000.431, "1000ms"},
		{"a.p99<=50ms", 50.004, "50.004ms"},
		{"a.p99<50ms", 49.996, "49.996ms"},
		{"a.p99<=50ms", 49.996, "50ms"},
		{"a.p99<50ms", 6.351, "6.35ms"},
		{"a.p99<50ms", 0.0123, "0.0123ms"},
		{"a.p99<1s", 12345.6, "12346ms"},
		{"a.p99<1s", 0, "0ms"},
	} {
		e, err := Parse(c.text)
		if err != nil {
			t.Fatal(err)
		}
		run := runOf(func(s *loadgen.ClassResult) { s.Latency.P99 = c.p99 })
		if got := e.Check(&loadgen.Report{Runs: []loadgen.RunResult{run}}); got.Got != c.shown {
			t.Errorf("%s of %v ms: shown as %s, want %s", c.text, c.p99, got.Got, c.shown)
		}
	}
}

func TestApplies(t *testing.T) {
	e, err := Parse("b.c<d.p99 < 1s")
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Applies([]loadgen.Class{{Name: "a"}, {Name: "b.c<d"}}); err != nil {
		t.Error(err)
	}
	err = e.Applies([]loadgen.Class{{Name: "a"}, {Name: "b"}})
	if want := `the scenario has no class "b.c<d"; it has a, b`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

// What parses reads the same without its spaces, and holds or not for a report
// as its parts say.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"a.p99<50ms", "a.b.service.p99.9 >= 1.5s", "a.shed<=0.1%", "a.done/s>1/s", "x<y.p50<1us", "a.queue_share<20 %", "<", "a.<1ms"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Parse(text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "expectation ") {
				t.Errorf("%q: error %q does not say where", text, err)
			}
			return
		}
		plain := e.class + "." + e.figure.name + e.op + strconv.FormatFloat(e.limit, 'f', -1, 64) + e.unit
		again, err := Parse(plain)
		if err != nil || again.class != e.class || again.figure.name != e.figure.name || again.op != e.op || again.unit != e.unit {
			t.Fatalf("%q is %q, which is %+v, %v", text, plain, again, err)
		}
		run := runOf(func(c *loadgen.ClassResult) {
			c.Name, c.Failed, c.Latency.Count, c.Service.Count = e.class, nil, 1e4, 1e4
		})
		value, missing := e.figure.of(run.Classes[0], e.unit, e.op[0] == '<')
		got := e.Check(&loadgen.Report{Runs: []loadgen.RunResult{run}})
		less, same := value < e.limit, value == e.limit
		want := e.op[0] == '<' && less || e.op[0] == '>' && !less && !same || len(e.op) == 2 && same
		if missing != "" || got.Met != want {
			t.Errorf("%q of %v is met: %v, want %v (%s)", text, value, got.Met, want, missing)
		}
	})
}
