package report

import (
	"math"

	"overtake/loadgen"
)

// figure is a figure of a class in a run.
type figure struct {
	name, unit string // ms, /s or share
	value      func(loadgen.ClassResult) (v float64, ok bool)
	format     func(float64) string
	// few says whether a percentile is of so few answers that it is about their
	// maximum; nil for other figures.
	few func(loadgen.ClassResult) bool
}

// The figures of tables, cards and comparisons.
var (
	doneFigure      = rateFigure("done", func(c loadgen.ClassResult) (float64, bool) { return c.DonePerSecond, true })
	goodputFigure   = rateFigure("goodput", func(c loadgen.ClassResult) (float64, bool) { return c.Goodput, c.Objective > 0 })
	okFigure        = figure{name: "ok", unit: "share", format: formatOK, value: func(c loadgen.ClassResult) (float64, bool) { return ratio(float64(c.OK), float64(c.Sent)), c.Sent > 0 }}
	notServedFigure = shareFigure("not served", 1, func(c loadgen.ClassResult) (float64, bool) { return c.NotServedShare(), c.Sent > 0 })
	queueFigure     = shareFigure("queue share", 0, func(c loadgen.ClassResult) (float64, bool) { return c.QueueShare, c.Queue.Count > 0 })

	p50Figure  = latencyFigure("p50", 50, func(l loadgen.Latency) loadgen.Millis { return l.P50 })
	p90Figure  = latencyFigure("p90", 90, func(l loadgen.Latency) loadgen.Millis { return l.P90 })
	p99Figure  = latencyFigure("p99", 99, func(l loadgen.Latency) loadgen.Millis { return l.P99 })
	p999Figure = latencyFigure("p99.9", 99.9, func(l loadgen.Latency) loadgen.Millis { return l.P999 })
	maxFigure  = latencyFigure("max", 100, func(l loadgen.Latency) loadgen.Millis { return l.Max })
	meanFigure = latencyFigure("mean", 100, func(l loadgen.Latency) loadgen.Millis { return l.Mean })

	latencyFigures = []figure{p50Figure, p90Figure, p99Figure, p999Figure, maxFigure}
	serviceFigures = []figure{p50Figure.ofService(), p99Figure.ofService()}
)

func rateFigure(name string, value func(loadgen.ClassResult) (float64, bool)) figure {
	return figure{name: name, unit: "/s", value: value, format: formatRate}
}

func shareFigure(name string, decimals int, value func(loadgen.ClassResult) (float64, bool)) figure {
	return figure{name: name, unit: "share", value: value, format: func(v float64) string { return formatPercent(v, decimals) }}
}

// latencyFigure is about so many percent of the successes; one of 100 is of all,
// however few.
func latencyFigure(name string, percent float64, get func(loadgen.Latency) loadgen.Millis) figure {
	f := figure{
		name: name, unit: "ms", format: func(v float64) string { return formatMillis(loadgen.Millis(v)) },
		value: func(c loadgen.ClassResult) (float64, bool) { return float64(get(c.Latency)), c.Latency.Count > 0 },
	}
	if percent < 100 {
		f.few = func(c loadgen.ClassResult) bool { return c.Latency.Count < loadgen.FewestAnswers(percent) }
	}
	return f
}

// ofService is the same of the service time.
func (f figure) ofService() figure {
	swapped := func(c loadgen.ClassResult) loadgen.ClassResult {
		c.Latency = c.Service
		return c
	}
	value, few := f.value, f.few
	f.value = func(c loadgen.ClassResult) (float64, bool) { return value(swapped(c)) }
	f.few = func(c loadgen.ClassResult) bool { return few != nil && few(swapped(c)) }
	return f
}

// tooFew reports whether a run that has the figure has too few answers for it.
func (f figure) tooFew(runs []loadgen.ClassResult) bool {
	if f.few == nil {
		return false
	}
	for _, c := range runs {
		if _, ok := f.value(c); ok && f.few(c) {
			return true
		}
	}
	return false
}

// median is over the runs that have the figure; NaN if none has.
func (f figure) median(runs []loadgen.ClassResult) float64 {
	return loadgen.SpreadOf(runs, f.value).Median
}

// fewMark is of a percentile of too few answers; [fewAnswersNote] explains it.
const fewMark = "^"

// figureCell is a figure as a table shows it: the median over the runs, "-" if none has
// it and with ^ if it is of too few answers, and the least and the most of several.
type figureCell struct{ median, least, most string }

// cell sums up the figure over runs.
func (f figure) cell(runs []loadgen.ClassResult) figureCell {
	s := loadgen.SpreadOf(runs, f.value)
	if math.IsNaN(s.Median) {
		return figureCell{median: "-"}
	}
	cell := figureCell{median: f.format(s.Median)}
	if f.tooFew(runs) {
		cell.median += fewMark
	}
	if len(runs) > 1 {
		cell.least, cell.most = f.format(s.Min), f.format(s.Max)
	}
	return cell
}

// span is from the least to the most; "" of one run, without a figure, and where all
// runs had the same.
func (c figureCell) span() string {
	if c.least == c.most {
		return ""
	}
	return c.least + ".." + c.most
}
