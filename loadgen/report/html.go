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

	"overtake/loadgen"
)

var (
	//go:embed assets/page.html
	pageTemplate string
	//go:embed assets/page.css
	pageStyle string
	//go:embed assets/page.js
	pageScript string
	//go:embed assets/plots.js
	plotsScript string
	//go:embed assets/charts.js
	chartsScript string
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
	"met":     metText,
	"seconds": formatSeconds,
	"percent": func(share float64) string { return formatPercent(share, 2) },
}).Parse(pageTemplate))

// palette has one colour for each class, in the order they appear. It is after
// Okabe and Ito, which colour-blind people can tell apart, with shades that
// stand out from a light and from a dark page.
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
	return shade(p.Light, max(slices.Index(names, class), 0))
}

func shade(colours []string, index int) color.RGBA {
	shade, _ := strconv.ParseUint(colours[index%len(colours)][1:], 16, 32)
	return color.RGBA{R: uint8(shade >> 16), G: uint8(shade >> 8), B: uint8(shade), A: 0xff}
}

// guide tells the script of the page what to draw of the report: one line for
// each class in each condition, of the run whose p99 is in the middle.
type guide struct {
	Palette palette     `json:"palette"`
	Lines   []guideLine `json:"lines"`
}

type guideLine struct {
	Run       int    `json:"run"`   // index in runs
	Class     string `json:"class"` // name
	Condition int    `json:"condition"`
}

func newGuide(groups []group) guide {
	g := guide{Palette: colours, Lines: []guideLine{}}
	for i, group := range groups {
		for _, m := range group.classes {
			g.Lines = append(g.Lines, guideLine{m.index, m.result.Name, i})
		}
	}
	return g
}

// WriteHTML writes the report as one page that needs no network: script, style
// and figures are in it. The figures are the same JSON that [WriteJSON] writes.
func WriteHTML(w io.Writer, r *loadgen.Report) error {
	view := newPageView(r)
	if err := marshalInto(map[*template.JS]any{&view.JSON: r, &view.Guide: newGuide(groupRuns(r))}); err != nil {
		return err
	}
	view.Style, view.Library = template.CSS(pageStyle), template.JS(chartLibrary)
	view.Scripts = []template.JS{template.JS(plotsScript), template.JS(chartsScript), template.JS(pageScript)}
	if err := page.Execute(w, view); err != nil {
		return fmt.Errorf("report: html: %w", err)
	}
	return nil
}

// marshalInto writes each value as JSON for an element of a page. Marshal escapes
// '<', '>' and '&', so the data can't close its element.
func marshalInto(parts map[*template.JS]any) error {
	for into, of := range parts {
		data, err := json.Marshal(of)
		if err != nil {
			return fmt.Errorf("report: html: %w", err)
		}
		*into = template.JS(data)
	}
	return nil
}
