package loadgen

import (
	"context"
	"strings"
	"testing"
	"time"

	"overtake/loadgen/arrival"
	"overtake/loadgen/content"
)

func TestParseClassFlag(t *testing.T) {
	for _, test := range []struct {
		flag, name   string
		rate         float64
		method, path string
	}{
		{"interactive=200:/work?ms=5", "interactive", 200, "GET", "/work?ms=5"},
		{"batch=140:POST /jobs/report?ms=50", "batch", 140, "POST", "/jobs/report?ms=50"},
		{"a=0.5:/x:y=z", "a", 0.5, "GET", "/x:y=z"},
		{"a=1e3:/", "a", 1000, "GET", "/"},
		{"a=20/s:/a/s", "a", 20, "GET", "/a/s"},
		{"a=90/min:POST /", "a", 1.5, "POST", "/"},
	} {
		s, err := ParseClassFlag(test.flag)
		if err != nil {
			t.Errorf("%s: %v", test.flag, err)
			continue
		}
		if s.Name != test.name || s.Class != test.name || s.Arrivals.Rate[0].From != test.rate || s.Request.Method != test.method || s.Request.Path != test.path {
			t.Errorf("%s: %+v", test.flag, s)
		}
	}
}

func TestParseClassFlagSaysTheRightForm(t *testing.T) {
	for flag, problem := range map[string]string{
		"":                  "'='",
		"interactive":       "'='",
		"interactive=200":   "':'",
		"=200:/":            "name",
		"a b=200:/":         "name",
		"a/b=200:/":         "name",
		"a=fast:/":          `rate "fast"`,
		"a=fast/s:/":        `rate "fast/s" is not a number`,
		"a=20/h:/":          `rate "20/h" is neither per second (20/s) nor per minute (20/min)`,
		"a=20/:/":           `rate "20/" is neither per second`,
		"a=-1/s:/":          "rate",
		"a=0:/":             "rate",
		"a=-1:/":            "rate",
		"a=NaN:/":           "rate",
		"a=Inf:/":           "rate",
		"a=1:work":          "does not begin with '/'",
		"a=1:get /work":     "capital",
		"a=1:GET /a b":      "encoded",
		"a=1:/a\r\nX: evil": "%0D",
		"a=1:":              "does not begin with '/'",
	} {
		_, err := ParseClassFlag(flag)
		if err == nil {
			t.Errorf("%q was taken", flag)
			continue
		}
		if !strings.Contains(err.Error(), problem) || !strings.Contains(err.Error(), "NAME=RATE:PATH") {
			t.Errorf("%q: %v; want it to name %s and the form", flag, err, problem)
		}
	}
}

func FuzzParseClassFlag(f *testing.F) {
	f.Add("interactive=200:/work?ms=5")
	f.Add("batch=140:POST /jobs/report?ms=50")
	f.Add("a=:=: /")
	f.Add("a=30/min:/")
	f.Fuzz(func(t *testing.T, flag string) {
		s, err := ParseClassFlag(flag)
		if err != nil {
			return
		}
		if err := s.check(true); err != nil {
			t.Fatalf("%q gave a stream that is wrong: %v", flag, err)
		}
		again, err := ParseClassFlag(s.Name + "=" + strings.SplitN(strings.SplitN(flag, "=", 2)[1], ":", 2)[0] + ":" + s.Request.Method + " " + s.Request.Path)
		if err != nil || again.Request.Path != s.Request.Path || again.Request.Method != s.Request.Method || again.Arrivals.Rate[0].From != s.Arrivals.Rate[0].From {
			t.Fatalf("%q: %+v came back as %+v, %v", flag, s, again, err)
		}
	})
}

// Every problem is told at once.
func TestScenarioTellsAllProblems(t *testing.T) {
	err := Scenario{
		Target:   "ftp://host",
		Duration: -time.Second,
		Classes:  []Class{{Name: "a", Arrivals: arrival.Steady(1), Request: content.Spec{Path: "/"}}, {Name: "a", Arrivals: arrival.Steady(1), Request: content.Spec{Path: "x"}}},
	}.Validate()
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{"ftp://host", "duration -1s", `"x"`, "defined twice"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: does not tell %s", err, want)
		}
	}
}

func TestParseTarget(t *testing.T) {
	for raw, want := range map[string]target{
		"http://127.0.0.1:8080/": {url: "http://127.0.0.1:8080", host: "127.0.0.1:8080", name: "127.0.0.1", addr: "127.0.0.1:8080"},
		"https://example.org":    {url: "https://example.org", host: "example.org", name: "example.org", addr: "example.org:443", tls: true},
		"http://[::1]":           {url: "http://[::1]", host: "[::1]", name: "::1", addr: "[::1]:80"},
	} {
		if got, err := parseTarget(raw); err != nil || got != want {
			t.Errorf("%s: %+v, %v", raw, got, err)
		}
	}
	for _, raw := range []string{"", "127.0.0.1:8080", "http://", "ftp://x", "http://a b", "http://h/x", "http://h?x", "http://h/#x"} {
		if _, err := parseTarget(raw); err == nil {
			t.Errorf("%q was taken", raw)
		}
	}
}

// answers is a Sender to which everything is done at once.
type answers struct{}

func (answers) Send(c *Call) { c.Finish(ok) }
func (answers) Close() error { return nil }

func TestTheSlowestMessagesSayWhereTheyWent(t *testing.T) {
	for want, e := range map[string]Endpoint{
		"orders/new": {Exchange: "orders", Key: "new", Queue: "q"},
		"q":          {Queue: "q"},
		"events.a":   {Subject: "events.a", Stream: "events"},
	} {
		e.Kind, e.URL = "test", "test://h"
		report, err := Run(t.Context(), Scenario{
			Duration: 50 * time.Millisecond, Endpoints: map[string]Endpoint{"e": e},
			Classes: []Class{{Name: "a", Endpoint: "e", Arrivals: arrival.Steady(100)}},
		}, Options{Senders: map[string]OpenSender{"test": func(context.Context, Endpoint, []Class) (Sender, error) { return answers{}, nil }}})
		if err != nil {
			t.Fatal(err)
		}
		if slowest := report.Runs[0].Classes[0].Slowest; len(slowest) == 0 || slowest[0].Request != want {
			t.Errorf("%+v, want %s", slowest, want)
		}
	}
}
