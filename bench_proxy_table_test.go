//go:build e2e

package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"overtake/docs/picture"
)

// proxyTable shows the medians, and how the first side's requests compare with the
// others' in processor time.
func proxyTable(sides []*proxySide) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| connections, body | proxy | us per request | %s to it | requests/s | processor used | p50 / p99 ms | MiB |\n", sides[0].Name)
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for i, first := range sides[0].Cells {
		name := fmt.Sprintf("%d, %s", first.Connections, bodyName(first.Body))
		for j, s := range sides {
			c := s.Cells[i]
			if len(c.CPU) < *benchRounds {
				fmt.Fprintf(&b, "| %s | %s | NOT A RESULT: %s | | | | | |\n", name, s.Name, strings.Join(c.Trouble, "; "))
				name = ""
				continue
			}
			ratio := ""
			if j > 0 && len(first.CPU) == len(c.CPU) {
				goal := 0.0
				if first.Body < manyBytes {
					goal = goalProxyCPU[s.Name]
				}
				ratio = ratioCell(ratios(first.CPU, c.CPU), goal)
			}
			fmt.Fprintf(&b, "| %s | %s | %.1f | %s | %.0f | %.0f %% | %.2f / %.2f | %.0f |\n", name, s.Name, medianOf(c.CPU), ratio,
				medianOf(c.PerSec), 100*medianOf(c.Share), medianOf(c.P50), medianOf(c.P99), medianOf(c.RSS))
			name = ""
		}
	}
	fmt.Fprintf(&b, "\nMedians of %d rounds of %v; in brackets the least and the most. The goals, for bodies below 1 MiB: %.2f of nginx, %.2f of HAProxy, %.2f of Caddy.\n\n",
		*benchRounds, *benchTurn, goalProxyCPU["nginx"], goalProxyCPU["HAProxy"], goalProxyCPU["Caddy"])
	return b.String()
}

func bodyName(size int) string {
	switch {
	case size >= 1<<20:
		return fmt.Sprintf("%d MiB", size>>20)
	case size >= 1<<10:
		return fmt.Sprintf("%d KiB", size>>10)
	}
	return fmt.Sprintf("%d B", size)
}

func idleTable(sides []*proxySide) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| proxy | MiB with no connection | with %d idle ones |\n| --- | --- | --- |\n", idleConnections)
	for i, s := range sides {
		if s.Idle == nil {
			continue
		}
		verdict := ""
		if i == 0 {
			verdict = verdictOf(s.Idle[1] <= goalIdle)
		}
		fmt.Fprintf(&b, "| %s | %.0f | %.0f%s |\n", s.Name, s.Idle[0], s.Idle[1], verdict)
	}
	fmt.Fprintf(&b, "\nEach has had one answer. The goal is %d.\n", goalIdle)
	return b.String()
}

// proxyPicture draws what a request costs each proxy, as a part of what it costs
// nginx.
func proxyPicture(t *testing.T, sides []*proxySide) {
	t.Helper()
	pic := picture.New("Processor time of a request", "body, connections", "to nginx's")
	pic.Legend.Top = true
	width := vg.Points(13)
	var names []string
	for _, c := range sides[0].Cells {
		names = append(names, fmt.Sprintf("%s,\n%d", bodyName(c.Body), c.Connections))
	}
	reference := sides[1]
	for i, s := range sides {
		var values plotter.Values
		for j, c := range s.Cells {
			value := 0.0 // not a result
			if len(c.CPU) == *benchRounds && len(reference.Cells[j].CPU) == *benchRounds {
				value = medianOf(ratios(c.CPU, reference.Cells[j].CPU))
			}
			values = append(values, value)
		}
		bars, err := plotter.NewBarChart(values, width)
		if err != nil {
			t.Fatal(err)
		}
		bars.Color, bars.LineStyle.Width = picture.Colors[i], 0
		bars.Offset = width * vg.Length(2*i-len(sides)+1) / 2
		pic.Add(bars)
		pic.Legend.Add(s.Name, bars)
	}
	pic.NominalX(names...)
	pic.X.Min, pic.X.Max = -0.5, float64(len(names))-0.5
	file := filepath.Join(*benchOut, "proxy.png")
	if err := picture.Save(pic, file); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("saved: %s\n", file)
}
