package report

import (
	"fmt"
	"html/template"
	"slices"
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
	Unmet    []loadgen.Expectation
	Cards    []classCard
	Load     []loadRow
	Repeated bool      // a condition was run more than once
	Shown    []string  // the runs that the plots are of, if so
	Few      string    // what ^ means; "" without one
	Figures  []viewRow // latency and service time
	Counts   []viewRow // what became of the requests
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

// fact is one figure; Before is empty without an earlier condition, and Range without
// several runs.
type fact struct{ Name, Before, Now, Unit, Range string }

// viewRow is a row of a table: what it is of, and its cells.
type viewRow struct {
	First     bool // of its class
	Class     string
	Condition string
	Run       int // index of the run that the plots are of
	Name      string
	Cells     []viewCell
}

// viewCell is what a cell shows: a figure, and its range over several runs.
type viewCell struct{ Text, Range string }

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
		Causes: append(causes(groups), firstFailures(groups)...), Load: loadRows(r),
	}
	for _, e := range r.Expectations {
		if !e.Met {
			view.Unmet = append(view.Unmet, e)
		}
	}
	if anyTooFew(groups) {
		view.Few = fewAnswersNote
	}
	view.Slowest, view.Slower = slowRows(groups)
	comparison := changesOf(r)
	if lead, ok := comparison.Lead(); ok {
		view.Lead = &lead
		view.Costs = comparison.costs(lead, "→")
	}
	for _, g := range groups {
		view.Repeated = view.Repeated || g.repeated()
		view.Shown = append(view.Shown, g.shownRuns(len(groups) > 1)...)
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
		for _, m := range g.classes {
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

// of returns the class in each group that has it.
func of(groups []group, name string) (classes []measured, in []group) {
	for _, g := range groups {
		for _, m := range g.classes {
			if m.result.Name == name {
				classes, in = append(classes, m), append(in, g)
			}
		}
	}
	return classes, in
}

// shownRuns says which of several runs the plots are of: "batch: run 3 of 4", with the
// condition if there are more.
func (g group) shownRuns(condition bool) []string {
	var shown []string
	if g.repeated() {
		for _, m := range g.classes {
			of := m.result.Name
			if condition {
				of = g.condition + ", " + of
			}
			shown = append(shown, of+": "+g.runName(m.classRun))
		}
	}
	return shown
}

// newClassCard shows the medians over all runs, as the report holds them in its
// conditions.
func newClassCard(groups []group, name string, index int) classCard {
	classes, _ := of(groups, name)
	first, last := classes[0], classes[len(classes)-1]
	card := classCard{
		Class: last.result.Label(),
		Light: template.CSS(colours.Light[index%len(colours.Light)]),
		Dark:  template.CSS(colours.Dark[index%len(colours.Dark)]),
	}
	add := func(name, unit string, f figure) {
		now := f.cell(last.results())
		fact := fact{Name: name, Unit: unit, Now: now.median, Range: now.span()}
		if len(classes) > 1 {
			fact.Before = f.cell(first.results()).median
		}
		card.Facts = append(card.Facts, fact)
	}
	add("p99", "ms", p99Figure)
	add("p50", "ms", p50Figure)
	add("done", "/s", doneFigure)
	if objective := last.result.Objective; objective > 0 {
		add("goodput (within "+formatMillis(objective)+" ms)", "/s", goodputFigure)
	}
	add("not served", "", notServedFigure)
	return card
}

// addRows adds the rows of one class to all tables.
func (v *pageView) addRows(groups []group, name string) {
	classes, in := of(groups, name)
	figures := slices.Concat([]figure{doneFigure, goodputFigure, okFigure}, latencyFigures, []figure{meanFigure}, serviceFigures)
	for i, m := range classes {
		row := viewRow{First: i == 0, Class: m.result.Label(), Condition: in[i].name(), Run: m.index, Name: name}
		v.Figures = append(v.Figures, row.with(figureCells(figures, m.results())))
		v.Counts = append(v.Counts, row.with(textCells(append(countCells(m.total()), queueFigure.cell(m.results()).median))))
		for j, p := range m.phases() {
			row.First = j == 0
			texts := slices.Concat([]string{p.name}, countCells(p.total), []string{goodCell(m, p)})
			v.Phases = append(v.Phases, row.with(append(textCells(texts), figureCells(latencyFigures, p.runs)...)))
		}
	}
}

func (r viewRow) with(cells []viewCell) viewRow {
	r.Cells = cells
	return r
}

func figureCells(figures []figure, runs []loadgen.ClassResult) []viewCell {
	var cells []viewCell
	for _, f := range figures {
		cell := f.cell(runs)
		cells = append(cells, viewCell{cell.median, cell.span()})
	}
	return cells
}

func textCells(texts []string) []viewCell {
	var cells []viewCell
	for _, text := range texts {
		cells = append(cells, viewCell{Text: text})
	}
	return cells
}

// slowRows returns the slowest requests of each class over all runs, first few and then
// the rest of them. It has a link only where the report has an http one: a report may
// come from anywhere.
func slowRows(groups []group) (slowest, rest []slowRow) {
	const each = 5
	for _, g := range groups {
		for _, m := range g.classes {
			for i, s := range m.slowest() {
				condition := strings.TrimPrefix(strings.TrimSuffix(g.condition+", "+g.runName(s.in), ", "), ", ")
				row := slowRow{Class: m.result.Name, Condition: condition, SlowRequest: s.SlowRequest, Wait: queueWait(s.SlowRequest)}
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
