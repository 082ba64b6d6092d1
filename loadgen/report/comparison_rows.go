package report

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// fileRows are a table that has a row for each file, so that a figure is compared
// down a column. All columns are equally wide, in all classes.
type fileRows struct {
	value, ratio int  // width of a figure, and of its ratio to the first file
	perRow       int  // figures
	apart        bool // names are too long to stand in the rows
}

// fileRows chooses as many figures as fit into so many columns of a terminal, at
// least one.
func (c *Comparison) fileRows(width int) fileRows {
	var rows fileRows
	names, labels := 0, 0
	for _, f := range c.Files {
		names = max(names, utf8.RuneCountInString(f.title()))
	}
	for _, class := range c.Classes {
		for _, f := range class.Figures {
			labels = max(labels, len(figureLabel(f)))
			for _, v := range f.Values {
				rows.value, rows.ratio = max(rows.value, len(valueCell(f, v))), max(rows.ratio, len(ratioCell(v)))
			}
		}
	}
	rows.ratio = max(rows.ratio, labels-rows.value-2) // a label may reach over both
	figure := 2 + rows.value + 2 + rows.ratio
	left := 2 + names
	if left+figure > width {
		rows.apart, left = true, 0
	}
	rows.perRow = max((width-left)/figure, 1)
	return rows
}

// cell ends the figure, and the ratio, where those of other rows end.
func (r fileRows) cell(figure, ratio string) string {
	return fmt.Sprintf("%*s  %*s", r.value, figure, r.ratio, ratio)
}

// label begins where a figure does if it is longer.
func (r fileRows) label(f ComparedFigure) string {
	return fmt.Sprintf("%-*s", r.value+2+r.ratio, fmt.Sprintf("%*s", r.value, figureLabel(f)))
}

func (c *Comparison) writeFileRows(b *strings.Builder, width int) {
	layout := c.fileRows(width)
	writeAligned(b, [][]string{{"median over runs, and its ratio to " + c.Files[0].title()}}, 1)
	for _, class := range c.Classes {
		b.WriteByte('\n')
		writeAligned(b, [][]string{{comparedLabel(class)}}, 1)
		for figures := range slices.Chunk(class.Figures, layout.perRow) {
			header := []string{""}
			for _, f := range figures {
				header = append(header, layout.label(f))
			}
			rows := [][]string{header}
			for i, file := range c.Files {
				row := []string{"  " + file.title()}
				if layout.apart {
					rows = append(rows, row)
					row = []string{""}
				}
				for _, f := range figures {
					ratio := ""
					if i > 0 {
						ratio = ratioCell(f.Values[i])
					}
					row = append(row, layout.cell(valueCell(f, f.Values[i]), ratio))
				}
				rows = append(rows, row)
			}
			writeAligned(b, rows, 1)
		}
	}
}
