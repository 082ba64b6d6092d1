package live

import (
	"strings"
	"testing"
	"time"

	"overtake/loadgen"
)

func TestTitleIsPrintable(t *testing.T) {
	var out strings.Builder
	New(&out, Options{Scenario: "a\x1b[2Jb\nc"}).Progress(loadgen.Progress{Condition: "run", Total: time.Second})
	if got := out.String(); !strings.HasPrefix(got, "a?[2Jb?c ") || strings.Count(got, "\n") != 1 {
		t.Errorf("%q", got)
	}
}
