//go:build e2e

package main

import (
	"fmt"
	"image/color"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"overtake/docs/picture"
)

// reference is the row with the same congestion control and no marks.
func (p *kernelPart) reference(r *kernelRow) *kernelRow {
	name := "without marks"
	if strings.HasSuffix(r.Name, "BBR") {
		name += ", batch BBR"
	}
	return p.Rows[slices.IndexFunc(p.Rows, func(r *kernelRow) bool { return r.Name == name })]
}

// table shows the part, and whether marks keep the goals.
func (p *kernelPart) table(b *strings.Builder) {
	fmt.Fprintf(b, "| %s | interactive p50 / p99 ms | p99 to idle | batch, share of the link | to without marks |\n| --- | --- | --- | --- | --- |\n", p.Name)
	for _, r := range p.Rows {
		if medianOf(r.P99) == 0 {
			fmt.Fprintf(b, "| %s | **none answered** | | %.1f %% | |\n", r.Name, 100*medianOf(r.Batch)/linkRate)
			continue
		}
		fmt.Fprintf(b, "| %s | %.2f / %.2f |", r.Name, medianOf(r.P50), medianOf(r.P99))
		if r.side.idle {
			b.WriteString(" | | |\n")
			continue
		}
		goal := 0.0
		if r.side.interactive == marked && !p.routed {
			goal = goalBesideBatch
		}
		fmt.Fprintf(b, " %s | %.1f %% |", ratioCell(ratios(r.P99, p.Rows[0].P99), goal), 100*medianOf(r.Batch)/linkRate)
		if goal > 0 {
			share := ratios(r.Batch, p.reference(r).Batch)
			fmt.Fprintf(b, " %s%s", ratioCell(share, 0), verdictOf(medianOf(share) >= goalLinkUse))
		}
		b.WriteString(" |\n")
	}
	for _, r := range p.Rows {
		for _, trouble := range r.Trouble {
			fmt.Fprintf(b, "\nNOT A RESULT: %s, %s\n", r.Name, trouble)
		}
	}
	fmt.Fprintf(b, "\nMedians of %d rounds of %v; in brackets the least and the most.\n\n", *benchRounds, *benchMeasure)
}

// picture draws which part of the interactive requests was answered in what time, of
// the round in the middle.
func (p *kernelPart) picture(t *testing.T, file string) {
	t.Helper()
	pic := picture.New(p.Name+", the link full of these", "from request to answer, ms", "interactive requests, %")
	const least, most = 0.1, 1000
	pic.X.Min, pic.X.Max, pic.X.Scale, pic.X.Tick.Marker = least, most, plot.LogScale{}, plot.LogTicks{Prec: -1}
	pic.Y.Min, pic.Y.Max = 0, 100
	colors := []color.Color{picture.Gray, picture.Colors[1], picture.Colors[0], picture.Colors[2], picture.Colors[3]}
	for i, r := range p.Rows[:min(len(p.Rows), len(colors))] {
		if medianOf(r.P99) == 0 {
			continue
		}
		middle := slices.Index(r.P99, slices.Sorted(slices.Values(r.P99))[(len(r.P99)-1)/2])
		points := plotter.XYs{}
		for _, c := range r.curves[middle] {
			points = append(points, plotter.XY{X: max(float64(c.Latency), least), Y: c.Percentile})
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			t.Fatal(err)
		}
		line.Color, line.Width = colors[i], vg.Points(1.5)
		pic.Add(line)
		pic.Legend.Add(r.Name, line)
	}
	file = filepath.Join(*benchOut, file)
	if err := picture.Save(pic, file); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("saved: %s\n", file)
}
