package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"

	"overtake/loadgen"
)

// curveReport has a run for each factor, of a class whose latencies are 1 to count
// ms, times the factor.
func curveReport(class string, count int64, factors ...float64) *loadgen.Report {
	r := reportOf(class, factors...)
	for i, factor := range factors {
		c := &r.Runs[i].Classes[0]
		at := func(percentile float64) loadgen.Millis {
			return loadgen.Millis(round3(factor * max(1, math.Ceil(percentile*float64(count)/100-1e-6))))
		}
		c.Latency = loadgen.Latency{Count: count, P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: at(100)}
		c.Curve = nil
		for n := 0.0; n <= math.Ceil(20*math.Log10(float64(count))); n++ {
			percentile := math.Round(1e8*(1-math.Pow(10, -n/20))) / 1e6
			c.Curve = append(c.Curve, loadgen.CurvePoint{Percentile: percentile, Latency: at(percentile)})
		}
		c.Curve = append(c.Curve, loadgen.CurvePoint{Percentile: 100, Latency: at(100)})
	}
	return r
}

// pageParts returns the JSON in the page.
func pageParts(t *testing.T, c *Comparison) (back Comparison, guide comparisonGuide, page string) {
	t.Helper()
	var b bytes.Buffer
	if err := WriteComparisonHTML(&b, c); err != nil {
		t.Fatal(err)
	}
	page = b.String()
	for id, into := range map[string]any{"comparison": &back, "guide": &guide} {
		_, rest, found := strings.Cut(page, `<script type="application/json" id="`+id+`">`)
		data, _, closed := strings.Cut(rest, "</script>")
		if !found || !closed {
			t.Fatalf("no %s in the page", id)
		}
		if err := json.Unmarshal([]byte(data), into); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}
	return back, guide, page
}

// checkPlots checks that what the plots are drawn of is what the table shows: the
// points at the percentiles of the figures, and the texts beside the ratios.
func checkPlots(t *testing.T, c *Comparison) {
	t.Helper()
	back, guide, page := pageParts(t, c)
	if !reflect.DeepEqual(&back, c) {
		t.Errorf("the page holds %+v\nof %+v", back, *c)
	}
	if len(guide.Sides) != len(c.Files) || len(guide.Classes) != len(c.Classes) {
		t.Fatalf("guide %+v", guide)
	}
	if strings.Contains(page, "ZgotmplZ") {
		t.Error("the template refused a value")
	}
	for i, class := range c.Classes {
		if len(class.Curves) != len(c.Files) {
			t.Fatalf("%s has %d curves, want one for each file", class.Name, len(class.Curves))
		}
		for side, curve := range class.Curves {
			checkCurve(t, class, side, curve)
		}
		for _, rows := range guide.Classes[i].Ratios {
			f := class.Figures[rows.Figure]
			for j, side := range rows.Sides {
				want := strings.TrimSpace(ratioCell(f.Values[side]))
				if strings.HasPrefix(want, "-") {
					want = valueCell(f, f.Values[0]) + " → " + valueCell(f, f.Values[side]) + want[1:]
				}
				if rows.Texts[j] != want || side == 0 || f.Values[side].Runs == 0 {
					t.Errorf("%s %s of file %d: text %q, the table has %q", class.Name, f.Name, side, rows.Texts[j], want)
				}
			}
		}
		if plotted := strings.Contains(page, fmt.Sprintf(`id="plot-curves-%d"`, i)); plotted != (len(class.having()) > 1) {
			t.Errorf("%s: curves are in the page: %v", class.Name, plotted)
		}
	}
}

func checkCurve(t *testing.T, class ComparedClass, side int, curve ComparedCurve) {
	t.Helper()
	last := -1.0
	for i, p := range curve.Points {
		if i > 0 {
			if before := curve.Points[i-1]; p.Median < before.Median || p.Min < before.Min || p.Max < before.Max {
				t.Errorf("%s of file %d: the curve falls from %+v to %+v", class.Name, side, before, p)
			}
		}
		if p.Percentile <= last || p.Percentile > 100 || p.Min > p.Median || p.Median > p.Max {
			t.Errorf("%s of file %d: point %+v after %v %%", class.Name, side, p, last)
		}
		last = p.Percentile
		name := fmt.Sprintf("p%v", p.Percentile)
		at := slices.IndexFunc(class.Figures, func(f ComparedFigure) bool { return f.Name == name })
		if at < 0 {
			continue
		}
		if v := class.Figures[at].Values[side]; v.Median != float64(p.Median) || v.Runs != curve.Runs {
			t.Errorf("%s of file %d: the plot has %v ms for %s, the table %v", class.Name, side, p.Median, name, v.Median)
		}
	}
}

func TestCurvesOfRuns(t *testing.T) {
	few := curveReport("page", 20, 1)
	mixed := curveReport("page", 1000, 3, 1, 2)
	mixed.Runs = append(mixed.Runs, few.Runs[0]) // 20 answers
	mixed.Runs[3].Repeat = 4
	c := CompareFiles([]string{"a", "b"}, []*loadgen.Report{curveReport("page", 1000, 3, 1, 2), mixed})
	checkPlots(t, c)
	curve := c.Classes[0].Curves[0]
	if curve.Runs != 3 || curve.Count != 1000 {
		t.Errorf("%+v", curve)
	}
	for percentile, want := range map[float64]ComparedPoint{
		0: {0, 2, 1, 3}, 50: {50, 1000, 500, 1500}, 90: {90, 1800, 900, 2700}, 99: {99, 1980, 990, 2970}, 99.9: {99.9, 1998, 999, 2997}, 100: {100, 2000, 1000, 3000},
	} {
		if !slices.Contains(curve.Points, want) {
			t.Errorf("%v %%: no %+v in %+v", percentile, want, curve.Points)
		}
	}
	// Beyond its own percentiles, a run with few answers has what it has at the last.
	if end := c.Classes[0].Curves[1]; end.Runs != 4 || end.Points[len(end.Points)-1] != (ComparedPoint{100, 1500, 20, 3000}) {
		t.Errorf("%+v", end)
	}
	if short := compareCurve(few.Runs[0].Classes); slices.ContainsFunc(short.Points, func(p ComparedPoint) bool { return p.Percentile == 99 || p.Percentile == 99.9 }) {
		t.Errorf("20 answers have no 99 %%: %+v", short.Points)
	}
}

// fewReport has a run for each count of answers, which took random times; its figures
// are those of a histogram, which rounds ranks.
func fewReport(random *rand.Rand, counts ...int64) *loadgen.Report {
	r := reportOf("page", make([]float64, len(counts))...)
	for i, count := range counts {
		h := hdrhistogram.New(1, 3_600_000_000, 3)
		for range count {
			_ = h.RecordValue(1000 + random.Int64N(100_000)) // it is in range
		}
		at := func(percentile float64) loadgen.Millis {
			return loadgen.Millis(float64(h.ValueAtQuantile(percentile)) / 1000)
		}
		c := &r.Runs[i].Classes[0]
		c.Latency = loadgen.Latency{Count: count, P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: loadgen.Millis(float64(h.Max()) / 1000)}
		for n := 0.0; n <= math.Ceil(20*math.Log10(float64(count))); n++ {
			q := 1 - math.Pow(10, -n/20)
			c.Curve = append(c.Curve, loadgen.CurvePoint{Percentile: math.Round(q*1e8) / 1e6, Latency: at(q * 100)})
		}
		c.Curve = append(c.Curve, loadgen.CurvePoint{Percentile: 100, Latency: c.Latency.Max})
	}
	return r
}

// The ranks of few answers are rounded, and their runs end at other percentiles: no
// curve falls, and each is at the figures of the table.
func TestCurvesOfFewAnswers(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		for _, counts := range [][]int64{{5}, {6}, {15}, {5, 6, 15, 1}, {15, 5, 6, 150, 2000}, {6, 6, 6, 15}} {
			checkPlots(t, CompareFiles([]string{"a", "b"}, []*loadgen.Report{fewReport(random, counts...), fewReport(random, 5, 6, 15)}))
		}
	}
}

// A percentile that is about the maximum of the answers of a run of either file is
// neither more than noise nor has it an interval, and the texts say why.
func TestTooFewAnswers(t *testing.T) {
	for count, want := range map[int64]string{
		1: "p50 p90 p99 p99.9", 6: "p90 p99 p99.9", 15: "p99 p99.9", 99: "p99 p99.9", 100: "p99.9", 999: "p99.9", 1000: "",
	} {
		slow, fast := curveReport("page", count, 10, 11, 12, 13), curveReport("page", count, 1, 1.1, 1.2, 1.3)
		for i := range 4 {
			fast.Runs[i].Classes[0].Latency.Count = 1000
			if i > 0 { // one run with few is enough
				slow.Runs[i].Classes[0].Latency.Count = 1000
			}
		}
		for _, files := range [][]*loadgen.Report{{fast, slow}, {slow, fast}} {
			c := CompareFiles([]string{"a", "b"}, files)
			checkPlots(t, c)
			var few []string
			for _, f := range c.Classes[0].Figures {
				v := f.Values[1]
				marked := strings.HasSuffix(ratioCell(v), " ^")
				if marked {
					few = append(few, f.Name)
				}
				if marked != (v.Difference == DifferenceMaximum) || marked && (v.P != 0 || v.RatioLow != 0 || v.RatioHigh != 0 || v.Ratio == 0) {
					t.Errorf("%d answers, %s: %+v", count, f.Name, v)
				}
				if f.Name == "p99" && !marked && v.Difference != DifferenceReal {
					t.Errorf("%d answers, p99: %+v", count, v)
				}
			}
			if got := strings.Join(few, " "); got != want {
				t.Errorf("%d answers: too few for %q, want %q", count, got, want)
			}
			_, _, page := pageParts(t, c)
			for text, told := range map[string]bool{fewAnswersNote: want != "", "More than noise: p50": count > 1, "; p99.9 ms of b": want == ""} {
				if strings.Contains(page, text) != told {
					t.Errorf("%d answers: %q is in the page: %v", count, text, !told)
				}
			}
		}
	}
}

// No set of files makes the page fail, or show what is not in the table.
func TestOddComparisons(t *testing.T) {
	empty := curveReport("page", 1000, 1, 2, 3, 4)
	for i := range empty.Runs {
		empty.Runs[i].Classes[0].Curve = nil
	}
	dead := curveReport("page", 1000, 1, 2, 3, 4)
	for i := range dead.Runs {
		c := &dead.Runs[i].Classes[0]
		c.DonePerSecond, c.Latency, c.OK, c.Curve = 0, loadgen.Latency{}, 0, nil
	}
	strange := curveReport("page", 10, 1)
	strange.Runs[0].Classes[0].Curve = []loadgen.CurvePoint{{Percentile: 700, Latency: 1}, {Percentile: 60, Latency: 2}, {Percentile: -5, Latency: 3}, {Percentile: 5, Latency: 0}}
	bound := curveReport("page", 1000, 2)
	bound.Verdict = loadgen.Verdict{State: loadgen.GeneratorBound, Reasons: []string{"late"}}
	four := curveReport("page", 1000, 1, 1.1, 1.2, 1.3)
	other := curveReport("other", 1000, 1)
	for name, c := range map[string]struct {
		reports []*loadgen.Report
		want    []string // in the page
		not     []string
	}{
		"equal": {[]*loadgen.Report{four, four}, []string{`id="plot-ratios-0"`, "No difference is more than noise"}, []string{`class="odd"`}},
		"eight": {[]*loadgen.Report{four, bound, dead, empty, strange, four, four, four}, []string{`id="plot-ratios-0"`,
			"f1 is GENERATOR-BOUND, no result: dashed in the plots.", "f2 has no answer of this class.", "f3 has no curve of this class."}, nil},
		"base bound":    {[]*loadgen.Report{bound, four}, []string{"f0 is GENERATOR-BOUND, no result: the curve is dashed, and all ratios are to it."}, nil},
		"no answers":    {[]*loadgen.Report{dead, dead}, []string{`id="plot-curves-0"`}, []string{`id="plot-ratios-0"`}},
		"base dead":     {[]*loadgen.Report{dead, four}, []string{`id="plot-ratios-0"`, "More than noise: done/s of f1 0.0 → 50.0"}, nil},
		"other classes": {[]*loadgen.Report{four, other}, []string{"Nothing to compare: only f0 has this class.", "Nothing to compare: only f1 has this class."}, []string{`id="plot-`, `class="odd"`}},
		"not the first": {[]*loadgen.Report{other, four, four}, []string{`id="plot-curves-1"`, "There are none"}, []string{`id="plot-ratios`}},
		"alike": {[]*loadgen.Report{four, bound, other, dead, bound, other, dead, four}, []string{
			"f1, f4 are GENERATOR-BOUND, no result: dashed in the plots.", "f2, f5 do not have this class.", "f3, f6 have no answer of this class."}, nil},
		"single runs": {[]*loadgen.Report{bound, curveReport("page", 1000, 4)}, []string{`id="plot-ratios-0"`}, nil},
		"one file":    {[]*loadgen.Report{four}, []string{"Nothing to compare"}, []string{`id="plot-`}},
		"none":        {nil, nil, []string{`id="plot-`}},
	} {
		t.Run(name, func(t *testing.T) {
			var names []string
			for i := range c.reports {
				names = append(names, fmt.Sprintf("f%d", i))
			}
			compared := CompareFiles(names, c.reports)
			checkPlots(t, compared)
			if slices.Contains([]string{"eight", "no answers", "not the first", "none"}, name) { // pictures take long
				checkComparisonPNG(t, compared)
			}
			_, _, page := pageParts(t, compared)
			for _, want := range c.want {
				if !strings.Contains(page, want) {
					t.Errorf("%q is not in the page", want)
				}
			}
			own := strings.Replace(page, chartLibrary, "", 1)
			for _, not := range c.not {
				if strings.Contains(own, not) {
					t.Errorf("%q is in the page", not)
				}
			}
		})
	}
}

// Figures that nobody measured don't make a page or a picture fail, or take for ever.
func TestAbsurdComparison(t *testing.T) {
	absurd := func(count int64, values ...float64) *loadgen.Report {
		r := reportOf("page", values...)
		for i, v := range values {
			l := loadgen.Millis(v)
			c := &r.Runs[i].Classes[0]
			c.DonePerSecond = v
			c.Latency = loadgen.Latency{Count: count, P50: l, P90: -l, P99: l, P999: 0, Max: l}
			c.Curve = []loadgen.CurvePoint{{Percentile: 99.99999999999999, Latency: l}, {Percentile: 100, Latency: 0}, {Percentile: 100, Latency: -l}}
		}
		return r
	}
	huge, tiny := absurd(math.MaxInt64, 1e304, 1e304, 2e304, 1e303), absurd(1, 1e-300, 1e-300, 5e-324, 1)
	for _, all := range [][]*loadgen.Report{{huge, tiny}, {tiny, tiny}} {
		c := CompareFiles([]string{"a", "b"}, all)
		checkComparisonPNG(t, c)
		pageParts(t, c)
	}
}

// checkComparisonPNG checks that there are plots for each class that the files share,
// and something of the colour of each file with a curve that no other covers.
func checkComparisonPNG(t *testing.T, c *Comparison) {
	t.Helper()
	var b bytes.Buffer
	if err := WriteComparisonPNG(&b, c); err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	want := make(map[color.RGBA]bool)
	for _, class := range c.Classes {
		if len(class.having()) < 2 {
			continue
		}
		rows++
		for side, curve := range class.Curves {
			covered := slices.ContainsFunc(class.Curves[side+1:], func(other ComparedCurve) bool { return slices.Equal(other.Points, curve.Points) })
			if len(curve.Points) > 0 && !covered {
				want[shade(colours.Light, side)] = true
			}
		}
	}
	if got := picture.Bounds().Size(); got.X != 1600 || got.Y != 900*max(rows, 1) {
		t.Errorf("%v for %d classes", got, rows)
	}
	pixels := image.NewRGBA(picture.Bounds())
	draw.Draw(pixels, pixels.Rect, picture, image.Point{}, draw.Src)
	for shade := range want {
		if bytes.Contains(pixels.Pix, []byte{shade.R, shade.G, shade.B, shade.A}) {
			delete(want, shade)
		}
	}
	if len(want) > 0 {
		t.Errorf("nothing has the colours %v", want)
	}
}

// The interval is of the same test: it leaves 1 out where the difference is real.
func TestRatioInterval(t *testing.T) {
	for _, c := range []struct {
		base, values []float64
		low, high    float64
	}{
		{[]float64{1, 2, 3, 4}, []float64{5, 6, 7, 8}, 1.25, 8}, // all ratios: only U = 0 is below 5 %
		{[]float64{1, 1, 1, 1}, []float64{1, 1, 1, 1}, 1, 1},
		{[]float64{2, 2, 2, 2}, []float64{1, 1, 1, 1}, 0.5, 0.5},
		// Of 25 ratios, U up to 2 is below 5 %: from the third to the last but two.
		{[]float64{1, 2, 4, 8, 16}, []float64{3, 6, 12, 24, 48}, 0.375, 24},
		{[]float64{0, 1, 1, 1}, []float64{1, 1, 1, 1}, 0, 0},
		{[]float64{1, 1, 1, 1}, []float64{0, 1, 1, 1}, 0, 0},
		{[]float64{1e9, 1e9, 1e9, 1e9}, []float64{2, 2, 2, 2}, 2e-9, 2e-9},
	} {
		if low, high := ratioInterval(c.base, c.values); low != c.low || high != c.high {
			t.Errorf("%v to %v: %v to %v, want %v to %v", c.base, c.values, low, high, c.low, c.high)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		runs := func(shift float64) []float64 {
			var values []float64
			for range 4 + random.IntN(5) {
				values = append(values, math.Exp(shift*random.Float64()+random.NormFloat64()/4))
			}
			slices.Sort(values)
			return values
		}
		base, values := runs(0), runs(2*random.Float64()-1)
		v := compareValue(base, values, false)
		outside := v.RatioLow > 1 || v.RatioHigh < 1
		if outside != (v.Difference == DifferenceReal) || v.Ratio < v.RatioLow || v.Ratio > v.RatioHigh {
			t.Fatalf("%v to %v: %+v", base, values, v)
		}
	}
}
