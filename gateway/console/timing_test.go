package console

import (
	"fmt"
	"testing"
	"unicode/utf8"
)

func TestParseTiming(t *testing.T) {
	for value, want := range map[string]string{
		"":                                        "[]",
		"queue;dur=1.5":                           "[{queue  1.5ms}]",
		"queue;dur=1.500, upstream;dur=20.25":     "[{queue  1.5ms} {upstream  20.25ms}]",
		`db;desc="rows, 3; \"all\"";dur="12"`:     `[{db rows, 3; "all" 12ms}]`,
		"miss, cache ; DUR = 2 ; desc=hit ;x":     "[{cache hit 2ms}]",
		"a;dur=-1, b;dur=NaN, c;dur=1e99, d;dur=": "[]",
		`a;dur=1;desc="open, b;dur=2`:             "[{a open, b;dur=2 1ms}]",
		";dur=3, ,,":                              "[]",
	} {
		if got := fmt.Sprint(ParseTiming(value)); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

func FuzzParseTiming(f *testing.F) {
	f.Add(`db;desc="rows, 3; \"all\"";dur="12", miss`)
	f.Add("queue;dur=1.500, upstream;dur=20.250")
	f.Fuzz(func(t *testing.T, value string) {
		metrics := ParseTiming(value)
		if len(metrics) > mostMetrics {
			t.Errorf("%d metrics", len(metrics))
		}
		for _, m := range metrics {
			if m.Name == "" || len(m.Name) > mostMetricText || len(m.Description) > mostMetricText || m.Duration < 0 || m.Duration > longestMetric {
				t.Errorf("%+v", m)
			}
			if utf8.ValidString(value) && !utf8.ValidString(m.Name+m.Description) {
				t.Errorf("%+v is cut within a character", m)
			}
		}
	})
}
