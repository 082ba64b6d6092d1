package scheduler

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// drawFront draws both kinds of reserves into a PNG file: better is further up
// and further left.
func drawFront(file, title string, fixed front, auto []tradeOff) error {
	p := plot.New()
	p.Title.Text = "8 workers, twice the load, " + title
	p.X.Label.Text = "interactive p99, ms"
	p.Y.Label.Text = "batch requests done per second"
	p.X.Min = 0
	p.Legend.Left, p.Legend.Top = false, false
	p.Legend.Padding = 2 * vg.Millimeter
	p.Add(plotter.NewGrid())
	for _, side := range []struct {
		name  string
		all   []tradeOff
		color color.Color
		shape draw.GlyphDrawer
		label func(tradeOff) string
	}{
		{"fixed reserve", fixed, color.RGBA{R: 0xc0, G: 0x50, B: 0x28, A: 0xff}, draw.BoxGlyph{}, func(o tradeOff) string { return o.name }},
		{"reserve: auto", auto, color.RGBA{R: 0x1f, G: 0x5f, B: 0xbf, A: 0xff}, draw.CircleGlyph{}, func(o tradeOff) string { return o.name[len("auto, objective "):] }},
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
		labels.Offset = vg.Point{X: vg.Points(6), Y: vg.Points(-10)}
		for i := range labels.TextStyle {
			labels.TextStyle[i].Color = side.color
		}
		p.Add(line, marks, labels)
		p.Legend.Add(side.name, line, marks)
	}
	return p.Save(16*vg.Centimeter, 11*vg.Centimeter, file)
}
