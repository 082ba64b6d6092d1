package scheduler

import (
	"errors"
	"image/color"
	"math"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
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
		align text.XAlignment
		right vg.Length // of the point
	}{
		{
			"fixed reserve", fixed, color.RGBA{R: 0xc0, G: 0x50, B: 0x28, A: 0xff}, draw.BoxGlyph{},
			func(o tradeOff) string { return o.name }, draw.XLeft, vg.Points(7),
		},
		{
			"reserve: auto, objective", auto, color.RGBA{R: 0x1f, G: 0x5f, B: 0xbf, A: 0xff}, draw.CircleGlyph{},
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
	canvas := vgimg.NewWith(vgimg.UseWH(16*vg.Centimeter, 11*vg.Centimeter), vgimg.UseDPI(160))
	p.Draw(draw.New(canvas))
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = vgimg.PngCanvas{Canvas: canvas}.WriteTo(out)
	return errors.Join(err, out.Close())
}
