package report

import (
	"fmt"
	"slices"
	"strings"

	"overtake/loadgen"
)

// comparisonGuide tells the script of the page what to draw of the comparison, and
// the texts that the tables have too.
type comparisonGuide struct {
	Palette palette      `json:"palette"`
	Sides   []guideSide  `json:"sides"`   // one for each file
	Classes []guideClass `json:"classes"` // one for each class
}

type guideSide struct {
	Label string `json:"label"`
	// NoResult is the verdict, if it is not VALID.
	NoResult loadgen.VerdictState `json:"no_result,omitempty"`
}

// guideClass has no ratios, and its curves are not drawn, if fewer than two files
// have the class.
type guideClass struct {
	Shared bool        `json:"shared"`
	Ratios []guideRows `json:"ratios"`
}

// guideRows are those of one figure.
type guideRows struct {
	Figure int    `json:"figure"` // index in the figures of the class
	Label  string `json:"label"`
	// Sides are the files after the first that have the figure; Texts stand beside
	// them.
	Sides []int    `json:"sides"`
	Texts []string `json:"texts"`
}

func newComparisonGuide(c *Comparison) comparisonGuide {
	g := comparisonGuide{Palette: colours, Sides: []guideSide{}, Classes: []guideClass{}}
	for _, f := range c.Files {
		side := guideSide{Label: f.title()}
		if f.Verdict.State != loadgen.Valid {
			side.NoResult = f.Verdict.State
		}
		g.Sides = append(g.Sides, side)
	}
	for _, class := range c.Classes {
		of := guideClass{Shared: len(class.having()) > 1, Ratios: []guideRows{}}
		for i, f := range class.Figures {
			if rows := ratioRows(f); len(rows.Sides) > 0 {
				rows.Figure = i
				of.Ratios = append(of.Ratios, rows)
			}
		}
		g.Classes = append(g.Classes, of)
	}
	return g
}

// having returns the files that have the class.
func (c ComparedClass) having() []int {
	var files []int
	for i := range c.Curves {
		for _, f := range c.Figures {
			if f.Values[i].Runs > 0 {
				files = append(files, i)
				break
			}
		}
	}
	return files
}

// ratioRows has no row for a file without the figure, and none at all where there
// is nothing to see: no file has a ratio, and all have the same.
func ratioRows(f ComparedFigure) guideRows {
	rows := guideRows{Label: figureLabel(f), Sides: []int{}, Texts: []string{}}
	base, worth := f.Values[0], false
	for i, v := range f.Values[1:] {
		if base.Runs == 0 || v.Runs == 0 {
			continue
		}
		rows.Sides, rows.Texts = append(rows.Sides, i+1), append(rows.Texts, ratioText(f, base, v))
		worth = worth || v.Ratio > 0 || v.Median != base.Median
	}
	if !worth {
		return guideRows{}
	}
	return rows
}

// ratioText is the ratio as in the table; where there is none, the two figures.
func ratioText(f ComparedFigure, base, v ComparedValue) string {
	text := strings.TrimSpace(ratioCell(v))
	if v.Ratio == 0 {
		return strings.Replace(text, "-", valueCell(f, base)+" → "+valueCell(f, v), 1)
	}
	return text
}

// comparedClassView is what the template shows of one class.
type comparedClassView struct {
	ComparedClass
	Shared   bool
	Having   []int // the files that have it
	HasRatio bool
	// Odd says which files lack a class that is shared, have no answer of it, or are
	// no results.
	Odd     []string
	InWords struct{ Curves, Ratios string }
}

func (c *Comparison) classViews(guide comparisonGuide) []comparedClassView {
	var views []comparedClassView
	for i, class := range c.Classes {
		view := comparedClassView{ComparedClass: class, Shared: guide.Classes[i].Shared, Having: class.having(), HasRatio: len(guide.Classes[i].Ratios) > 0}
		view.Odd = c.oddities(view)
		view.InWords.Curves = c.comparedInWords(class)
		view.InWords.Ratios = c.ratiosInWords(class, guide.Classes[i])
		views = append(views, view)
	}
	return views
}

// oddities tells what several files have in common once.
func (c *Comparison) oddities(view comparedClassView) []string {
	var odd []string
	add := func(one, several string, of func(side int) string) {
		var names, texts []string
		for side, f := range c.Files {
			names, texts = append(names, f.title()), append(texts, of(side))
		}
		for _, r := range fold(names, texts) {
			odd = append(odd, r.sentence(one, several))
		}
	}
	has := func(side int) bool { return slices.Contains(view.Having, side) }
	add("does", "do", func(side int) string {
		if has(side) || !view.Shared {
			return ""
		}
		return "not have this class."
	})
	add("is", "are", func(side int) string {
		if state := c.Files[side].Verdict.State; has(side) && state != loadgen.Valid {
			return string(state) + ", no result" + dashedText(view, side)
		}
		return ""
	})
	add("has", "have", func(side int) string {
		switch curve := view.Curves[side]; {
		case !has(side):
			return ""
		case curve.Runs == 0:
			return "no answer of this class."
		case len(curve.Points) == 0:
			return "no curve of this class."
		}
		return ""
	})
	return odd
}

// dashedText says what in the plots is of a file that is no result.
func dashedText(view comparedClassView, side int) string {
	switch {
	case !view.Shared:
		return "."
	case side == 0 && view.HasRatio:
		return ": the curve is dashed, and all ratios are to it."
	}
	return ": dashed in the plots."
}

// comparedInWords is what those who can't see the curves are told.
func (c *Comparison) comparedInWords(class ComparedClass) string {
	figure := func(name string, side int) string {
		for _, f := range class.Figures {
			if f.Name == name {
				return valueCell(f, f.Values[side])
			}
		}
		return "-"
	}
	var parts []string
	for side, f := range c.Files {
		if class.Curves[side].Runs > 0 {
			parts = append(parts, fmt.Sprintf("%s: half within %s ms, 99 %% within %s ms", f.title(), figure("p50", side), figure("p99", side)))
		}
	}
	return strings.Join(parts, "; ")
}

// ratiosInWords is what those who can't see the ratios are told.
func (c *Comparison) ratiosInWords(class ComparedClass, guide guideClass) string {
	var parts []string
	for _, rows := range guide.Ratios {
		for i, side := range rows.Sides {
			if class.Figures[rows.Figure].Values[side].Difference == DifferenceReal {
				parts = append(parts, fmt.Sprintf("%s of %s %s", rows.Label, c.Files[side].title(), rows.Texts[i]))
			}
		}
	}
	if len(parts) == 0 {
		return "No difference is more than noise"
	}
	return "More than noise: " + strings.Join(parts, "; ")
}
