package live

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"overtake/loadgen"
)

func TestLine(t *testing.T) {
	stream := loadgen.ClassProgress{Name: "batch", Sent: 1200, DonePerSecond: 137.4, P50: 2 * time.Second, P99: 5 * time.Second, Shed: 3}
	at := func(elapsed time.Duration, final bool) loadgen.Progress {
		return loadgen.Progress{Condition: "run", Elapsed: elapsed, Total: 30 * time.Second, Final: final, Classes: []loadgen.ClassProgress{stream}}
	}
	var plain, tty bytes.Buffer
	onPlain, onTTY := Line(&plain, false), Line(&tty, true)
	for ms := 500; ms <= 4500; ms += 500 {
		onPlain(at(time.Duration(ms)*time.Millisecond, false))
		onTTY(at(time.Duration(ms)*time.Millisecond, false))
	}
	onPlain(at(31*time.Second, true))
	onTTY(at(31*time.Second, true))
	lines := strings.Split(strings.TrimSpace(plain.String()), "\n")
	if len(lines) != 4 || lines[1] != "run 2/30s | batch: sent 1200, done 137/s, p50 2,000 p99 5,000 ms, shed 3" || lines[3] != "run 30/30s done | batch: sent 1200, shed 3" {
		t.Errorf("plain:\n%s", plain.String())
	}
	if n := strings.Count(tty.String(), "\n"); n != 1 || strings.Count(tty.String(), "\r") != 10 {
		t.Errorf("tty: %q", tty.String())
	}
}
