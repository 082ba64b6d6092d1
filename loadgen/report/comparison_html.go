package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"overtake/loadgen"
)

var (
	//go:embed assets/comparison.html
	comparisonTemplate string
	//go:embed assets/comparison.js
	comparisonScript string
)

var comparisonPage = template.Must(template.New("comparison").Funcs(template.FuncMap{
	"label":  comparedLabel,
	"figure": figureLabel,
	"cell":   valueCell,
	"ratio":  ratioCell,
	"text":   fileText,
	"title":  ComparedFile.title,
	"valid":  func(v loadgen.Verdict) bool { return v.State == loadgen.Valid },
	"p":      func(p float64) string { return fmt.Sprintf("%.3f", p) },
}).Parse(comparisonTemplate))

// comparisonView is what the template of the page shows.
type comparisonView struct {
	*Comparison
	Classes     []comparedClassView
	Heading     string
	Notes       []string
	JSON, Guide template.JS
	Style       template.CSS
	Library     template.JS
	Scripts     []template.JS
}

// WriteComparisonHTML writes the comparison as one page that needs no network:
// script, style and figures are in it. The figures are the same JSON that
// [WriteComparisonJSON] writes.
func WriteComparisonHTML(w io.Writer, c *Comparison) error {
	guide := newComparisonGuide(c)
	view := comparisonView{
		Comparison: c, Classes: c.classViews(guide), Heading: c.heading(), Notes: c.notes(),
		Style: template.CSS(pageStyle), Library: template.JS(chartLibrary),
		Scripts: []template.JS{template.JS(plotsScript), template.JS(chartsScript), template.JS(comparisonScript)},
	}
	if err := marshalInto(map[*template.JS]any{&view.JSON: c, &view.Guide: guide}); err != nil {
		return err
	}
	if err := comparisonPage.Execute(w, view); err != nil {
		return fmt.Errorf("report: comparison: %w", err)
	}
	return nil
}
