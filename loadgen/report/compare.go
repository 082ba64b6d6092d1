package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"overtake/loadgen"
)

// Comparison says what changed from the first phase of a report to the last.
type Comparison struct {
	From    string        `json:"from"` // name of the first phase
	To      string        `json:"to"`   // name of the last phase
	Classes []ClassChange `json:"classes"`
}

// ClassChange is what one class got before and after. Latencies are those of
// answered requests, so they must be read together with the refused shares: a
// class that is mostly refused looks fast.
type ClassChange struct {
	Class     string         `json:"class"`
	P99Before loadgen.Millis `json:"p99_before_ms"`
	P99After  loadgen.Millis `json:"p99_after_ms"`
	// Factor is P99Before / P99After: 94 means 94 times less, 0.5 twice as much.
	// 0 if either phase has no answers.
	Factor     float64 `json:"factor"`
	DoneBefore float64 `json:"done_per_second_before"`
	DoneAfter  float64 `json:"done_per_second_after"`
	// Kept is DoneAfter / DoneBefore, the share of its throughput that the class
	// still has; 0 if there was none before.
	Kept float64 `json:"kept"`
	// The shares of sent requests that were shed or failed, 0 to 1.
	RefusedBefore float64 `json:"refused_before"`
	RefusedAfter  float64 `json:"refused_after"`
}

// Compare compares the classes that are in both the first and the last phase.
// With fewer than two phases there is nothing to compare and Classes is empty.
func Compare(r *loadgen.Report) Comparison {
	if len(r.Runs) < 2 {
		return Comparison{}
	}
	first, last := r.Runs[0], r.Runs[len(r.Runs)-1]
	c := Comparison{From: first.Condition, To: last.Condition}
	after := byClass(last)
	for _, b := range byClass(first) {
		for _, a := range after {
			if a.class == b.class {
				c.Classes = append(c.Classes, change(b, a))
			}
		}
	}
	return c
}

// classTotal is what the streams of one class got together.
type classTotal struct {
	class         string
	p99           loadgen.Millis // of the worst stream
	donePerSecond float64
	sent, refused int64
}

// byClass sums up the streams of each class, in the order of the streams.
func byClass(p loadgen.RunResult) []classTotal {
	var totals []classTotal
	for _, s := range p.Classes {
		class := cmp.Or(s.Class, s.Name)
		i := slices.IndexFunc(totals, func(t classTotal) bool { return t.class == class })
		if i < 0 {
			i = len(totals)
			totals = append(totals, classTotal{class: class})
		}
		t := &totals[i]
		t.p99 = max(t.p99, s.Latency.P99)
		t.donePerSecond += s.DonePerSecond
		t.sent += s.Sent
		t.refused += s.ShedTotal() + s.FailedTotal()
	}
	return totals
}

func (t classTotal) refusedShare() float64 { return round3(ratio(float64(t.refused), float64(t.sent))) }

func change(before, after classTotal) ClassChange {
	return ClassChange{
		Class:         after.class,
		P99Before:     before.p99,
		P99After:      after.p99,
		Factor:        round3(ratio(float64(before.p99), float64(after.p99))),
		DoneBefore:    before.donePerSecond,
		DoneAfter:     after.donePerSecond,
		Kept:          round3(ratio(after.donePerSecond, before.donePerSecond)),
		RefusedBefore: before.refusedShare(),
		RefusedAfter:  after.refusedShare(),
	}
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func refusedShare(s loadgen.ClassResult) float64 {
	return round3(ratio(float64(s.ShedTotal()+s.FailedTotal()), float64(s.Sent)))
}

// gainFactor is how much less a p99 must be to count as a change at all.
const gainFactor = 1.1

// Lead returns the class that gained most. ok is false if none did.
func (c Comparison) Lead() (lead ClassChange, ok bool) {
	for _, class := range c.Classes {
		if class.Factor >= gainFactor && class.Factor > lead.Factor {
			lead, ok = class, true
		}
	}
	return lead, ok
}

// Headline says the comparison in one sentence, such as
//
//	interactive p99 1,980 ms -> 21.0 ms: 94x less; batch kept 97 % of its throughput
//
// It is empty if there is nothing to compare.
func (c Comparison) Headline() string {
	if len(c.Classes) == 0 {
		return ""
	}
	lead, ok := c.Lead()
	if !ok {
		return fmt.Sprintf("no class's p99 fell from %q to %q", c.From, c.To)
	}
	parts := []string{fmt.Sprintf("%s p99 %s ms -> %s ms: %sx less", lead.Class,
		formatMillis(lead.P99Before), formatMillis(lead.P99After), formatFactor(lead.Factor))}
	return strings.Join(append(parts, c.costs(lead, "->")...), "; ")
}

// costs says what came with the gain of lead: refusals of its own, and what
// the other classes paid. The arrow stands between before and after.
func (c Comparison) costs(lead ClassChange, arrow string) []string {
	var costs []string
	if text := lead.refusedText(arrow); text != "" {
		costs = append(costs, text)
	}
	for _, class := range c.Classes {
		if class.Class != lead.Class {
			costs = append(costs, class.costText(arrow))
		}
	}
	return costs
}

// costText says what a class other than the lead paid.
func (c ClassChange) costText(arrow string) string {
	const gained = 1.05
	text := fmt.Sprintf("%s kept %.0f %% of its throughput", c.Class, c.Kept*100)
	switch {
	case c.DoneBefore == 0:
		text = fmt.Sprintf("%s went from no throughput to %s/s", c.Class, formatRate(c.DoneAfter))
	case c.Kept >= gained:
		text = fmt.Sprintf("%s got %.1fx its throughput", c.Class, c.Kept)
	}
	if refused := c.refusedText(arrow); refused != "" {
		text += ", " + refused
	}
	return text
}

// refusedText is empty if next to nothing was refused before and after.
func (c ClassChange) refusedText(arrow string) string {
	const worthSaying = 0.005
	if c.RefusedBefore < worthSaying && c.RefusedAfter < worthSaying {
		return ""
	}
	return fmt.Sprintf("refused %.0f %% %s %.0f %%", c.RefusedBefore*100, arrow, c.RefusedAfter*100)
}

func formatFactor(f float64) string {
	if f < 9.95 {
		return fmt.Sprintf("%.1f", f)
	}
	return formatCount(int64(f + 0.5))
}

func round3(f float64) float64 { return math.Round(f*1000) / 1000 }
