package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"overtake/loadgen"
	"overtake/loadgen/live"
	reports "overtake/loadgen/report"
)

type loadgenCommand struct {
	Target      string        `required:"" placeholder:"URL" help:"Where to send the load."`
	Class       []string      `sep:"none" placeholder:"NAME=RATE:PATH" help:"One part of the load, in requests per second; NAME=RATE:METHOD PATH for other methods than GET. NAME is a label for the report: which latency class the requests get is for the gateway's rules to say. Repeat it for a mixed load."`
	Duration    time.Duration `default:"30s" help:"How long to send (default ${default})."`
	Warmup      time.Duration `default:"0s" help:"How long to send before measuring (default ${default})."`
	Seed        uint64        `default:"1" help:"Seed of the schedules: the same seed sends the same requests at the same times (default ${default})."`
	Job         []string      `placeholder:"NAME" help:"Class whose requests are jobs: 202 is the expected answer, and latency counts until the app has done the work. Needs --completions."`
	Completions string        `placeholder:"URL" help:"Where the sample app lists finished jobs: http://HOST:PORT/completions."`
	Out         string        `placeholder:"DIR" help:"Folder to write report.html and report.json into."`
}

// Help implements kong.HelpProvider.
func (*loadgenCommand) Help() string {
	return `Each class is sent on a schedule of its own (Poisson arrivals) that never waits for the target; latency counts from the intended start. The generator judges itself: a run in which it was late is GENERATOR-BOUND, not a result, and exits with 1.

Example:
  overtake loadgen --target http://127.0.0.1:8080 --class 'interactive=200:/work?ms=5' --class 'batch=100:/work?ms=50' --duration 10s --out report`
}

// Run drives the load and reports.
func (c *loadgenCommand) Run(ctx context.Context) error {
	scenario, err := c.scenario()
	if err != nil {
		return &usageError{err}
	}
	if err := makeReportFolder(c.Out); err != nil {
		return err
	}
	report, err := loadgen.Run(ctx, scenario, loadgen.Options{
		Completions: c.Completions, Version: version(),
		Progress: live.Line(os.Stderr, isTerminal(os.Stderr)),
	})
	if report == nil {
		return err
	}
	if werr := writeReport(report, c.Out); werr != nil {
		return errors.Join(err, werr)
	}
	if err != nil {
		return err
	}
	return worth(report)
}

// worth says why a report is no result; nil if it is one.
func worth(report *loadgen.Report) error {
	ok := int64(0)
	for _, phase := range report.Runs {
		if phase.Verdict.State != loadgen.Valid {
			return fmt.Errorf("not a result: %s; run it again with nothing else running, or with lower rates", phase.Verdict)
		}
		for _, s := range phase.Classes {
			ok += s.OK
		}
	}
	if ok == 0 {
		return errors.New("not one request succeeded; the table says what happened to them")
	}
	return nil
}

func (c *loadgenCommand) scenario() (loadgen.Scenario, error) {
	s := loadgen.Scenario{Target: c.Target, Warmup: c.Warmup, Duration: c.Duration, Seed: c.Seed}
	jobs := make(map[string]bool, len(c.Job))
	for _, name := range c.Job {
		jobs[name] = true
	}
	for _, flag := range c.Class {
		stream, err := loadgen.ParseClassFlag(flag)
		if err != nil {
			return s, err
		}
		stream.Job = jobs[stream.Name]
		delete(jobs, stream.Name)
		s.Classes = append(s.Classes, stream)
	}
	for name := range jobs {
		return s, fmt.Errorf("--job %s: there is no such --class", name)
	}
	if c.Duration <= 0 {
		return s, fmt.Errorf("--duration %v, want more than 0s", c.Duration)
	}
	if len(s.Classes) == 0 {
		return s, errors.New("no load given; add --class 'interactive=200:/work?ms=5'")
	}
	return s, s.Validate()
}

// makeReportFolder makes the folder for the report, so that a run's result is
// not lost for want of it. "" is none.
func makeReportFolder(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("report: %w; give another folder with --out", err)
	}
	return nil
}

// writeReport prints the table, and writes the files into dir, which is there,
// unless it is "".
func writeReport(report *loadgen.Report, dir string) error {
	if err := reports.WriteTable(os.Stdout, report); err != nil {
		return err
	}
	if dir == "" {
		return nil
	}
	html, err := os.Create(filepath.Join(dir, "report.html"))
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	json, err := os.Create(filepath.Join(dir, "report.json"))
	if err != nil {
		return errors.Join(fmt.Errorf("report: %w", err), html.Close())
	}
	return errors.Join(reports.WriteHTML(html, report), html.Close(), reports.WriteJSON(json, report), json.Close())
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
