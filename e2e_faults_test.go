//go:build e2e

package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"slices"
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
	// faultAgain is how many messages of a lane may come again after a strike: those
	// being worked on, and as many that had been sent ahead of that.
	faultAgain = 2 * killSlots
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
	// forgets is whether a settlement that was confirmed in the strike's round, before
	// the strike was over, may be undone: the server was killed, or who would know of
	// the confirmation. Otherwise none is.
	forgets bool
	// destroys is how many confirmed messages each strike may destroy.
	destroys int
	prepare  func(t *testing.T, l *ledger) site
}

// A site is what a fault strikes again and again. Its functions but post are called
// in the test's goroutine.
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
	// stored returns what the broker has in each of its places, by its own count.
	// All must be 0 after a round, and the lanes must be there.
	stored func(t *testing.T) map[string]int
	// log is what the clients, or the gateway, said in this round; said are patterns
	// that it must match, as signs that the strike had its effect.
	log  func() string
	said []string
	// up reports whether the gateway says that its queue is up; nil without a gateway.
	up func(*testing.T) bool
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
		f.check(t, s)
		l.close(t, f, round, &sum)
		if t.Failed() {
			t.Fatalf("in round %d of %d: %+v", round+1, *faultTimes, sum)
		}
		n := goroutines(t, label)
		if round == 0 {
			first = n
		}
		t.Logf("round %d: %d goroutines, %+v", round+1, n, sum)
	}
	awaitGoroutines(t, label, first+2)
	if sum.recovery > faultRecovery {
		t.Errorf("the worst recovery took %v, want at most %v", sum.recovery, faultRecovery)
	}
	row := []string{f.name, f.broker}
	for _, n := range []int{*faultTimes, sum.confirmed, sum.handled, sum.repeats, sum.confirmed - sum.handled} {
		row = append(row, strconv.Itoa(n))
	}
	return append(row, fmt.Sprintf("%.2f s", sum.recovery.Seconds()), fmt.Sprintf("%.2f s", sum.outage.Seconds()))
}

// strike plays one round: a wave of messages, the fault at its moment, and half a
// wave while it lasts and after it. More messages trickle in until it has struck.
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
		l.await(ctx, t, "all are confirmed", func() bool { return l.least(l.confirmed) >= faultWave })
		l.stopTrickle()
		posting.Wait()
		l.await(ctx, t, "all are answered", func() bool { return len(l.unanswered()) == 0 })
		s.awaitEmpty(t)
	}
	l.strikes()
	s.strike(t)
	l.stopTrickle()
	l.wave(ctx, &posting, s, fmt.Sprintf("r%d-after", round), faultWave/2)
	s.heal(t)
	l.heals()
	l.open(-1)
	l.wave(ctx, &posting, s, fmt.Sprintf("r%d-healed", round), faultWave/6)
	posting.Wait()
	l.await(ctx, t, "what was confirmed or had come is answered by the app", func() bool {
		return l.recovered() && len(l.unanswered()) <= f.destroys
	})
	if s.mend != nil {
		s.mend(t)
	}
}

// check checks that a strike had its effect and that nothing is left of the round.
func (f fault) check(t *testing.T, s site) {
	t.Helper()
	s.awaitEmpty(t)
	log := s.log()
	for _, pattern := range s.said {
		if !regexp.MustCompile(pattern).MatchString(log) {
			t.Errorf("no sign of the strike, want %q in\n%s", pattern, log)
		}
	}
}

// awaitEmpty waits until the broker has nothing in its lanes, retry queues and dead
// letters, waiting or in hand.
func (s site) awaitEmpty(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(2 * patience)
	for {
		stored, left := s.stored(t), 0
		for _, n := range stored {
			left += n
		}
		missing := slices.ContainsFunc(faultClasses, func(class string) bool { _, ok := stored[class]; return !ok })
		if !missing && left == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v, the broker has %v, want empty lanes; the log says\n%s", 2*patience, stored, s.log())
		}
		<-time.After(20 * time.Millisecond) // it is asked again
	}
}

// awaitGoroutines waits until no more than most are left of a fault. It is longer
// patient than a gateway is with idle connections to the app, each of which has one
// here: they are closed after 60 to 90 seconds.
func awaitGoroutines(t *testing.T, label string, most int) {
	t.Helper()
	deadline := time.Now().Add(2 * patience)
	for n := goroutines(t, label); n > most; n = goroutines(t, label) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v, %d goroutines are left, want at most %d", 2*patience, n, most)
		}
		<-time.After(100 * time.Millisecond) // they are counted again
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
	text := "| fault | broker | times | confirmed | handled | repeats | lost | recovery | outage |\n|" + strings.Repeat(" --- |", 9) + "\n"
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
