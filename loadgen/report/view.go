package report

import (
	"fmt"
	"html/template"
	"strings"

	"overtake/loadgen"
)

// pageView is what the template of the page shows.
type pageView struct {
	Title  string
	About  string // the curves in words
	Report *loadgen.Report
	Valid  bool
	Lead   *classChange // nil if there is no gain to report
	Costs  []string     // what came with it
	Cards  []classCard
	// Repeated says that a condition was run more than once, Even that it was an
	// even number of times.
	Repeated, Even bool
	Figures        []viewRow // latency and service time
	Counts         []viewRow // what became of the requests
	Spread         []viewRow
	Phases         []viewRow
	Slowest        []slowRow
	Causes         []string
	JSON           template.JS
	Guide          template.JS
	Style          template.CSS
	Library        template.JS
	Scripts        []template.JS
}

type classCard struct {
	Class       string
	Light, Dark template.CSS
	Facts       []fact
}

// fact is one figure; Before is empty without an earlier condition.
type fact struct{ Name, Before, Now, Unit string }

// viewRow is a row of a table: which run it is of, and its cells.
type viewRow struct {
	First     bool // of its class
	Class     string
	Condition string
	Run       int // index of the run that the cells are of
	Name      string
	Cells     []string
}

type slowRow struct {
	Class, Condition string
	loadgen.SlowRequest
	Wait string // in the gateway; "-" if nothing told
	Link template.URL
}

func newPageView(r *loadgen.Report) pageView {
	groups := groupRuns(r)
	view := pageView{
		Report: r, Valid: r.Verdict.State == loadgen.Valid, Title: pageTitle(r), About: curvesInWords(groups),
		Causes: causes(groups), Slowest: slowRows(groups),
	}
	comparison := changesOf(r)
	if lead, ok := comparison.Lead(); ok {
		view.Lead = &lead
		view.Costs = comparison.costs(lead, "→")
	}
	for _, g := range groups {
		view.Repeated = view.Repeated || len(g.runs) > 1
		view.Even = view.Even || len(g.runs)%2 == 0
	}
	for i, name := range classNames(groups) {
		view.Cards = append(view.Cards, newClassCard(groups, name, i))
		view.addRows(groups, name)
	}
	return view
}

// pageTitle says what came of it, or what was measured.
func pageTitle(r *loadgen.Report) string {
	if headline := changesOf(r).Headline(); headline != "" {
		return headline
	}
	if r.Scenario != "" {
		return r.Scenario + " at " + r.Target
	}
	names := classNames(groupRuns(r))
	if len(names) == 0 {
		return r.Target
	}
	return strings.Join(names, ", ") + " at " + r.Target
}

// curvesInWords is what those who can't see the plot are told.
func curvesInWords(groups []group) string {
	var parts []string
	for _, g := range groups {
		for _, m := range g.medians {
			l := m.result.Latency
			if l.Count == 0 {
				continue
			}
			parts = append(parts, fmt.Sprintf("%s: half within %s ms, 99 %% within %s ms",
				strings.TrimPrefix(g.condition+", "+m.result.Name, ", "), formatMillis(l.P50), formatMillis(l.P99)))
		}
	}
	return strings.Join(parts, "; ")
}

// of returns the median run of a class under each condition that has it.
func of(groups []group, name string) (medians []median, conditions []string) {
	for _, g := range groups {
		for _, m := range g.medians {
			if m.result.Name == name {
				medians, conditions = append(medians, m), append(conditions, g.condition)
			}
		}
	}
	return medians, conditions
}

func newClassCard(groups []group, name string, index int) classCard {
	medians, _ := of(groups, name)
	first, last := medians[0].result, medians[len(medians)-1].result
	card := classCard{
		Class: last.Label(),
		Light: template.CSS(colours.Light[index%len(colours.Light)]),
		Dark:  template.CSS(colours.Dark[index%len(colours.Dark)]),
	}
	add := func(name, unit string, show func(loadgen.ClassResult) string) {
		f := fact{Name: name, Unit: unit, Now: show(last)}
		if len(medians) > 1 {
			f.Before = show(first)
		}
		card.Facts = append(card.Facts, f)
	}
	add("p99", "ms", func(c loadgen.ClassResult) string { return latencyCell(c.Latency, c.Latency.P99) })
	add("p50", "ms", func(c loadgen.ClassResult) string { return latencyCell(c.Latency, c.Latency.P50) })
	add("done", "/s", func(c loadgen.ClassResult) string { return formatRate(c.DonePerSecond) })
	if last.Objective > 0 {
		add("within "+formatMillis(last.Objective)+" ms", "/s", goodputCell)
	}
	add("refused or failed", "", func(c loadgen.ClassResult) string { return formatPercent(c.RefusedShare(), 1) })
	return card
}

// addRows adds the rows of one class to all tables.
func (v *pageView) addRows(groups []group, name string) {
	medians, conditions := of(groups, name)
	for i, m := range medians {
		c := m.result
		row := viewRow{First: i == 0, Class: c.Label(), Condition: conditions[i], Run: m.index, Name: name}
		v.Figures = append(v.Figures, row.with(figureCells(c)))
		v.Counts = append(v.Counts, row.with(countCells(c.Counts, queueCell(c))))
		if s, ok := summary(v.Report, conditions[i], name); ok {
			v.Spread = append(v.Spread, row.with(spreadCells(s)))
		}
		for j, p := range c.Phases {
			row := viewRow{First: j == 0, Class: c.Label(), Condition: conditions[i], Run: m.index, Name: name}
			l := p.Latency
			cells := append([]string{p.Name}, countCells(p.Counts, formatCount(p.WithinObjective))...)
			for _, value := range []loadgen.Millis{l.P50, l.P99, l.P999, l.Max} {
				cells = append(cells, latencyCell(l, value))
			}
			v.Phases = append(v.Phases, row.with(cells))
		}
	}
}

func (r viewRow) with(cells []string) viewRow {
	r.Cells = cells
	return r
}

func figureCells(c loadgen.ClassResult) []string {
	l := c.Latency
	cells := []string{formatRate(c.DonePerSecond), goodputCell(c)}
	for _, m := range []loadgen.Millis{l.P50, l.P90, l.P99, l.P999, l.Max, l.Mean} {
		cells = append(cells, latencyCell(l, m))
	}
	return append(cells, latencyCell(c.Service, c.Service.P50), latencyCell(c.Service, c.Service.P99))
}

func countCells(c loadgen.Counts, last string) []string {
	var cells []string
	for _, n := range []int64{c.Sent, c.OK, c.ShedTotal(), c.FailedTotal(), c.Unfinished, c.Skipped} {
		cells = append(cells, formatCount(n))
	}
	return append(cells, last)
}

func spreadCells(s loadgen.ClassSummary) []string {
	millis := func(v float64) string { return formatMillis(loadgen.Millis(v)) }
	return []string{
		spreadCell(s.DonePerSecond, formatRate), spreadCell(s.Goodput, formatRate), spreadCell(s.P50, millis), spreadCell(s.P90, millis),
		spreadCell(s.P99, millis), spreadCell(s.P999, millis), spreadCell(s.Max, millis),
		spreadCell(s.RefusedShare, func(v float64) string { return formatPercent(v, 1) }),
	}
}

// slowRows has a link only where the report has an http one: a report may come
// from anywhere.
func slowRows(groups []group) []slowRow {
	var rows []slowRow
	for _, g := range groups {
		for _, m := range g.medians {
			for _, s := range m.result.Slowest {
				row := slowRow{Class: m.result.Name, Condition: g.condition, SlowRequest: s, Wait: queueWait(m.result, s)}
				if strings.HasPrefix(s.URL, "http://") || strings.HasPrefix(s.URL, "https://") {
					row.Link = template.URL(s.URL)
				}
				rows = append(rows, row)
			}
		}
	}
	return rows
}
