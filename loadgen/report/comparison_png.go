package report

import (
	"io"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"overtake/loadgen"
)

// mostPictured bounds the classes in a picture, which is as high as they need.
const mostPictured = 6

// WriteComparisonPNG draws what is plotted on the page of the comparison: for each
// of the first classes that the files share the curves with their bands, and the
// ratios to the first file.
func WriteComparisonPNG(w io.Writer, c *Comparison) error {
	guide := newComparisonGuide(c)
	var titles []string
	state := loadgen.Valid
	for _, f := range c.Files {
		titles = append(titles, f.title())
		if f.Verdict.State != loadgen.Valid {
			state = f.Verdict.State
		}
	}
	var rows [][]*plot.Plot
	for i, class := range c.Classes {
		if guide.Classes[i].Shared && len(rows) < mostPictured {
			rows = append(rows, []*plot.Plot{curvesPicture(class, guide), ratiosPicture(class, guide, guide.Classes[i])})
		}
	}
	title := strings.Join(titles, " against ")
	if len(rows) == 0 {
		title = "No class in common: " + title
	}
	return drawPicture(w, pictureTitle(state, title), rows)
}

// sideStyle is dashed for a file that is no result.
func sideStyle(guide comparisonGuide, side int) draw.LineStyle {
	style := draw.LineStyle{Color: shade(guide.Palette.Light, side), Width: vg.Points(2.2)}
	if guide.Sides[side].NoResult != "" {
		style.Dashes = []vg.Length{8, 5}
	}
	return style
}

// glyphs are the shapes of the files: full for a difference that is real, hollow for
// others.
var glyphs = []struct{ full, hollow draw.GlyphDrawer }{
	{draw.CircleGlyph{}, draw.RingGlyph{}}, {draw.BoxGlyph{}, draw.SquareGlyph{}}, {draw.PyramidGlyph{}, draw.TriangleGlyph{}},
}

func curvesPicture(class ComparedClass, guide comparisonGuide) *plot.Plot {
	p := newCurvePlot(shortened(comparedLabel(class), 80), "latency: median over the runs; band: least to most")
	lines := make([]plotter.XYs, len(class.Curves))
	for side, curve := range class.Curves {
		var bands [3]plotter.XYs
		for i, of := range []func(ComparedPoint) loadgen.Millis{
			func(p ComparedPoint) loadgen.Millis { return p.Min },
			func(p ComparedPoint) loadgen.Millis { return p.Max },
			func(p ComparedPoint) loadgen.Millis { return p.Median },
		} {
			var points []loadgen.CurvePoint
			for _, point := range curve.Points {
				points = append(points, loadgen.CurvePoint{Percentile: point.Percentile, Latency: of(point)})
			}
			bands[i] = curvePoints(points, curve.Count)
		}
		lines[side] = bands[2]
		if len(bands[0]) > 0 {
			slices.Reverse(bands[1])
			color := shade(guide.Palette.Light, side)
			color.R, color.G, color.B, color.A = color.R/5, color.G/5, color.B/5, 0xff/5 // of a premultiplied fifth
			p.Add(&plotter.Polygon{XYs: []plotter.XYs{append(bands[0], bands[1]...)}, Color: color})
		}
	}
	for side, line := range lines {
		label := guide.Sides[side].Label
		if state := guide.Sides[side].NoResult; state != "" {
			label = string(state) + ": " + label
		}
		addLine(p, line, sideStyle(guide, side), shortened(label, 60))
	}
	logScale(p)
	return p
}

// ratiosPicture has a row for each figure and file; what the table has for it stands
// at its left.
func ratiosPicture(class ComparedClass, guide comparisonGuide, of guideClass) *plot.Plot {
	p := newPlot("Ratio to "+shortened(guide.Sides[0].Label, 60), "full: more than noise; ~ may be noise; ? too few runs", "")
	p.X.Min, p.X.Max = 0.8, 1.25
	var ticks []plot.Tick
	for _, rows := range of.Ratios {
		for i, side := range rows.Sides {
			y := -float64(len(ticks))
			label := rows.Texts[i]
			if i == 0 {
				label = rows.Label + "   " + label
			}
			ticks = append(ticks, plot.Tick{Value: y, Label: label})
			addRatio(p, class.Figures[rows.Figure].Values[side], y, sideStyle(guide, side), glyphs[side%len(glyphs)])
		}
	}
	p.Y.Min, p.Y.Max = -float64(max(len(ticks), 1))+0.5, 0.5
	p.Y.Tick.Marker = plot.ConstantTicks(ticks)
	logAxis(&p.X, func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) + "x" })
	addLine(p, plotter.XYs{{X: 1, Y: p.Y.Min}, {X: 1, Y: p.Y.Max}}, draw.LineStyle{Color: pictureGray, Width: vg.Points(1)}, "")
	return p
}

func addRatio(p *plot.Plot, v ComparedValue, y float64, style draw.LineStyle, glyph struct{ full, hollow draw.GlyphDrawer }) {
	if v.Ratio <= 0 {
		return
	}
	if v.RatioLow > 0 {
		style.Dashes = nil // it may be short
		addLine(p, plotter.XYs{{X: v.RatioLow, Y: y}, {X: v.RatioHigh, Y: y}}, style, "")
	}
	shape := glyph.hollow
	if v.Difference == DifferenceReal {
		shape = glyph.full
	}
	p.Add(&plotter.Scatter{XYs: plotter.XYs{{X: v.Ratio, Y: y}}, GlyphStyle: draw.GlyphStyle{Color: style.Color, Radius: vg.Points(6), Shape: shape}})
}
