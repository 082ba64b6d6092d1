//go:build e2e

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"overtake/docs/picture"
	"overtake/loadgen"
)

// libraryRow is what was measured of one side under one load, round by round.
type libraryRow struct {
	Side        string         `json:"side"`
	Rate        float64        `json:"rate_per_second"` // of each class
	Link        []float64      `json:"link_share"`      // of its rate, in use from the other host
	Interactive libraryFigures `json:"interactive"`
	Batch       libraryFigures `json:"batch"`
	Valid       int            `json:"valid_rounds"`
	Trouble     []string       `json:"trouble,omitempty"` // why a round is no result
}

type libraryFigures struct {
	P50  []float64 `json:"p50_ms"`
	P99  []float64 `json:"p99_ms"`
	Done []float64 `json:"done_per_second"`
}

// TestBenchLibrary measures the paper's e-library, without classes and with them, as
// the load grows until the link is nearly full.
func TestBenchLibrary(t *testing.T) {
	back := onOtherHost(t, byLink)
	if back == "" {
		return
	}
	var rows []*libraryRow
	for _, rate := range libraryLoads {
		for _, side := range librarySides {
			rows = append(rows, &libraryRow{Side: side.name, Rate: rate})
		}
	}
	for round := range *benchRounds {
		for i, side := range librarySides {
			l := startLibrary(t, back, side)
			for j := range libraryLoads {
				row := rows[j*len(librarySides)+i]
				row.measure(t, l, round)
				fmt.Printf("round %d of %d: %s, %v/s each: interactive p50 %.1f ms, p99 %.1f ms, batch p50 %.1f ms, p99 %.1f ms, link %.0f %%\n",
					round+1, *benchRounds, side.name, row.Rate, row.Interactive.P50[round], row.Interactive.P99[round],
					row.Batch.P50[round], row.Batch.P99[round], 100*row.Link[round])
			}
			l.stop(t)
			l.checkHops(t)
		}
	}
	table := libraryTable(rows)
	fmt.Print("\n" + table)
	saveBench(t, "e-library", table, rows)
	libraryPicture(t, rows)
}

// measure does one round under the load of the row. A run that the generator was late in
// is made again, at most loadTries times in all.
func (r *libraryRow) measure(t *testing.T, l *library, round int) {
	t.Helper()
	var run loadgen.RunResult
	var link float64
	for try := 0; try < loadTries && run.Verdict.State != loadgen.Valid; try++ {
		before, start := receivedBytes(t), time.Now()
		run = l.load(t, r.Rate, *benchMeasure, uint64(round+1))
		link = float64(receivedBytes(t)-before) * 8 / time.Since(start).Seconds() / libraryLink
	}
	r.Link = append(r.Link, link)
	for _, class := range run.Classes {
		figures := map[string]*libraryFigures{"interactive": &r.Interactive, "batch": &r.Batch}[class.Name]
		figures.P50 = append(figures.P50, float64(class.Latency.P50))
		figures.P99 = append(figures.P99, float64(class.Latency.P99))
		figures.Done = append(figures.Done, class.DonePerSecond)
		if class.OK < class.Sent {
			r.Trouble = append(r.Trouble, fmt.Sprintf("round %d: %d of %d %s requests answered", round+1, class.OK, class.Sent, class.Name))
		}
	}
	if run.Verdict.State == loadgen.Valid {
		r.Valid++
	} else {
		r.Trouble = append(r.Trouble, fmt.Sprintf("round %d: %s", round+1, run.Verdict))
	}
}

// receivedBytes is how many bytes have come over the link.
func receivedBytes(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/sys/class/net/eth0/statistics/rx_bytes")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// libraryTable shows the rows; those of one load follow each other, without classes first.
func libraryTable(rows []*libraryRow) string {
	var b strings.Builder
	b.WriteString("| requests/s, of each | link in use | | interactive p50 / p99 ms | batch p50 / p99 ms | done/s | verdict |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for i, r := range rows {
		rate, without := "", rows[i-i%len(librarySides)]
		if r == without {
			rate = fmt.Sprint(r.Rate)
		}
		verdict := "VALID"
		if r.Valid < *benchRounds {
			verdict = fmt.Sprintf("%d of %d rounds VALID", r.Valid, *benchRounds)
		}
		fmt.Fprintf(&b, "| %s | %.0f %% | %s | %.1f / %.1f | %.0f / %.0f | %.1f, %.1f | %s |\n", rate, 100*medianOf(r.Link), r.Side,
			medianOf(r.Interactive.P50), medianOf(r.Interactive.P99), medianOf(r.Batch.P50), medianOf(r.Batch.P99),
			medianOf(r.Interactive.Done), medianOf(r.Batch.Done), verdict)
		if r != without {
			fmt.Fprintf(&b, "| | | with to without | %s / %s | %s / %s | | |\n",
				ratioCell(ratios(r.Interactive.P50, without.Interactive.P50), 0), ratioCell(ratios(r.Interactive.P99, without.Interactive.P99), 0),
				ratioCell(ratios(r.Batch.P50, without.Batch.P50), 0), ratioCell(ratios(r.Batch.P99, without.Batch.P99), 0))
		}
	}
	for _, r := range rows {
		for _, trouble := range r.Trouble {
			fmt.Fprintf(&b, "\nNOT A RESULT: %v/s %s, %s\n", r.Rate, r.Side, trouble)
		}
	}
	fmt.Fprintf(&b, "\nMedians of %d rounds of %v, in turns; in brackets the least and the most.\n", *benchRounds, *benchMeasure)
	return b.String()
}

// libraryPicture draws the median over the load beside the p99, as the paper does; each
// point is the median of the rounds.
func libraryPicture(t *testing.T, rows []*libraryRow) {
	t.Helper()
	file := filepath.Join(*benchOut, "e-library.png")
	err := picture.SaveRow(file,
		libraryPanel(t, "p50", rows, func(f libraryFigures) []float64 { return f.P50 }),
		libraryPanel(t, "p99", rows, func(f libraryFigures) []float64 { return f.P99 }))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("saved: %s\n", file)
}

func libraryPanel(t *testing.T, title string, rows []*libraryRow, figure func(libraryFigures) []float64) *plot.Plot {
	t.Helper()
	p := picture.New(title, "requests per second, of each class", "from request to answer, ms")
	p.Y.Scale, p.Y.Tick.Marker, p.Y.Min, p.Y.Max = plot.LogScale{}, plot.LogTicks{Prec: -1}, 1, 10_000
	p.Legend.Top, p.Legend.Left, p.Legend.TextStyle.Font.Size = true, true, vg.Points(10)
	p.Legend.Padding = vg.Millimeter / 2
	var ticks plot.ConstantTicks
	for _, rate := range libraryLoads {
		ticks = append(ticks, plot.Tick{Value: rate, Label: fmt.Sprint(rate)})
	}
	p.X.Tick.Marker, p.X.Max = ticks, libraryLoads[len(libraryLoads)-1]+2
	for i, side := range librarySides {
		batch, interactive := plotter.XYs{}, plotter.XYs{}
		for j := i; j < len(rows); j += len(librarySides) {
			r := rows[j]
			batch = append(batch, plotter.XY{X: r.Rate, Y: max(medianOf(figure(r.Batch)), p.Y.Min)})
			interactive = append(interactive, plotter.XY{X: r.Rate, Y: max(medianOf(figure(r.Interactive)), p.Y.Min)})
		}
		thin, thinDots, err := plotter.NewLinePoints(batch)
		if err != nil {
			t.Fatal(err)
		}
		thick, dots, err := plotter.NewLinePoints(interactive)
		if err != nil {
			t.Fatal(err)
		}
		thin.Color, thin.Width, thin.Dashes = picture.Colors[1-i], vg.Points(0.7), []vg.Length{vg.Points(3), vg.Points(3)}
		thinDots.Color, thinDots.Radius = thin.Color, vg.Points(1)
		thick.Color, thick.Width = thin.Color, vg.Points(2)
		dots.Color, dots.Radius = thin.Color, vg.Points(2.5)
		p.Add(thin, thinDots, thick, dots)
		p.Legend.Add("interactive, "+side.name, thick)
		p.Legend.Add("batch, "+side.name, thin)
	}
	return p
}
