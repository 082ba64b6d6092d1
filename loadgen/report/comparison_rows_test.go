package report

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"overtake/loadgen"
)

// manyFiles are eight reports with two classes, of which the last file has but one.
func manyFiles(directory string) *Comparison {
	var names []string
	var all []*loadgen.Report
	for i := range 8 {
		first := float64(i + 1)
		r := reportOf("page", first, first*1.1, first*1.2, first*1.3)
		for j, other := range reportOf("export", 1000*first, 1100, 1200*first, 1300).Runs {
			if i < 7 {
				r.Runs[j].Classes = append(r.Runs[j].Classes, other.Classes...)
			}
		}
		names, all = append(names, fmt.Sprintf("%s%s/report.json", directory, strings.Repeat("x", i+1))), append(all, r)
	}
	return CompareFiles(names, all)
}

func comparisonText(t *testing.T, c *Comparison, width int) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteComparisonTable(&b, c, width); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Many files have a row each, below each other.
func TestComparisonTableOfManyFiles(t *testing.T) {
	checkGolden(t, "testdata/comparison-many.txt", []byte(comparisonText(t, manyFiles(""), 100)))
}

// The table is no wider than the terminal, down to the width that one figure takes, and
// holds all figures and ratios in the same order of files at any width.
func TestComparisonTableFits(t *testing.T) {
	for _, directory := range []string{"", strings.Repeat("deep/", 30)} {
		c := manyFiles(directory)
		for width := 40; width < 400; width += 7 {
			text := comparisonText(t, c, width)
			table := text[:strings.Index(text, "\n\n"+c.Files[0].Name+": ")]
			for _, class := range c.Classes {
				for _, f := range class.Figures {
					if !strings.Contains(table, figureLabel(f)) {
						t.Fatalf("width %d: no %s in\n%s", width, f.Name, table)
					}
					for _, v := range f.Values {
						for _, cell := range []string{valueCell(f, v), strings.TrimSpace(ratioCell(v))} {
							if v.Ratio > 0 && !strings.Contains(table, " "+cell) {
								t.Fatalf("width %d: %s: no %s in\n%s", width, f.Name, cell, table)
							}
						}
					}
				}
			}
			for line := range strings.Lines(table) {
				if n := utf8.RuneCountInString(strings.TrimSpace(line)); n > width && !strings.HasSuffix(line, "/report.json\n") {
					t.Fatalf("width %d: %d columns in %q", width, n, line)
				}
			}
		}
	}
}

// A difference of the load is told once for all classes that have it.
func TestLoadDifference(t *testing.T) {
	load := func(text string) *loadgen.Report {
		r := &loadgen.Report{}
		for run := range strings.SplitSeq(text, "|") {
			var result loadgen.RunResult
			for class := range strings.FieldsSeq(run) {
				c := loadgen.ClassResult{Method: "GET"}
				name, rest, _ := strings.Cut(class, "=")
				rate, path, _ := strings.Cut(rest, "/")
				if _, err := fmt.Sscan(rate, &c.Rate); err != nil {
					t.Fatal(err)
				}
				c.Name, c.Path = name, "/"+path
				result.Classes = append(result.Classes, c)
			}
			r.Runs = append(r.Runs, result)
		}
		return r
	}
	for _, c := range []struct{ first, other, want string }{
		{"a=1/ b=2/", "b=2/ a=1/", ""},
		{"a=1/ | a=1/", "a=1/", ""},
		{"a=1/ b=2/", "a=3/ b=2/", "3/s, not 1/s, in a"},
		{"a=1/ b=1/ c=1/", "a=3/ b=3/ c=3/", "3/s, not 1/s, in a, b and c"},
		{"a=1/ b=2/ c=4/x", "a=3/ b=6/ c=4/x", "3x the rate, in a and b"},
		{"a=1/ b=2/ c=4/ d=8/ e=16/ f=32/", "a=0.5/ b=1/ c=2/ d=4/ e=8/ f=16/", "0.5x the rate, in all 6 classes"},
		{"a=1/x b=2/x c=3/x d=4/", "a=1/y b=2/y c=3/y d=4/", "GET /y, not GET /x, in a, b and c"},
		{"a=1/x b=2/", "a=2/y b=2/", "2/s GET /y, not 1/s GET /x, in a"},
		{"a=1/ b=2/ c=2/", "a=1/ d=2/", "nothing, not 2/s GET /, in b and c; 2/s GET /, not nothing, in d"},
		{"a=1/ | a=2/", "a=2/ | a=4/", "2/s, 4/s, not 1/s, 2/s, in a"},
		{"a=1/ b=1/ c=1/ d=1/ e=1/ f=1/ g=1/", "a=2/ b=2/ c=2/ d=2/ e=2/ f=2/ g=1/", "2/s, not 1/s, in a, b, c, d and 2 more"},
		{"a=0/ b=1/", "a=1/ b=0/", "1/s, not 0/s, in a; 0/s, not 1/s, in b"},
	} {
		if got := loadDifference(loadsOf(load(c.first)), loadsOf(load(c.other))); got != c.want {
			t.Errorf("%s against %s: %q, want %q", c.other, c.first, got, c.want)
		}
	}
}

// Files and conditions of which the same is to be said share a warning.
func TestWarningsAreFolded(t *testing.T) {
	var all []*loadgen.Report
	for i := range 4 {
		r := reportOf("page", 1, 2)
		r.Runs = append(r.Runs, reportOf("page", 3, 4).Runs...)
		r.Runs[2].Condition, r.Runs[3].Condition = "other", "other"
		if i%2 == 1 {
			r.Verdict = loadgen.Verdict{State: loadgen.GeneratorBound, Reasons: []string{"late"}}
			r.Runs[0].Interrupted, r.Runs[2].Interrupted = true, i == 3
		}
		all = append(all, r)
	}
	got := CompareFiles([]string{"a", "b", "c", "d"}, all).Warnings
	if want := []string{
		"b, d are NOT A RESULT: GENERATOR-BOUND: late",
		"b has 1 run that was ended early: it is left out, of run",
		"d has 1 run that was ended early: it is left out, of run and other",
	}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
