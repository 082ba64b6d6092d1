package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"overtake/loadgen"
)

//go:embed assets/comparison.html
var comparisonTemplate string

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

// WriteComparisonHTML writes the comparison as one page that needs no network.
func WriteComparisonHTML(w io.Writer, c *Comparison) error {
	view := struct {
		*Comparison
		Notes []string
		Style template.CSS
	}{c, c.notes(), template.CSS(pageStyle)}
	if err := comparisonPage.Execute(w, view); err != nil {
		return fmt.Errorf("report: comparison: %w", err)
	}
	return nil
}
