//go:build e2e

package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var faultTimes = flag.Int("times", 2, "of the faults: how often each one strikes")

const (
	faultWave     = 150              // messages of each class before the strike, and half of it after it
	faultPosters  = 4                // of each class
	faultRecovery = 10 * time.Second // after the broker takes connections again
	// faultFresh is how long before a strike a message may have been settled and
	// still come again: what a server was told last, it may not have kept.
	faultFresh = 500 * time.Millisecond
)

var faultClasses = []string{"interactive", "batch"}

// A moment is when a fault strikes.
type moment int

const (
	midPublish  moment = iota // a third of the messages is confirmed, more are under way
	midSettle                 // all are confirmed, a third is handled, more are under way
	midDelivery               // all are confirmed, a third is handled, the others are held unanswered
	atRest                    // all are handled
)

// A fault is one row of the table.
type fault struct {
	name, broker string
	when         moment
	prepare      func(t *testing.T, l *ledger) site
}

// A site is what a fault strikes again and again. strike and heal are called in
// the test's goroutine.
type site struct {
	// post publishes a message under the name and returns the ID that it was
	// confirmed under, "" if it was not.
	post func(class, name string) (id string)
	// again is whether a message that was not confirmed is posted again under its
	// name; otherwise the next one is posted.
	again  bool
	strike func(t *testing.T)
	// heal returns when the broker, or the gateway, takes connections again.
	heal func(t *testing.T)
	// mend, if not nil, makes the site whole after a round.
	mend func(t *testing.T)
}

// TestFaults strikes while messages of both classes are published and handled, and
// checks that what was confirmed is handled, in its class and under its ID.
func TestFaults(t *testing.T) {
	var rows [][]string
	var mu sync.Mutex
	t.Run("matrix", func(t *testing.T) {
		for _, f := range faults() {
			t.Run(strings.ReplaceAll(f.name+" "+f.broker, " ", "_"), func(t *testing.T) {
				t.Parallel()
				row := f.play(t)
				mu.Lock()
				defer mu.Unlock()
				rows = append(rows, row)
			})
		}
	})
	saveFaults(t, rows)
}

// play has the fault strike, and returns its row of the table.
func (f fault) play(t *testing.T) []string {
	label := f.name + " " + f.broker
	pprof.SetGoroutineLabels(pprof.WithLabels(t.Context(), pprof.Labels("fault", label)))
	l := newLedger()
	s := f.prepare(t, l)
	var sum tally
	first := 0
	for round := range *faultTimes {
		f.strike(t, l, s, round)
		l.close(t, round, &sum)
		if t.Failed() {
			t.Fatalf("in round %d of %d: %+v", round+1, *faultTimes, sum)
		}
		if n := goroutines(t, label); round == 0 {
			first = n
		} else {
			t.Logf("round %d: %d goroutines, %+v", round+1, n, sum)
		}
	}
	most := first + 4 + *faultTimes/4 // an adapter has some more while its callers come fast
	eventually(t, fmt.Sprintf("of %d goroutines after the first round, no more than %d are left", first, most),
		func() bool { return goroutines(t, label) <= most })
	if sum.worst > faultRecovery {
		t.Errorf("the worst recovery took %v, want at most %v", sum.worst, faultRecovery)
	}
	return []string{
		f.name, f.broker, strconv.Itoa(*faultTimes), strconv.Itoa(sum.confirmed), strconv.Itoa(sum.handled),
		strconv.Itoa(sum.repeats), strconv.Itoa(sum.confirmed - sum.handled), fmt.Sprintf("%.2f s", sum.worst.Seconds()),
	}
}

// strike plays one round: a wave of messages, the fault at its moment, and half a
// wave while it lasts and after it.
func (f fault) strike(t *testing.T, l *ledger, s site, round int) {
	t.Helper()
	l.begin(f.when == midSettle || f.when == midDelivery)
	var posting sync.WaitGroup
	defer posting.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	l.wave(ctx, &posting, s, fmt.Sprintf("r%d", round), faultWave)
	switch f.when {
	case midPublish:
		l.await(ctx, t, "a third is confirmed", func() bool { return l.least(l.confirmed) >= faultWave/3 })
	case midSettle, midDelivery:
		l.await(ctx, t, "all are confirmed", func() bool { return l.least(l.confirmed) >= faultWave })
		if f.when == midSettle {
			l.open(-1)
			l.await(ctx, t, "a third is handled", func() bool { return l.least(l.handled) >= faultWave/3 })
		} else {
			l.open(faultWave / 3)
			l.await(ctx, t, "a third of a class is handled, and some are held", func() bool {
				return max(l.handled["interactive"], l.handled["batch"]) >= faultWave/3 && l.held > 1
			})
		}
	case atRest:
		posting.Wait()
		l.await(ctx, t, "all are answered", func() bool { return l.answered() })
	}
	l.strikes()
	s.strike(t)
	l.wave(ctx, &posting, s, fmt.Sprintf("r%d-after", round), faultWave/2)
	s.heal(t)
	l.heals()
	l.open(-1)
	l.wave(ctx, &posting, s, fmt.Sprintf("r%d-healed", round), faultWave/6)
	posting.Wait()
	l.await(ctx, t, "what was confirmed is handled", func() bool { return l.recovered() && l.answered() })
	if s.mend != nil {
		s.mend(t)
	}
}

// goroutines counts those that the fault's goroutines have started, and all that
// these have.
func goroutines(t *testing.T, label string) (n int) {
	t.Helper()
	var text bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&text, 1); err != nil {
		t.Fatal(err)
	}
	count := 0
	for line := range strings.Lines(text.String()) {
		if number, _, ok := strings.Cut(line, " @ "); ok {
			count, _ = strconv.Atoi(number) // the line before the labels of as many goroutines
		} else if strings.HasPrefix(line, "# labels:") && strings.Contains(line, strconv.Quote(label)) {
			n += count
		}
	}
	return n
}

// saveFaults prints the table and saves it.
func saveFaults(t *testing.T, rows [][]string) {
	t.Helper()
	text := "| fault | broker | times | confirmed | handled | repeats | lost | worst recovery |\n|" + strings.Repeat(" --- |", 8) + "\n"
	for _, f := range faults() { // in their order
		for _, row := range rows {
			if row[0] == f.name && row[1] == f.broker {
				text += "| " + strings.Join(row, " | ") + " |\n"
			}
		}
	}
	t.Logf("\n%s", text)
	file := filepath.Join("bin", "faults.md")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
