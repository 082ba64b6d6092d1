package report

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"image/color"
	"io"
	"slices"
	"strconv"
	"strings"

	"overtake/loadgen"
)

var (
	//go:embed assets/page.html
	pageTemplate string
	//go:embed assets/page.css
	pageStyle string
	//go:embed assets/page.js
	pageScript string
	// Apache ECharts 5.6.0, dist/echarts.common.min.js of the npm package: the
	// smallest ready-made build with lines, log axes and tooltips. Its license
	// and notice lie beside it.
	//
	//go:embed assets/echarts.common.min.js
	chartLibrary string
)

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"millis":  formatMillis,
	"factor":  formatFactor,
	"percent": func(share float64) string { return formatPercent(share, 2) },
}).Parse(pageTemplate))

// palette has one colour for each class, in the order of the streams. It is
// after Okabe and Ito, which colour-blind people can tell apart, with shades
// that stand out from a light and from a dark page.
type palette struct {
	Light []string `json:"light"`
	Dark  []string `json:"dark"`
}

var colours = palette{
	Light: []string{"#0072b2", "#d55e00", "#008562", "#a34a86", "#8a6d00", "#3d3d9e", "#555b66", "#b3003c"},
	Dark:  []string{"#56b4e9", "#ff8a4c", "#3fd0a4", "#e59ad0", "#f0e442", "#a99cff", "#c3cad6", "#ff9ab0"},
}

// light is the colour of a class on a light page.
func (p palette) light(names []string, class string) color.Color {
	shade, _ := strconv.ParseUint(p.Light[max(slices.Index(names, class), 0)%len(p.Light)][1:], 16, 32)
	return color.RGBA{R: uint8(shade >> 16), G: uint8(shade >> 8), B: uint8(shade), A: 0xff}
}

// pageView is what the template shows.
type pageView struct {
	Title   string
	Report  *loadgen.Report
	Valid   bool
	Lead    *classChange // nil if there is no gain to report
	Costs   []string     // what came with it
	Cards   []classCard
	Rows    []figuresRow
	Causes  []string
	JSON    template.JS
	Palette template.JS
	Style   template.CSS
	Library template.JS
	Script  template.JS
}

type classCard struct {
	Class       string
	Light, Dark template.CSS
	Facts       []fact
}

// fact is one figure; Before is empty without an earlier phase.
type fact struct{ Name, Before, Now, Unit string }

type figuresRow struct {
	First bool // of its class
	Class string
	Phase string
	Cells []string
}

// WriteHTML writes the report as one page that needs no network: script, style
// and figures are in it. The figures are the same JSON that [WriteJSON] writes.
func WriteHTML(w io.Writer, r *loadgen.Report) error {
	// Marshal escapes '<', '>' and '&', so the data can't close its element.
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("report: html: %w", err)
	}
	shades, err := json.Marshal(colours)
	if err != nil {
		return fmt.Errorf("report: html: %w", err)
	}
	view := newPageView(r)
	view.JSON, view.Palette = template.JS(data), template.JS(shades)
	view.Style, view.Script = template.CSS(pageStyle), template.JS(pageScript)
	view.Library = template.JS(chartLibrary)
	if err := page.Execute(w, view); err != nil {
		return fmt.Errorf("report: html: %w", err)
	}
	return nil
}

func newPageView(r *loadgen.Report) pageView {
	view := pageView{Report: r, Valid: r.Verdict.State == loadgen.Valid, Title: pageTitle(r)}
	comparison := changesOf(r)
	if lead, ok := comparison.Lead(); ok {
		view.Lead = &lead
		view.Costs = comparison.costs(lead, "→")
	}
	for i, name := range streamNames(r) {
		view.Cards = append(view.Cards, newClassCard(r, name, i))
		view.Rows = append(view.Rows, figuresRows(r, name)...)
	}
	for _, p := range r.Runs {
		for _, s := range p.Classes {
			view.Causes = append(view.Causes, causeLines(p, s)...)
		}
	}
	return view
}

func pageTitle(r *loadgen.Report) string {
	if headline := changesOf(r).Headline(); headline != "" {
		return headline
	}
	names := streamNames(r)
	if len(names) == 0 {
		return r.Target
	}
	return strings.Join(names, ", ") + " at " + r.Target
}

// streamNames returns the names of all streams in the order they first appear.
func streamNames(r *loadgen.Report) []string {
	var names []string
	seen := make(map[string]bool)
	for _, p := range r.Runs {
		for _, s := range p.Classes {
			if !seen[s.Name] {
				seen[s.Name] = true
				names = append(names, s.Name)
			}
		}
	}
	return names
}

// byPhase returns the results of one stream and the names of their phases.
func byPhase(r *loadgen.Report, name string) (results []loadgen.ClassResult, phases []string) {
	for _, p := range r.Runs {
		for _, s := range p.Classes {
			if s.Name == name {
				results, phases = append(results, s), append(phases, p.Condition)
			}
		}
	}
	return results, phases
}

func newClassCard(r *loadgen.Report, name string, index int) classCard {
	results, _ := byPhase(r, name)
	first, last := results[0], results[len(results)-1]
	card := classCard{
		Class: last.Label(),
		Light: template.CSS(colours.Light[index%len(colours.Light)]),
		Dark:  template.CSS(colours.Dark[index%len(colours.Dark)]),
	}
	add := func(name, unit string, show func(loadgen.ClassResult) string) {
		f := fact{Name: name, Unit: unit, Now: show(last)}
		if len(results) > 1 {
			f.Before = show(first)
		}
		card.Facts = append(card.Facts, f)
	}
	add("p99", "ms", func(s loadgen.ClassResult) string { return latencyCell(s, s.Latency.P99) })
	add("p50", "ms", func(s loadgen.ClassResult) string { return latencyCell(s, s.Latency.P50) })
	add("done", "/s", func(s loadgen.ClassResult) string { return formatRate(s.DonePerSecond) })
	add("refused or failed", "", func(s loadgen.ClassResult) string { return formatPercent(refusedShare(s), 1) })
	return card
}

func figuresRows(r *loadgen.Report, name string) []figuresRow {
	var rows []figuresRow
	results, phases := byPhase(r, name)
	for i, s := range results {
		l := s.Latency
		row := figuresRow{First: i == 0, Class: s.Label(), Phase: phases[i]}
		row.Cells = append(row.Cells, formatCount(s.Sent), formatRate(s.DonePerSecond))
		for _, m := range []loadgen.Millis{l.P50, l.P90, l.P99, l.P999, l.Max, l.Mean} {
			row.Cells = append(row.Cells, latencyCell(s, m))
		}
		row.Cells = append(row.Cells, formatCount(s.ShedTotal()), formatCount(s.FailedTotal()), formatCount(s.Unfinished), formatCount(s.Skipped))
		rows = append(rows, row)
	}
	return rows
}

// formatPercent writes a share of 0 to 1 as a percentage, 0 without decimals.
func formatPercent(share float64, decimals int) string {
	if share == 0 {
		return "0 %"
	}
	return fmt.Sprintf("%.*f %%", decimals, share*100)
}
