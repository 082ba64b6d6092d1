package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"overtake/loadgen"
)

// Comparison puts the reports of several files side by side. Every figure is
// the median over the runs of its file.
type Comparison struct {
	Schema int `json:"schema"` // that of the reports
	// Files are in the order they were given; ratios are to the first.
	Files []ComparedFile `json:"files"`
	// Warnings say what makes the files hard to compare.
	Warnings []string        `json:"warnings"`
	Classes  []ComparedClass `json:"classes"`
}

// ComparedFile is one of the compared reports.
type ComparedFile struct {
	Name string `json:"name"`
	// Condition is what the file's runs were made under; empty if it has several, or
	// if all files have the same.
	Condition string          `json:"condition,omitempty"`
	Scenario  string          `json:"scenario"`
	Target    string          `json:"target"`
	Verdict   loadgen.Verdict `json:"verdict"`
}

// ComparedClass is one class in all files.
type ComparedClass struct {
	// Condition is empty if each file has one condition, whatever its name.
	Condition string           `json:"condition,omitempty"`
	Name      string           `json:"name"`
	Class     string           `json:"class"`
	Figures   []ComparedFigure `json:"figures"`
	// Curves has one for each file.
	Curves []ComparedCurve `json:"curves"`
}

// ComparedFigure is one figure of a class in all files.
type ComparedFigure struct {
	Name   string          `json:"name"` // such as p99
	Unit   string          `json:"unit"` // ms, /s or share
	Values []ComparedValue `json:"values"`
}

// ComparedValue is one figure of a class in one file.
type ComparedValue struct {
	Runs   int     `json:"runs"` // with that figure; 0 if the file has none
	Median float64 `json:"median"`
	Ratio  float64 `json:"ratio"` // to the first file; 0 if there is none
	// RatioLow and RatioHigh are between which ratios the runs leave the true one: to
	// all others the test has a P below 5 %. 0 if P was not computed, or if a run of
	// either file has 0.
	RatioLow  float64 `json:"ratio_low"`
	RatioHigh float64 `json:"ratio_high"`
	// P is the probability of a difference at least as large between runs that
	// only noise makes different (Mann-Whitney U, exact for up to 50 runs). 0 if
	// it was not computed.
	P float64 `json:"p"`
	// Difference is what can be said of the difference to the first file.
	Difference Difference `json:"difference"`
}

// Difference says whether a figure differs from that of the first file.
type Difference string

// What can be said of a difference.
const (
	DifferenceBase    Difference = "base"         // the first file, or nothing to compare
	DifferenceReal    Difference = "real"         // noise alone makes such a difference in fewer than 5 % of comparisons
	DifferenceNoise   Difference = "noise"        // it may be noise
	DifferenceUnknown Difference = "too few runs" // no difference of so few runs could be told from noise
	// DifferenceMaximum is of a percentile above all but the maximum of the answers in
	// a run of either file, which says more of how many they are than of the target.
	DifferenceMaximum Difference = "too few answers"
)

// Two times 4 runs are the fewest of which a rank test can tell anything at 5 %:
// the most extreme order has p = 2/70.
const fewestRuns = 4

var comparedFigures = []figure{p50Figure, p90Figure, p99Figure, p999Figure, doneFigure, goodputFigure, notServedFigure, queueFigure}

// CompareFiles compares reports; names are what to call them, as many as there
// are reports. Classes are matched by their name and by that of the condition;
// reports with one condition each are compared whatever its name.
func CompareFiles(names []string, reports []*loadgen.Report) *Comparison {
	c := &Comparison{Schema: loadgen.ReportSchema, Files: []ComparedFile{}, Warnings: []string{}, Classes: []ComparedClass{}}
	if len(reports) == 0 {
		return c
	}
	var groups [][]group
	single := true
	for i, r := range reports {
		c.Files = append(c.Files, ComparedFile{Name: names[i], Scenario: r.Scenario, Target: r.Target, Verdict: r.Verdict})
		groups = append(groups, groupRuns(r))
		single = single && len(groups[i]) <= 1
	}
	if single {
		c.nameConditions(groups)
	}
	c.Warnings = append(c.Warnings, comparisonWarnings(names, reports)...)
	for _, class := range comparedClasses(groups, single) {
		samples := make([][]loadgen.ClassResult, len(reports))
		for i := range reports {
			samples[i] = classRuns(groups[i], class, single)
		}
		class.Figures = compareFigures(samples)
		for _, results := range samples {
			class.Curves = append(class.Curves, compareCurve(results))
		}
		c.Classes = append(c.Classes, class)
	}
	return c
}

// nameConditions names the condition of each file where they differ: it is what
// is compared.
func (c *Comparison) nameConditions(files [][]group) {
	differ := slices.ContainsFunc(files, func(g []group) bool {
		return len(g) > 0 && len(files[0]) > 0 && g[0].condition != files[0][0].condition
	})
	for i, groups := range files {
		if differ && len(groups) > 0 {
			c.Files[i].Condition = groups[0].condition
		}
	}
}

// comparedClasses returns the classes of all files, without figures.
func comparedClasses(files [][]group, single bool) []ComparedClass {
	var classes []ComparedClass
	for _, groups := range files {
		for _, g := range groups {
			for _, m := range g.classes {
				class := ComparedClass{Condition: g.condition, Name: m.result.Name, Class: m.result.Class}
				if single {
					class.Condition = ""
				}
				if !slices.ContainsFunc(classes, func(c ComparedClass) bool {
					return c.Condition == class.Condition && c.Name == class.Name
				}) {
					classes = append(classes, class)
				}
			}
		}
	}
	return classes
}

// classRuns returns what the class got in each run of one file.
func classRuns(groups []group, class ComparedClass, single bool) []loadgen.ClassResult {
	var results []loadgen.ClassResult
	for _, g := range groups {
		if !single && g.condition != class.Condition {
			continue
		}
		for _, run := range g.runs {
			for _, c := range run.Classes {
				if c.Name == class.Name {
					results = append(results, c)
				}
			}
		}
	}
	return results
}

// compareFigures leaves out figures that no file has.
func compareFigures(samples [][]loadgen.ClassResult) []ComparedFigure {
	var figures []ComparedFigure
	for _, f := range comparedFigures {
		compared := ComparedFigure{Name: f.name, Unit: f.unit}
		var base []float64
		any, baseFew := false, false
		for i, results := range samples {
			var values []float64
			for _, c := range results {
				if v, ok := f.value(c); ok {
					values = append(values, v)
				}
			}
			few := f.tooFew(results)
			slices.Sort(values)
			any = any || len(values) > 0
			if i == 0 {
				base, baseFew = values, few
			}
			value := compareValue(base, values, i == 0)
			if (few || baseFew) && value.Difference != DifferenceBase {
				value = ComparedValue{Runs: value.Runs, Median: value.Median, Ratio: value.Ratio, Difference: DifferenceMaximum}
			}
			compared.Values = append(compared.Values, value)
		}
		if any {
			figures = append(figures, compared)
		}
	}
	return figures
}

// heading says what is compared; the names of many files are long.
func (c *Comparison) heading() string {
	if len(c.Files) > 2 {
		return fmt.Sprintf("%d files, ratios to %s", len(c.Files), c.Files[0].title())
	}
	var titles []string
	for _, f := range c.Files {
		titles = append(titles, f.title())
	}
	return strings.Join(titles, " against ")
}

// WriteComparisonJSON writes the comparison as indented JSON.
func WriteComparisonJSON(w io.Writer, c *Comparison) error { return writeJSON(w, c) }
