package report

import (
	"io"
	"slices"
	"strconv"

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
	state := loadgen.Valid
	for _, f := range c.Files {
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
	title := c.heading()
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

// glyph is the shape of a file: full for a difference that is real, hollow for others.
type glyph struct{ full, hollow draw.GlyphDrawer }

// glyphs are the shapes of the page.
var glyphs = []glyph{
	{draw.CircleGlyph{}, draw.RingGlyph{}}, {draw.BoxGlyph{}, draw.SquareGlyph{}}, {draw.PyramidGlyph{}, draw.TriangleGlyph{}},
	polygon(vg.Point{Y: 1.2}, vg.Point{X: 1.2}, vg.Point{Y: -1.2}, vg.Point{X: -1.2}), // a diamond
	polygon(vg.Point{X: -1, Y: 0.8}, vg.Point{X: 1, Y: 0.8}, vg.Point{Y: -0.8}),       // a triangle that stands on its tip
}

// polygonGlyph has its corners in radii from its middle.
type polygonGlyph struct {
	corners []vg.Point
	full    bool
}

func polygon(corners ...vg.Point) glyph {
	return glyph{polygonGlyph{corners, true}, polygonGlyph{corners, false}}
}

// DrawGlyph implements [draw.GlyphDrawer].
func (g polygonGlyph) DrawGlyph(c *draw.Canvas, style draw.GlyphStyle, at vg.Point) {
	var path vg.Path
	path.Move(at.Add(g.corners[0].Scale(style.Radius)))
	for _, corner := range g.corners[1:] {
		path.Line(at.Add(corner.Scale(style.Radius)))
	}
	path.Close()
	if g.full {
		c.Fill(path)
	} else {
		c.SetLineStyle(draw.LineStyle{Color: style.Color, Width: vg.Points(0.5)})
		c.Stroke(path)
	}
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
		if len(line) == 0 {
			continue
		}
		style := sideStyle(guide, side)
		curve := &plotter.Line{XYs: line, LineStyle: style}
		marks := &plotter.Scatter{GlyphStyle: draw.GlyphStyle{Color: style.Color, Radius: vg.Points(4.5), Shape: glyphs[side%len(glyphs)].full}}
		for i, point := range class.Curves[side].Points {
			if point.Percentile < 100 && figurePercentiles[point.Percentile] != nil {
				marks.XYs = append(marks.XYs, line[i])
			}
		}
		p.Add(curve, marks)
		p.Legend.Add(shortened(label, 60), curve, marks)
	}
	logScale(p)
	return p
}

// ratiosPicture has a row for each figure and file; what the table has for it stands
// at its left.
func ratiosPicture(class ComparedClass, guide comparisonGuide, of guideClass) *plot.Plot {
	p := newPlot("Ratio to "+shortened(guide.Sides[0].Label, 60), "full: more than noise; ~ may be noise; ? too few runs; ^ too few answers", "")
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

func addRatio(p *plot.Plot, v ComparedValue, y float64, style draw.LineStyle, shapes glyph) {
	if v.Ratio <= 0 {
		return
	}
	if v.RatioLow > 0 {
		if style.Dashes != nil {
			style.Dashes = []vg.Length{4, 3} // it may be short
		}
		addLine(p, plotter.XYs{{X: v.RatioLow, Y: y}, {X: v.RatioHigh, Y: y}}, style, "")
	}
	shape := shapes.hollow
	if v.Difference == DifferenceReal {
		shape = shapes.full
	}
	p.Add(&plotter.Scatter{XYs: plotter.XYs{{X: v.Ratio, Y: y}}, GlyphStyle: draw.GlyphStyle{Color: style.Color, Radius: vg.Points(6), Shape: shape}})
}
