package waterfall

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Slowest sorts requests by their total time and returns the first n.
func Slowest(requests []*Request, n int) []*Request {
	slices.SortFunc(requests, func(a, b *Request) int {
		return cmp.Or(cmp.Compare(b.Total, a.Total), b.Start.Compare(a.Start))
	})
	return requests[:min(n, len(requests))]
}

// head are the titles of the columns.
var head = []string{"START (UTC)", "TRACE", "CLASS", "TOTAL", "WAITED", "", "HOPS", "STATUS", "SLOWEST HOP"}

// mostCell is the most columns that a class, a status or a name takes in a table.
const mostCell = 40

// WriteTable writes one line for each request.
func WriteTable(w io.Writer, requests []*Request) error {
	rows := [][]string{head}
	for _, r := range requests {
		rows = append(rows, []string{
			r.Start.UTC().Format("01-02 15:04:05.000"),
			r.ID.String(),
			cut(strings.Join(r.Classes, ", "), mostCell),
			took(r.Total),
			took(r.Waited),
			fmt.Sprintf("%d%%", share(r.Waited, r.Total)),
			strconv.Itoa(r.Hops),
			cut(r.Status, mostCell),
			cut(r.Slowest, mostCell) + " " + took(r.SlowestTime),
		})
	}
	widths := make([]int, len(head))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], length(cell))
		}
	}
	b := bufio.NewWriter(w)
	for _, row := range rows {
		var line []string
		for i, cell := range row {
			switch i {
			case 3, 4, 5, 6: // figures
				cell = fitRight(cell, widths[i])
			default:
				cell = fit(cell, widths[i])
			}
			line = append(line, cell)
		}
		fmt.Fprintln(b, strings.TrimRight(strings.Join(line, "  "), " "))
	}
	return b.Flush()
}
