package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"overtake/loadgen"
)

// fewRunsNote explains the mark of [DifferenceUnknown].
const fewRunsNote = "? = too few runs to tell a difference from noise: needs --repeat 4 or more for each file"

// fewAnswersNote explains the mark of [DifferenceMaximum].
const fewAnswersNote = "^ = too few answers in a run: the percentile is about their maximum (p90 needs 10, p99 100, p99.9 1,000)"

// noiseNote explains the mark of [DifferenceNoise].
const noiseNote = "~ = may be noise: the runs of the two files overlap too much (Mann-Whitney U, 5 %)"

// WriteComparisonTable writes the comparison as aligned text: for each class a
// row for each figure, with the median of each file and its ratio to the first. Where
// the files are too many for so many columns of a terminal, each has a row, with as
// many figures as fit.
func WriteComparisonTable(w io.Writer, c *Comparison, width int) error {
	var b strings.Builder
	if rows := c.figureRows(); lineWidth(columnWidths(rows)) <= width {
		writeAligned(&b, rows, 1)
	} else {
		c.writeFileRows(&b, width)
	}
	var lines []string
	for _, f := range c.Files {
		lines = append(lines, f.Name+": "+fileText(f))
	}
	lines = append(lines, c.notes()...)
	for _, warning := range c.Warnings {
		lines = append(lines, "warning: "+warning)
	}
	writeLines(&b, "", lines)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("report: comparison: %w", err)
	}
	return nil
}

// figureRows have the files beside each other.
func (c *Comparison) figureRows() [][]string {
	header := []string{"median over runs"}
	for i, f := range c.Files {
		header = append(header, f.title())
		if i > 0 {
			header = append(header, "ratio")
		}
	}
	rows := [][]string{header}
	for _, class := range c.Classes {
		rows = append(rows, []string{comparedLabel(class)})
		for _, f := range class.Figures {
			row := []string{"  " + figureLabel(f)}
			for i, v := range f.Values {
				row = append(row, valueCell(f, v))
				if i > 0 {
					row = append(row, ratioCell(v))
				}
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// notes explain the marks that are used.
func (c *Comparison) notes() []string {
	var notes []string
	if c.any(DifferenceNoise) {
		notes = append(notes, noiseNote)
	}
	if c.any(DifferenceUnknown) {
		notes = append(notes, fewRunsNote)
	}
	if c.any(DifferenceMaximum) {
		notes = append(notes, fewAnswersNote)
	}
	return notes
}

func (c *Comparison) any(d Difference) bool {
	for _, class := range c.Classes {
		for _, f := range class.Figures {
			for _, v := range f.Values {
				if v.Difference == d {
					return true
				}
			}
		}
	}
	return false
}

func comparedLabel(c ComparedClass) string {
	label := loadgen.ClassResult{Name: c.Name, Class: c.Class}.Label()
	if c.Condition != "" {
		label = c.Condition + ": " + label
	}
	return label
}

// title is the name and, where the conditions differ, that.
func (f ComparedFile) title() string {
	if f.Condition == "" {
		return f.Name
	}
	return f.Name + " (" + f.Condition + ")"
}

func fileText(f ComparedFile) string {
	text := f.Target
	if f.Scenario != "" {
		text = f.Scenario + " at " + text
	}
	if f.Verdict.State != loadgen.Valid {
		return text + ", NOT A RESULT (" + string(f.Verdict.State) + ")"
	}
	return text + ", " + string(f.Verdict.State)
}

func figureLabel(f ComparedFigure) string {
	switch f.Unit {
	case "ms":
		return f.Name + " ms"
	case "/s":
		return f.Name + "/s"
	}
	return f.Name
}

func valueCell(f ComparedFigure, v ComparedValue) string {
	switch {
	case v.Runs == 0:
		return "-"
	case f.Unit == "ms":
		return formatMillis(loadgen.Millis(v.Median))
	case f.Unit == "/s":
		return formatRate(v.Median)
	}
	return formatPercent(v.Median, 1)
}

// ratioCell marks what may be noise with ~, and what can't be told with ? or ^.
func ratioCell(v ComparedValue) string {
	text := "-"
	if v.Ratio > 0 {
		text = formatRatio(v.Ratio) + "x"
	}
	switch v.Difference {
	case DifferenceNoise:
		return text + " ~"
	case DifferenceUnknown:
		return text + " ?"
	case DifferenceMaximum:
		return text + " ^"
	}
	return text + "  "
}

func formatRatio(r float64) string {
	switch {
	case r < 0.00095:
		return strconv.FormatFloat(r, 'g', 2, 64)
	case r < 0.0995:
		return fmt.Sprintf("%.3f", r)
	case r < 9.95:
		return fmt.Sprintf("%.2f", r)
	}
	return formatFactor(r)
}
