//go:build e2e

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// A ledger knows what was published in a round and what came of it. Its gate
// holds back what was delivered.
type ledger struct {
	state watched

	messages           map[string]*faultMessage // by name
	confirmed, handled map[string]int           // by class
	lastPost, lastCame map[string]time.Time     // by class, the first ones after healed
	held               int
	limit              int       // handled messages of a class until the gate closes, -1 for none
	begun, struck      time.Time // the round, and its strike
	healed             time.Time
	trickle            bool          // more is posted until the strike
	doubt              []faultWindow // one for each strike
}

// faultWindow is when what is settled is in doubt: from a round's begin, as before it
// the broker was asked, and had nothing. until is zero while it lasts.
type faultWindow struct{ from, until time.Time }

// faultMessage is what is known of one message. Unconfirmed ones may come, too.
type faultMessage struct {
	class      string
	id         string // confirmed under
	deliveries []*faultDelivery
	destroyed  bool
}

type faultDelivery struct {
	id, class string
	at        time.Time
	answered  bool      // by the app
	settled   time.Time // zero: not for sure, as when the answer to that was lost
	pending   bool      // unanswered when the fault struck
}

// tally is what all rounds so far came to.
type tally struct {
	confirmed, handled, repeats int
	recovery, outage            time.Duration // the worst, since the heal and since the strike
}

func newLedger() *ledger { return &ledger{messages: map[string]*faultMessage{}, limit: -1} }

// begin starts a round. What came from the round before is in its messages.
func (l *ledger) begin(closed bool) {
	l.state.change(func() {
		l.confirmed, l.handled = map[string]int{}, map[string]int{}
		l.lastPost, l.lastCame = map[string]time.Time{}, map[string]time.Time{}
		l.begun, l.struck, l.healed = time.Now(), time.Time{}, time.Time{}
		l.trickle, l.limit = true, -1
		if closed {
			l.limit = 0
		}
	})
}

// open lets a number of messages of each class through, -1 for all.
func (l *ledger) open(limit int) { l.state.change(func() { l.limit = limit }) }

func (l *ledger) await(ctx context.Context, t *testing.T, what string, holds func() bool) {
	t.Helper()
	if l.state.await(ctx, holds) {
		return
	}
	l.state.change(func() {
		t.Errorf("not in time: %s; confirmed %v, handled %v, held %d", what, l.confirmed, l.handled, l.held)
		shown := 0
		for name, m := range l.messages {
			if m.id != "" && !m.wasAnswered() && shown < 5 {
				t.Logf("%s: %d deliveries, none answered", name, len(m.deliveries))
				shown++
			}
		}
	})
	t.FailNow()
}

// wave starts to post count messages of each class, and more at a slower pace for as
// long as there is to be a trickle.
func (l *ledger) wave(ctx context.Context, posting *sync.WaitGroup, s site, prefix string, count int) {
	for _, class := range faultClasses {
		for p := range faultPosters {
			posting.Go(func() {
				number := 0
				for want := count/faultPosters + 1; ctx.Err() == nil; {
					if want <= 0 {
						if !l.trickles() {
							return
						}
						<-time.After(10 * time.Millisecond)
					}
					name := fmt.Sprintf("%s-%s-%d-%d", class, prefix, p, number)
					if l.post(s, class, name) {
						want--
						number++
						continue
					}
					if !s.again {
						number++
					}
					select { // what refuses a client at once would refuse it again
					case <-time.After(20 * time.Millisecond):
					case <-ctx.Done():
					}
				}
			})
		}
	}
}

func (l *ledger) trickles() (yes bool) {
	l.state.change(func() { yes = l.trickle })
	return yes
}

func (l *ledger) stopTrickle() { l.state.change(func() { l.trickle = false }) }

// post posts a message and reports whether it was confirmed.
func (l *ledger) post(s site, class, name string) bool {
	l.state.change(func() {
		if l.messages[name] == nil {
			l.messages[name] = &faultMessage{class: class}
		}
	})
	id := s.post(class, name)
	if id == "" {
		return false
	}
	l.state.change(func() {
		l.messages[name].id = id
		l.confirmed[class]++
		if _, ok := l.lastPost[class]; !ok && !l.healed.IsZero() {
			l.lastPost[class] = time.Now()
		}
	})
	return true
}

// came notes a delivery, and returns when the gate lets it through. It is false
// when ctx has ended before that.
func (l *ledger) came(ctx context.Context, name, id, class string) (*faultDelivery, bool) {
	d := &faultDelivery{id: id, class: class, at: time.Now()}
	counted := false
	l.state.change(func() {
		m := l.messages[name]
		if m == nil {
			m = &faultMessage{class: "of no message that was posted"}
			l.messages[name] = m
		}
		m.deliveries = append(m.deliveries, d)
		if _, ok := l.lastCame[m.class]; !ok && !l.healed.IsZero() {
			l.lastCame[m.class] = time.Now()
		}
		l.held++
	})
	ok := l.state.await(ctx, func() bool {
		if l.limit < 0 || l.handled[class] < l.limit {
			if !counted {
				counted = true
				l.handled[class]++
			}
			return true
		}
		return false
	})
	l.state.change(func() { l.held, d.answered = l.held-1, ok })
	return d, ok
}

// done notes that a delivery was settled for sure.
func (l *ledger) done(d *faultDelivery) { l.state.change(func() { d.settled = time.Now() }) }

// ServeHTTP implements http.Handler: the app that a gateway delivers to.
func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	h := r.Header
	d, ok := l.came(r.Context(), h.Get("X-Job"), h.Get("Idempotency-Key"), h.Get("Latency-Class"))
	if !ok {
		return // the gateway is gone
	}
	l.done(d) // noted first: the gateway settles when it has the answer
	fmt.Fprintln(w, "done")
}

// doubted reports whether what was settled at that time is in doubt.
func (l *ledger) doubted(at time.Time) bool {
	return slices.ContainsFunc(l.doubt, func(w faultWindow) bool {
		return at.After(w.from) && (w.until.IsZero() || at.Before(w.until))
	})
}

// strikes and heals note the times of a strike.
func (l *ledger) strikes() {
	l.state.change(func() {
		l.struck = time.Now()
		l.doubt = append(l.doubt, faultWindow{from: l.begun})
		for _, m := range l.messages {
			for _, d := range m.deliveries {
				d.pending = !d.answered
			}
		}
	})
}

func (l *ledger) heals() {
	l.state.change(func() {
		l.healed = time.Now()
		l.doubt[len(l.doubt)-1].until = l.healed
	})
}

// least returns the count of the class with the lower one. It and the next two are
// for functions that run with the state held.
func (l *ledger) least(count map[string]int) int {
	return min(count[faultClasses[0]], count[faultClasses[1]])
}

// recovered reports whether messages of both classes were confirmed and came after
// the broker was back.
func (l *ledger) recovered() bool {
	return len(l.lastPost) == len(faultClasses) && len(l.lastCame) == len(faultClasses)
}

// unanswered returns the messages that were confirmed, or had come, and that the app
// has not answered, but for those that were destroyed.
func (l *ledger) unanswered() (names []string) {
	for name, m := range l.messages {
		if (m.id != "" || len(m.deliveries) > 0) && !m.wasAnswered() && !m.destroyed {
			names = append(names, name)
		}
	}
	return names
}

func (m *faultMessage) wasAnswered() bool {
	return slices.ContainsFunc(m.deliveries, func(d *faultDelivery) bool { return d.answered })
}

// close checks the messages of all rounds so far, as some come again late, and
// updates what they came to. By now, the broker has none of them any more.
func (l *ledger) close(t *testing.T, f fault, round int, sum *tally) {
	t.Helper()
	l.state.change(func() {
		lost := l.unanswered()
		if len(lost) > f.destroys {
			t.Errorf("round %d: lost %v, want at most %d lost", round, lost, f.destroys)
		}
		for _, name := range lost {
			l.messages[name].destroyed = true
		}
		sum.confirmed, sum.handled, sum.repeats = 0, 0, 0
		again := map[string]int{} // messages that came again in this round
		for name, m := range l.messages {
			if m.id != "" {
				sum.confirmed++
				if m.wasAnswered() {
					sum.handled++
				}
			}
			sum.repeats += max(len(m.deliveries)-1, 0)
			if n := len(m.deliveries); n > 1 && m.deliveries[n-1].at.After(l.struck) {
				again[m.class]++
			}
			if why := l.wrong(f, m); why != "" {
				t.Errorf("round %d: %s of class %s, confirmed as %q, %s: %s; in doubt was %v", round, name, m.class, m.id, why, m, l.doubt)
			}
		}
		for class, n := range again {
			if n > faultAgain {
				t.Errorf("round %d: %d messages of %s came again, want at most %d", round, n, class, faultAgain)
			}
		}
		for _, class := range faultClasses {
			back := slices.MaxFunc([]time.Time{l.lastPost[class], l.lastCame[class]}, time.Time.Compare)
			sum.recovery, sum.outage = max(sum.recovery, back.Sub(l.healed)), max(sum.outage, back.Sub(l.struck))
		}
	})
}

// wrong says what is wrong with how a message came, or "".
func (l *ledger) wrong(f fault, m *faultMessage) string {
	for i, d := range m.deliveries {
		last := i == len(m.deliveries)-1
		switch {
		case d.class != m.class:
			return "came in another class"
		case m.id != "" && d.id != m.id, d.id != m.deliveries[0].id:
			return "came under another ID"
		case !last && !d.settled.IsZero() && !(f.forgets && l.doubted(d.settled)):
			return "came again although it was settled for sure"
		case last && d.pending && f.when == midDelivery:
			return "was unanswered at the strike and did not come again"
		}
	}
	return ""
}

// String implements fmt.Stringer.
func (m *faultMessage) String() string {
	text := ""
	for _, d := range m.deliveries {
		text += fmt.Sprintf("%+v ", *d)
	}
	return text
}
