package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"overtake/loadgen"
)

// changes says what changed from the first condition of a report to the last.
type changes struct {
	From    string // the first condition
	To      string // the last condition
	Classes []classChange
}

// classChange is what one class got before and after. Latencies are those of
// answered requests, so they must be read together with the shares that were not
// served: a class that is mostly refused looks fast.
type classChange struct {
	Class     string
	P99Before loadgen.Millis
	P99After  loadgen.Millis
	// Factor is P99Before / P99After: 94 means 94 times less, 0.5 twice as much.
	// 0 if either condition has no answers.
	Factor     float64
	DoneBefore float64
	DoneAfter  float64
	// Kept is DoneAfter / DoneBefore, the share of its throughput that the class
	// still has; 0 if there was none before.
	Kept float64
	// The shares of sent requests that were not served, 0 to 1.
	NotServedBefore float64
	NotServedAfter  float64
	Few             bool // the p99 before or after is of too few answers
}

// changesOf compares the classes that are in both the first and the last
// condition, by their medians over the runs. With fewer than two conditions there is
// nothing to compare and Classes is empty.
func changesOf(r *loadgen.Report) changes {
	groups := groupRuns(r)
	if len(groups) < 2 {
		return changes{}
	}
	first, last := groups[0], groups[len(groups)-1]
	c := changes{From: first.condition, To: last.condition}
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

// classTotal is what all that has one latency class got together.
type classTotal struct {
	class           string
	p99             loadgen.Millis // of the worst
	donePerSecond   float64
	sent, notServed float64
	few             bool // a p99 is of too few answers
}

// byClass sums up what has the same latency class, in the order of the run, of the
// medians over the runs.
func byClass(g group) []classTotal {
	var totals []classTotal
	for _, m := range g.classes {
		class := cmp.Or(m.result.Class, m.result.Name)
		i := slices.IndexFunc(totals, func(t classTotal) bool { return t.class == class })
		if i < 0 {
			i = len(totals)
			totals = append(totals, classTotal{class: class})
		}
		t := &totals[i]
		results := m.results()
		if p99 := loadgen.Millis(p99Figure.median(results)); p99 > t.p99 { // NaN, of no success, is not
			t.p99 = p99
		}
		t.donePerSecond += doneFigure.median(results)
		if sent := float64(m.total().Sent); sent > 0 {
			t.sent += sent
			t.notServed += sent * notServedFigure.median(results)
		}
		t.few = t.few || p99Figure.tooFew(results)
	}
	return totals
}

func (t classTotal) notServedShare() float64 {
	return round3(ratio(t.notServed, t.sent))
}

func change(before, after classTotal) classChange {
	return classChange{
		Class:           after.class,
		P99Before:       before.p99,
		P99After:        after.p99,
		Factor:          round3(ratio(float64(before.p99), float64(after.p99))),
		DoneBefore:      before.donePerSecond,
		DoneAfter:       after.donePerSecond,
		Kept:            round3(ratio(after.donePerSecond, before.donePerSecond)),
		NotServedBefore: before.notServedShare(),
		NotServedAfter:  after.notServedShare(),
		Few:             before.few || after.few,
	}
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// gainFactor is how much less a p99 must be to count as a change at all.
const gainFactor = 1.1

// Lead returns the class that gained most. ok is false if none did.
func (c changes) Lead() (lead classChange, ok bool) {
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
func (c changes) Headline() string {
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

// costs says what came with the gain of lead: how few answers it is of, what it was
// not served, and what the other classes paid. The arrow stands between before and after.
func (c changes) costs(lead classChange, arrow string) []string {
	var costs []string
	if lead.Few {
		costs = append(costs, "of too few answers for a p99")
	}
	if text := lead.notServedText(arrow); text != "" {
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
func (c classChange) costText(arrow string) string {
	const gained = 1.05
	text := fmt.Sprintf("%s kept %.0f %% of its throughput", c.Class, c.Kept*100)
	switch {
	case c.DoneBefore == 0:
		text = fmt.Sprintf("%s went from no throughput to %s/s", c.Class, formatRate(c.DoneAfter))
	case c.Kept >= gained:
		text = fmt.Sprintf("%s got %.1fx its throughput", c.Class, c.Kept)
	}
	if notServed := c.notServedText(arrow); notServed != "" {
		text += ", " + notServed
	}
	return text
}

// notServedText is empty if next to everything was served before and after.
func (c classChange) notServedText(arrow string) string {
	const worthSaying = 0.005
	if c.NotServedBefore < worthSaying && c.NotServedAfter < worthSaying {
		return ""
	}
	return fmt.Sprintf("not served %.0f %% %s %.0f %%", c.NotServedBefore*100, arrow, c.NotServedAfter*100)
}

func round3(f float64) float64 { return math.Round(f*1000) / 1000 }
