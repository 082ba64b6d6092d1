package scheduler

import (
	"image/color"
	"math"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"overtake/docs/picture"
)

// drawFront draws both kinds of reserves into a PNG file: better is further up
// and further left.
func drawFront(file, title string, fixed front, auto []tradeOff) error {
	p := picture.New("8 workers, twice the load, "+title, "interactive p99, ms", "batch requests done per second")
	for _, side := range []struct {
		name  string
		all   []tradeOff
		color color.Color
		shape draw.GlyphDrawer
		label func(tradeOff) string
		align text.XAlignment
		right vg.Length // of the point
	}{
		{
			"fixed reserve", fixed, picture.Colors[1], draw.BoxGlyph{},
			func(o tradeOff) string { return o.name }, draw.XLeft, vg.Points(7),
		},
		{
			"reserve: auto, objective", auto, picture.Colors[0], draw.CircleGlyph{},
			func(o tradeOff) string { return o.name[len("auto, objective "):] }, draw.XRight, vg.Points(-7),
		},
	} {
		points := plotter.XYLabels{}
		for _, o := range side.all {
			points.XYs = append(points.XYs, plotter.XY{X: milliseconds(o.p99), Y: o.batch})
			points.Labels = append(points.Labels, side.label(o))
		}
		line, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return err
		}
		line.Color, marks.Color, marks.Shape, marks.Radius = side.color, side.color, side.shape, vg.Points(4)
		labels, err := plotter.NewLabels(points)
		if err != nil {
			return err
		}
		labels.Offset.X = side.right
		for i := range labels.TextStyle {
			style := &labels.TextStyle[i]
			style.Color, style.XAlign, style.YAlign = side.color, side.align, draw.YCenter
		}
		p.Add(line, marks, labels)
		p.Legend.Add(side.name, line, marks)
	}
	p.X.Max = 10 * math.Ceil(0.112*p.X.Max) // a round number, with room for the last label
	return picture.Save(p, file)
}
