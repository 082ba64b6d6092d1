package report

import (
	"strings"
	"testing"

	"overtake/loadgen"
)

// What the first failure was is told once, whichever run of the condition it was in.
func TestFirstFailures(t *testing.T) {
	r := &loadgen.Report{}
	for _, run := range []struct{ condition, reason string }{{"a", ""}, {"a", "reset"}, {"a", "cut"}, {"b", "cut\n"}} {
		class := loadgen.ClassResult{Name: "page", Class: "page", Counts: loadgen.Counts{Sent: 3, Failed: map[string]int64{"read": 2, "timeout": 1}}}
		if run.reason != "" {
			class.FirstFailures = map[string]string{"read": run.reason}
		}
		r.Runs = append(r.Runs, loadgen.RunResult{Condition: run.condition, Classes: []loadgen.ClassResult{class}})
	}
	var b strings.Builder
	if err := WriteTable(&b, r); err != nil {
		t.Fatal(err)
	}
	const want = "a: page failed: the first read: reset\nb: page failed: the first read: cut?\n"
	if got := b.String(); !strings.Contains(got, want) || strings.Count(got, "the first") != 2 {
		t.Errorf("%s\nwant %q", got, want)
	}
}
