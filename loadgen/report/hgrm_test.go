package report

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"

	"overtake/loadgen"
)

// hgrmRow is a row of an .hgrm file.
type hgrmRow struct {
	value, share float64
	count        int64
}

// parseHGRM reads the text of either writer.
func parseHGRM(t *testing.T, text string) (rows []hgrmRow, footer map[string]float64) {
	t.Helper()
	footer = make(map[string]float64)
	for line := range strings.Lines(text) {
		var row hgrmRow
		if n, _ := fmt.Sscan(line, &row.value, &row.share, &row.count); n == 3 {
			rows = append(rows, row)
			continue
		}
		line, found := strings.CutPrefix(strings.TrimSpace(line), "#[")
		if !found {
			continue
		}
		for part := range strings.SplitSeq(strings.TrimSuffix(line, "]"), ",") {
			name, text, _ := strings.Cut(part, "=")
			var value float64
			if _, err := fmt.Sscan(text, &value); err != nil {
				t.Fatalf("%s: %v", part, err)
			}
			footer[strings.TrimSpace(name)] = value
		}
	}
	return rows, footer
}

// The file says the same as what the library prints of the same values.
func TestHGRMAgreesWithTheLibrary(t *testing.T) {
	const perDecade = 20 // as in the curves of a run
	random := rand.New(rand.NewPCG(1, 2))
	for _, count := range []int{1, 2, 10, 1000, 50_000} {
		h := hdrhistogram.New(1, 3600_000_000, 3)
		for range count {
			if err := h.RecordValue(int64(20_000 * math.Exp(random.NormFloat64()))); err != nil {
				t.Fatal(err)
			}
		}
		millis := func(us float64) loadgen.Millis { return loadgen.Millis(us / 1000) }
		c := loadgen.ClassResult{Latency: loadgen.Latency{Count: int64(count), Mean: millis(h.Mean()), Max: millis(float64(h.Max()))}}
		for i := range int(math.Ceil(math.Log10(float64(count))*perDecade)) + 1 {
			q := 100 - 100*math.Pow(10, -float64(i)/perDecade)
			c.Curve = append(c.Curve, loadgen.CurvePoint{Percentile: q, Latency: millis(float64(h.ValueAtQuantile(q)))})
		}
		var ours, theirs bytes.Buffer
		if err := WriteHGRM(&ours, c); err != nil {
			t.Fatal(err)
		}
		if _, err := h.PercentilesPrint(&theirs, 5, 1000); err != nil {
			t.Fatal(err)
		}
		rows, footer := parseHGRM(t, ours.String())
		want, wantFooter := parseHGRM(t, theirs.String())
		if len(rows) != len(c.Curve)+1 || len(footer) != 6 || len(wantFooter) != 6 {
			t.Fatalf("%d values: %d rows of %d, %v, %v", count, len(rows), len(c.Curve), footer, wantFooter)
		}
		for name, value := range wantFooter {
			tolerance := 0.0
			if name == "StdDeviation" {
				tolerance = 0.1*value + 1 // an estimate; of few values a rough one
				if count < 1000 {
					continue
				}
			}
			if math.Abs(footer[name]-value) > tolerance {
				t.Errorf("%d values: %s is %v, the library says %v", count, name, footer[name], value)
			}
		}
		// Of the values up to theirs there are as many as they say, and no more.
		for _, w := range want {
			for _, row := range rows {
				if row.count <= w.count && row.value > w.value || row.count > w.count && row.value < w.value {
					t.Errorf("%d values: the library says %v, which contradicts %v", count, w, row)
				}
			}
		}
		for i, row := range rows[1:] {
			if before := rows[i]; row.value < before.value || row.share < before.share || row.count < before.count {
				t.Errorf("%d values: %v comes after %v", count, row, before)
			}
		}
		if last := rows[len(rows)-1]; last.share != 1 || last.count != int64(count) {
			t.Errorf("%d values: the last row is %v", count, last)
		}
	}
}

func TestHGRMOfNothing(t *testing.T) {
	var b bytes.Buffer
	if err := WriteHGRM(&b, loadgen.ClassResult{}); err != nil {
		t.Fatal(err)
	}
	if rows, footer := parseHGRM(t, b.String()); len(rows) != 0 || footer["Total count"] != 0 || len(footer) != 6 {
		t.Errorf("%v, %v", rows, footer)
	}
}
