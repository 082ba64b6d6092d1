// Package picture gives the pictures of the docs one look. What measures draws
// its own curves with gonum/plot.
package picture

import (
	"errors"
	"image/color"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// Colors tell curves apart. The first is Overtake's.
var Colors = []color.Color{
	color.RGBA{R: 0x1f, G: 0x5f, B: 0xbf, A: 0xff},
	color.RGBA{R: 0xc0, G: 0x50, B: 0x28, A: 0xff},
	color.RGBA{R: 0x2e, G: 0x8b, B: 0x57, A: 0xff},
	color.RGBA{R: 0x7d, G: 0x3c, B: 0x98, A: 0xff},
}

// Gray is for what the curves are compared with.
var Gray = color.RGBA{R: 0x8a, G: 0x9b, B: 0xb0, A: 0xff}

// New returns an empty plot with a title, the labels of its axes and a grid.
func New(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.X.Min = 0
	p.Legend.Padding = 2 * vg.Millimeter
	p.Add(plotter.NewGrid())
	return p
}

// Save draws p into a PNG file.
func Save(p *plot.Plot, file string) error {
	canvas := newCanvas(16*vg.Centimeter, 11*vg.Centimeter)
	p.Draw(draw.New(canvas))
	return write(canvas, file)
}

// SaveRow draws plots side by side into a PNG file, with their axes in line.
func SaveRow(file string, plots ...*plot.Plot) error {
	canvas := newCanvas(vg.Length(len(plots))*12*vg.Centimeter, 11*vg.Centimeter)
	tiles := draw.Tiles{Rows: 1, Cols: len(plots), PadX: 5 * vg.Millimeter}
	for i, c := range plot.Align([][]*plot.Plot{plots}, tiles, draw.New(canvas))[0] {
		plots[i].Draw(c)
	}
	return write(canvas, file)
}

func newCanvas(width, height vg.Length) *vgimg.Canvas {
	return vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(160))
}

func write(canvas *vgimg.Canvas, file string) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = vgimg.PngCanvas{Canvas: canvas}.WriteTo(out)
	return errors.Join(err, out.Close())
}
