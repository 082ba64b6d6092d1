package report

import (
	"fmt"
	"html/template"
	"strings"

	"overtake/loadgen"
)

// pageView is what the template of the page shows.
type pageView struct {
	Title    string
	About    string // the curves in words
	Report   *loadgen.Report
	Valid    bool
	Lead     *classChange // nil if there is no gain to report
	Costs    []string     // what came with it
	Cards    []classCard
	Load     []loadRow
	Repeated bool      // a condition was run more than once
	Figures  []viewRow // latency and service time
	Counts   []viewRow // what became of the requests
	Spread   []viewRow
	Phases   []viewRow
	Slowest  []slowRow // few of each class
	Slower   []slowRow // the rest
	Causes   []string
	JSON     template.JS
	Guide    template.JS
	Style    template.CSS
	Library  template.JS
	Scripts  []template.JS
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
		Causes: causes(groups), Load: loadRows(r),
	}
	view.Slowest, view.Slower = slowRows(groups)
	comparison := changesOf(r)
	if lead, ok := comparison.Lead(); ok {
		view.Lead = &lead
		view.Costs = comparison.costs(lead, "→")
	}
	for _, g := range groups {
		view.Repeated = view.Repeated || len(g.runs) > 1
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

// of returns the median run of a class in each group that has it.
func of(groups []group, name string) (medians []median, in []group) {
	for _, g := range groups {
		for _, m := range g.medians {
			if m.result.Name == name {
				medians, in = append(medians, m), append(in, g)
			}
		}
	}
	return medians, in
}

// runTitle names the condition and the run that the figures of m are of.
func (g group) runTitle(m median) string {
	cell := g.runCell(m)
	if cell == "" {
		return g.condition
	}
	return strings.TrimPrefix(g.condition+", run "+cell, ", ")
}

// newClassCard shows the medians over all runs, as the report holds them in its
// conditions.
func newClassCard(groups []group, name string, index int) classCard {
	medians, in := of(groups, name)
	last := medians[len(medians)-1].result
	card := classCard{
		Class: last.Label(),
		Light: template.CSS(colours.Light[index%len(colours.Light)]),
		Dark:  template.CSS(colours.Dark[index%len(colours.Dark)]),
	}
	add := func(name, unit string, show func(median, loadgen.ClassSummary) string) {
		cell := func(i int) string { return show(medians[i], in[i].summary(last.Name)) }
		f := fact{Name: name, Unit: unit, Now: cell(len(medians) - 1)}
		if len(medians) > 1 {
			f.Before = cell(0)
		}
		card.Facts = append(card.Facts, f)
	}
	latency := func(name string, of func(loadgen.ClassSummary) loadgen.Spread) {
		add(name, "ms", func(m median, s loadgen.ClassSummary) string {
			if m.answered == 0 {
				return "-"
			}
			return formatMillis(loadgen.Millis(of(s).Median))
		})
	}
	latency("p99", func(s loadgen.ClassSummary) loadgen.Spread { return s.P99 })
	latency("p50", func(s loadgen.ClassSummary) loadgen.Spread { return s.P50 })
	add("done", "/s", func(_ median, s loadgen.ClassSummary) string { return formatRate(s.DonePerSecond.Median) })
	if last.Objective > 0 {
		add("within "+formatMillis(last.Objective)+" ms", "/s", func(_ median, s loadgen.ClassSummary) string { return formatRate(s.Goodput.Median) })
	}
	add("not served", "", func(_ median, s loadgen.ClassSummary) string { return formatPercent(s.NotServed.Median, 1) })
	return card
}

// addRows adds the rows of one class to all tables.
func (v *pageView) addRows(groups []group, name string) {
	medians, in := of(groups, name)
	for i, m := range medians {
		c, g := m.result, in[i]
		row := viewRow{First: i == 0, Class: c.Label(), Condition: g.runTitle(m), Run: m.index, Name: name}
		v.Figures = append(v.Figures, row.with(figureCells(c)))
		v.Counts = append(v.Counts, row.with(countCells(c.Counts, queueCell(c))))
		if len(g.runs) > 1 {
			row := viewRow{First: i == 0, Class: c.Label(), Condition: g.condition, Run: m.index, Name: name}
			v.Spread = append(v.Spread, row.with(spreadCells(g.summary(name), m)))
		}
		for j, p := range c.Phases {
			row := viewRow{First: j == 0, Class: c.Label(), Condition: row.Condition, Run: m.index, Name: name}
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
	cells := []string{formatRate(c.DonePerSecond), goodputCell(c), okCell(c.Counts)}
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

func spreadCells(s loadgen.ClassSummary, m median) []string {
	millis := m.spreadMillis()
	good := "-"
	if m.result.Objective > 0 {
		good = spreadCell(s.Goodput, formatRate)
	}
	return []string{
		spreadCell(s.DonePerSecond, formatRate), good, millis(s.P50), millis(s.P90),
		millis(s.P99), millis(s.P999), millis(s.Max),
		spreadCell(s.NotServed, percentNumber),
	}
}

// slowRows returns the slowest requests of each class, and the rest of those in the
// report. It has a link only where the report has an http one: a report may come
// from anywhere.
func slowRows(groups []group) (slowest, rest []slowRow) {
	const each = 5
	for _, g := range groups {
		for _, m := range g.medians {
			for i, s := range m.result.Slowest {
				row := slowRow{Class: m.result.Name, Condition: g.runTitle(m), SlowRequest: s, Wait: queueWait(s)}
				if strings.HasPrefix(s.URL, "http://") || strings.HasPrefix(s.URL, "https://") {
					row.Link = template.URL(s.URL)
				}
				if i < each {
					slowest = append(slowest, row)
				} else {
					rest = append(rest, row)
				}
			}
		}
	}
	return slowest, rest
}
