package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"

	"overtake/classifier/strictyaml"
	"overtake/loadgen"
	reports "overtake/loadgen/report"
)

type compareCommand struct {
	Files []string `arg:"" placeholder:"FILE" help:"Files report.json that 'overtake loadgen --out' wrote, the one to compare with first."`
	Out   string   `placeholder:"DIR" help:"Folder to write comparison.html, comparison.json and comparison.png into."`
}

// Help implements kong.HelpProvider.
func (*compareCommand) Help() string {
	return `Shows the median of each figure over the runs of each file, the ratio to the first file, and whether the difference is more than noise, which takes 4 runs at least in each file (--repeat). It judges nothing: the exit code is 0 also where a file is no result, which is said in a warning.

Example:
  overtake loadgen -f shop --target http://127.0.0.1:8080 --repeat 5 --out without
  overtake loadgen -f shop --target http://127.0.0.1:8081 --repeat 5 --out with
  overtake loadgen compare without/report.json with/report.json --out compared`
}

// Run reads the reports and compares them.
func (c *compareCommand) Run() error {
	if len(c.Files) < 2 {
		return &usageError{errors.New("one report, want two or more to compare, such as without/report.json with/report.json")}
	}
	if err := makeReportFolder(c.Out); err != nil {
		return err
	}
	var all []*loadgen.Report
	for _, name := range c.Files {
		report, err := readReportFile(name)
		if err != nil {
			return &usageError{fmt.Errorf("%s: %w", name, err)}
		}
		if len(report.Runs) == 0 || !slices.ContainsFunc(report.Runs, func(r loadgen.RunResult) bool { return len(r.Classes) > 0 }) {
			return &usageError{fmt.Errorf("%s: the report has no runs with classes: there is nothing to compare; measure again with --out", name)}
		}
		all = append(all, report)
	}
	comparison := reports.CompareFiles(c.Files, all)
	width := cmp.Or(terminalWidth(os.Stdout), 100) // in a log, the same everywhere
	if c.Out == "" {
		return reports.WriteComparisonTable(os.Stdout, comparison, width)
	}
	paths, err := reports.WriteComparisonFolder(c.Out, comparison)
	if terr := reports.WriteComparisonTable(os.Stdout, comparison, width); terr != nil {
		return errors.Join(err, terr)
	}
	fmt.Println()
	printPaths(paths)
	return err
}

func readReportFile(name string) (*loadgen.Report, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return nil, errors.New("a folder: give the report.json in it")
	}
	f, err := strictyaml.OpenFile(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	return reports.ReadJSON(f)
}
