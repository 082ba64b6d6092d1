// Package inflighttest keeps the books of calls for tests of senders.
package inflighttest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"overtake/loadgen"
	"overtake/loadgen/content"
)

// patience bounds every wait. It is long, as the machine may be slow and a broker then
// takes more than a minute to start, and decides nothing.
const patience = 5 * time.Minute

// Book notes what became of calls. The zero value is empty. It is safe for
// concurrent use.
type Book struct {
	mu       sync.Mutex
	calls    int
	outcomes map[string]Entry
	twice    []string
	repeats  []string
}

// Entry is one call with its outcome.
type Entry struct {
	loadgen.Outcome
	Took time.Duration // since Call
}

// Call returns a call whose outcome is noted.
func (b *Book) Call(id string, request *content.Request, timeout time.Duration) *loadgen.Call {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.outcomes == nil {
		b.outcomes = make(map[string]Entry)
	}
	b.calls++
	began := time.Now()
	return loadgen.NewCall(id, nil, request, timeout, func(c *loadgen.Call, o loadgen.Outcome) {
		if o.At.IsZero() {
			o.At = time.Now()
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if _, ok := b.outcomes[c.ID]; ok {
			b.twice = append(b.twice, c.ID)
		}
		b.outcomes[c.ID] = Entry{o, o.At.Sub(began)}
	}, func(c *loadgen.Call) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.repeats = append(b.repeats, c.ID)
	})
}

// Of returns the outcome of a call, or false if there is none yet.
func (b *Book) Of(id string) (Entry, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.outcomes[id]
	return e, ok
}

// What returns the outcome of a call in words, such as "failed timeout"; "" if there
// is none yet.
func (b *Book) What(id string) string {
	e, ok := b.Of(id)
	if !ok {
		return ""
	}
	return describe(e.Outcome)
}

func describe(o loadgen.Outcome) string {
	text := [...]string{"ok", "shed", "failed", "unfinished"}[o.Kind]
	if o.Cause != "" {
		text += " " + o.Cause
	}
	return text
}

// Count returns how many calls have each outcome, in words; "" are those without.
func (b *Book) Count() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	count := make(map[string]int)
	for _, e := range b.outcomes {
		count[describe(e.Outcome)]++
	}
	if open := b.calls - len(b.outcomes); open > 0 {
		count[""] = open
	}
	return count
}

// Repeats returns the ids of what was repeated, in that order.
func (b *Book) Repeats() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.repeats...)
}

// Balance fails the test unless each call has one outcome and no more.
func (b *Book) Balance(t testing.TB) {
	t.Helper()
	if open := b.Count()[""]; open > 0 {
		t.Errorf("%d calls have no outcome", open)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.twice) > 0 {
		t.Errorf("finished twice: %v", b.twice)
	}
}

// Await waits until cond holds of what was noted.
func (b *Book) Await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for deadline := time.After(patience); !cond(); {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("never: %s; the calls are %v", what, b.Count())
		}
	}
}

// Send sends n calls with the ids <class>/0 and so on, one at each interval.
func (b *Book) Send(s loadgen.Sender, class string, n int, interval time.Duration, request *content.Request) {
	start := time.Now()
	for i := range n {
		time.Sleep(time.Until(start.Add(time.Duration(i) * interval)))
		s.Send(b.Call(fmt.Sprintf("%s/%d", class, i), request, patience))
	}
}
