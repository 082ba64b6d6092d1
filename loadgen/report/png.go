package report

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"overtake/loadgen"
)

// A picture is 1600x900 pixels for each row of plots.
const (
	pictureDPI    = 100
	pictureWidth  = 16 * vg.Inch
	pictureHeight = 9 * vg.Inch
)

// WritePNG draws the percentile curves and the p99 over time of each class in
// each condition, of the run whose p99 is in the middle. A thin line is the service time, which
// counts from the real start: where it lies far below, requests waited to be
// sent.
func WritePNG(w io.Writer, r *loadgen.Report) error {
	groups := groupRuns(r)
	names := classNames(groups)
	of := ""
	if slices.ContainsFunc(groups, group.repeated) {
		of = ", of the run whose p99 is in the middle"
	}
	curves, seconds := newCurvePlot("Latency by percentile"+of, "latency from the intended start; thin: service time"), newTimePlot("p99 over time"+of)
	for i, g := range groups {
		for _, m := range g.classes {
			style := lineStyle(names, m.result.Name, i, len(groups))
			addLine(curves, curvePoints(m.result.ServiceCurve, m.result.Service.Count), thin(style), "")
			label := m.result.Name
			if len(groups) > 1 {
				label += ", " + g.condition
			}
			addLine(curves, curvePoints(m.result.Curve, m.result.Latency.Count), style, label)
			addSeconds(seconds, m.result.Series, style, label)
		}
	}
	logScale(curves)
	logScale(seconds)
	return drawPicture(w, pictureTitle(r.Verdict.State, pageTitle(r)), [][]*plot.Plot{{curves, seconds}})
}

// drawPicture draws rows of two plots below a title.
func drawPicture(w io.Writer, title string, rows [][]*plot.Plot) error {
	height := pictureHeight * vg.Length(max(len(rows), 1))
	canvas := vgimg.NewWith(vgimg.UseWH(pictureWidth, height), vgimg.UseDPI(pictureDPI))
	page := draw.New(canvas)
	tiles := draw.Tiles{Rows: max(len(rows), 1), Cols: 2, PadTop: vg.Points(54), PadBottom: vg.Points(18), PadLeft: vg.Points(18), PadRight: vg.Points(24), PadX: vg.Points(30), PadY: vg.Points(30)}
	const longest = 120
	page.FillText(titleStyle(newPlot("", "", ""), 18), vg.Point{X: vg.Points(24), Y: page.Max.Y - vg.Points(34)}, shortened(title, longest))
	for y, row := range rows {
		for x, p := range row {
			p.Draw(tiles.At(page, x, y))
		}
	}
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(w); err != nil {
		return fmt.Errorf("report: png: %w", err)
	}
	return nil
}

// pictureTitle says, unless it is one, that it is no result.
func pictureTitle(state loadgen.VerdictState, title string) string {
	if state != loadgen.Valid {
		return string(state) + ", not a result: " + title
	}
	return title
}

func shortened(text string, longest int) string {
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest-1]) + "…"
	}
	return text
}

func titleStyle(p *plot.Plot, size float64) draw.TextStyle {
	style := p.Title.TextStyle
	style.Font.Size = font.Length(size)
	style.XAlign, style.YAlign = draw.XLeft, draw.YBottom
	return style
}

func newCurvePlot(title, y string) *plot.Plot {
	p := newPlot(title, "share of the answers that took at most this long", y)
	p.X.Tick.Marker = plot.TickerFunc(func(_, most float64) []plot.Tick {
		ticks := []plot.Tick{{Value: 0, Label: "0 %"}}
		for n := 1; float64(n) <= math.Ceil(most); n++ {
			label := strconv.FormatFloat(100-math.Pow(10, float64(2-n)), 'f', max(0, n-2), 64) + " %"
			ticks = append(ticks, plot.Tick{Value: float64(n), Label: label})
		}
		return ticks
	})
	return p
}

func newTimePlot(title string) *plot.Plot {
	p := newPlot(title, "seconds since the warm-up", "latency of the answers in that second")
	p.X.Tick.Marker = plot.TickerFunc(secondTicks)
	return p
}

func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.TextStyle.Font.Size, p.Title.Padding = 15, vg.Points(10)
	for _, text := range []*draw.TextStyle{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		text.Font.Variant = "Sans"
	}
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font.Size, axis.Tick.Label.Font.Size = 13, 12
		axis.Label.Padding, axis.LineStyle.Color = vg.Points(6), pictureGray
		axis.Tick.LineStyle.Color = pictureGray
	}
	p.X.Min = 0
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.TextStyle.Font.Size, p.Legend.Padding = 12, vg.Points(4)
	p.Legend.ThumbnailWidth, p.Legend.XOffs, p.Legend.YOffs = vg.Points(34), vg.Points(10), -vg.Points(8)
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = pictureRule, pictureRule
	p.Add(grid)
	return p
}

// secondTicks labels whole seconds, about eight of them.
func secondTicks(_, most float64) []plot.Tick {
	step := 1.0
	for most/step > 8 {
		step = roundAbove(step)
	}
	var ticks []plot.Tick
	for value := 0.0; value <= most; value += step {
		ticks = append(ticks, plot.Tick{Value: value, Label: strconv.FormatFloat(value, 'f', -1, 64)})
	}
	return ticks
}

var (
	pictureGray = color.RGBA{R: 0x59, G: 0x61, B: 0x6e, A: 0xff}
	pictureRule = color.RGBA{R: 0xdf, G: 0xe3, B: 0xe9, A: 0xff}
)

// lineStyle has a colour for each class and a dash for each condition; the last
// condition is solid.
func lineStyle(names []string, class string, condition, conditions int) draw.LineStyle {
	style := draw.LineStyle{Color: colours.light(names, class), Width: vg.Points(2.2)}
	dashes := [][]vg.Length{{8, 5}, {2, 4}, {10, 4, 2, 4}}
	if condition < conditions-1 {
		style.Dashes = dashes[condition%len(dashes)]
	}
	return style
}

func thin(style draw.LineStyle) draw.LineStyle {
	style.Width = vg.Points(0.8)
	return style
}

// smallest and largest, in ms, are what a log scale shows for less and for more: the
// resolution of the histograms, and what no run took. A report may come from anywhere.
const smallest, largest = 0.001, 1e12

func onLogScale(m loadgen.Millis) float64 { return min(max(float64(m), smallest), largest) }

// curvePoints puts the maximum where the last of count answers lies: 100 % would be
// infinitely far to the right.
func curvePoints(curve []loadgen.CurvePoint, count int64) plotter.XYs {
	var points plotter.XYs
	for _, c := range curve {
		if c.Percentile < 0 || c.Percentile > 100 {
			continue
		}
		at := -math.Log10(1 - c.Percentile/100)
		if c.Percentile == 100 {
			at = math.Log10(float64(max(count, 1)))
			if n := len(points); n > 0 {
				at = max(at, points[n-1].X)
			}
		}
		points = append(points, plotter.XY{X: at, Y: onLogScale(c.Latency)})
	}
	return points
}

// timeLines are the p99s of seconds with an answer, a line for each row of such seconds.
func timeLines(series []loadgen.Second) []plotter.XYs {
	var lines []plotter.XYs
	last := math.MinInt
	for _, s := range series {
		if s.Done <= 0 {
			continue
		}
		if len(lines) == 0 || s.Second != last+1 {
			lines = append(lines, nil)
		}
		at := &lines[len(lines)-1]
		*at, last = append(*at, plotter.XY{X: float64(s.Second), Y: onLogScale(s.P99)}), s.Second
	}
	return lines
}

// addSeconds draws no line over seconds without an answer, and a dot for a second
// between two of those.
func addSeconds(p *plot.Plot, series []loadgen.Second, style draw.LineStyle, label string) {
	for i, points := range timeLines(series) {
		if len(points) == 1 {
			p.Add(&plotter.Scatter{XYs: points, GlyphStyle: draw.GlyphStyle{Color: style.Color, Radius: vg.Points(4), Shape: draw.CircleGlyph{}}})
		} else {
			addLine(p, points, style, "")
		}
		if i == 0 {
			p.Legend.Add(label, &plotter.Line{LineStyle: style})
		}
	}
}

// addLine leaves out a line without points. A label of "" is not in the legend.
func addLine(p *plot.Plot, points plotter.XYs, style draw.LineStyle, label string) {
	if len(points) == 0 {
		return
	}
	line := &plotter.Line{XYs: points, LineStyle: style}
	p.Add(line)
	if label != "" {
		p.Legend.Add(label, line)
	}
}

// logScale makes the scale of latencies logarithmic, between round values.
// Without data it shows 1 ms to 1 s.
func logScale(p *plot.Plot) {
	if p.Y.Min > p.Y.Max || p.Y.Max <= 0 {
		p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 1, 1000
	}
	p.X.Max = max(p.X.Max, 1)
	logAxis(&p.Y, latencyLabel)
}

// logAxis labels the decades, and on a short scale 2 and 5 too.
func logAxis(axis *plot.Axis, label func(float64) string) {
	axis.Min, axis.Max = roundBelow(axis.Min), roundAbove(axis.Max)
	axis.Scale = plot.LogScale{}
	axis.Tick.Marker = plot.TickerFunc(func(least, most float64) []plot.Tick { return logTicks(least, most, label) })
}

func logTicks(least, most float64, label func(float64) string) []plot.Tick {
	const short = 1000
	var ticks []plot.Tick
	for decade := math.Pow(10, math.Floor(math.Log10(least)+1e-9)); decade <= most*1.01; decade *= 10 {
		for n := 1.0; n < 10; n++ {
			value := n * decade
			if value < least*0.99 || value > most*1.01 {
				continue
			}
			tick := plot.Tick{Value: value}
			if n == 1 || most/least < short && (n == 2 || n == 5) {
				tick.Label = label(value)
			}
			ticks = append(ticks, tick)
		}
	}
	return ticks
}

// roundBelow returns the next value of 1, 2 or 5 times a power of ten that is
// smaller; roundAbove the next larger.
func roundBelow(v float64) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{5, 2} {
		if n*decade < v {
			return n * decade
		}
	}
	return decade
}

func roundAbove(v float64) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{2, 5} {
		if n*decade > v {
			return n * decade
		}
	}
	return 10 * decade
}

func latencyLabel(ms float64) string {
	switch {
	case ms < 0.95:
		return fmt.Sprintf("%.0f µs", ms*1000)
	case ms < 950:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.0f s", ms/1000)
}
