package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"overtake/loadgen"
	"overtake/loadgen/amqp"
	"overtake/loadgen/expect"
	"overtake/loadgen/live"
	"overtake/loadgen/nats"
	reports "overtake/loadgen/report"
	"overtake/tracing/jaegerquery"
)

// loadgenCommands are what the load generator does; driving a load needs no name.
type loadgenCommands struct {
	Run     loadgenCommand `cmd:"" default:"withargs" help:"Drive a load at a target and show what each class got."`
	Compare compareCommand `cmd:"" help:"Put reports side by side, and say which differences are more than noise."`
}

type loadgenCommand struct {
	File        string         `short:"f" placeholder:"FILE|NAME" help:"Scenario: a file, or the name of one that is built in (see --list). The flags below win over it."`
	List        bool           `help:"List the scenarios that are built in, and do nothing else."`
	Print       string         `placeholder:"scenario|gateway" help:"Print the file of the built-in scenario that -f names, or a configuration of the gateway that suits it, and do nothing else."`
	Target      string         `placeholder:"URL" help:"Where to send the load: http://HOST:PORT or https://HOST:PORT, with USER:PASSWORD@ for Basic authorization."`
	Class       []string       `sep:"none" placeholder:"NAME=RATE:PATH" help:"One part of the load, in requests per second (200, 200/s or 30/min); NAME=RATE:METHOD PATH for other methods than GET. NAME is a label for the report: which latency class the requests get is for the gateway's rules to say. Repeat it for a mixed load; one of the scenario with this name is replaced."`
	Job         []string       `placeholder:"NAME" help:"Class whose requests are jobs: 202 is the expected answer, and latency counts until the work is done: as --completions lists it, or else as the resource in Location tells."`
	Rate        float64        `default:"1" placeholder:"FACTOR" help:"Multiplies the load of all classes (default ${default}): rates, sizes of bursts, and the speed of replays. 2 plays a recording in half the time; a duration that is given, or phases, keep their length."`
	Duration    *time.Duration `placeholder:"DURATION" help:"How long to send (default 30s). A scenario with phases has its own."`
	Warmup      *time.Duration `placeholder:"DURATION" help:"How long to send before measuring (default 0s)."`
	Seed        *uint64        `placeholder:"N" help:"The same seed sends the same requests at the same times (default 1)."`
	Repeat      int            `default:"1" placeholder:"N" help:"How many runs to make (default ${default}); the report has the median and the spread of each figure."`
	Condition   string         `default:"run" placeholder:"TEXT" help:"What the report calls the condition of these runs, such as 'with classes' (default ${default})."`
	Expect      []string       `sep:"none" placeholder:"CLASS.FIGURE<VALUE" help:"What must hold in every run, or the exit code is 1: interactive.p99<50ms. FIGURE is p50, p75, p90, p95, p99, p99.9, p99.99, max, mean (also service.p99 and so on), done/s, goodput, shed, failed, unfinished, skipped or queue_share, then <, <=, > or >=. Repeat it for more."`
	Out         string         `placeholder:"DIR" help:"Folder to write report.html, report.json, report.png and histograms into."`
	Completions string         `placeholder:"URL" help:"Where the sample app lists finished jobs: http://HOST:PORT/completions. More exact than asking at Location."`
	Jaeger      string         `placeholder:"URL" help:"Jaeger's pages, such as http://127.0.0.1:16686: the slowest requests in the report link there, and every request asks to be traced."`
	TraceSample *float64       `placeholder:"SHARE" help:"Share of the requests that ask to be traced, 0 to 1 (default 1 with --jaeger, else 0)."`
	Timeout     time.Duration  `default:"60s" help:"How long a request may take from its real start (default ${default})."`
	Outstanding int            `name:"max-outstanding" default:"20000" placeholder:"N" help:"How many requests of a class may be unanswered; more are skipped and counted (default ${default})."`
	Insecure    bool           `help:"Take any certificate of an https target."`
}

// Help implements kong.HelpProvider.
func (*loadgenCommand) Help() string {
	return `Each class is sent on a schedule of its own (Poisson arrivals) that never waits for the target; latency counts from the intended start. The generator judges itself: a run in which it was late is GENERATOR-BOUND, not a result, and exits with 1. Ctrl-C ends a run early and still reports; the second one kills.

Examples:
  overtake loadgen --target http://127.0.0.1:8080 --class 'interactive=200:/work?ms=5' --class 'batch=100:/work?ms=50' --duration 10s --out report
  overtake loadgen -f shop --print gateway >overtake.yaml
  overtake loadgen -f shop --target http://127.0.0.1:8080 --rate 2 --repeat 5 --condition 'with classes' --out with
  overtake loadgen -f shop.yaml --expect 'interactive.p99<50ms' --expect 'interactive.failed<=0.1%'
  overtake loadgen compare without/report.json with/report.json

Exit codes: 0 a result; 1 none (GENERATOR-BOUND, an expectation not met, nothing succeeded, ended early); 2 wrong use.`
}

// senders carry the requests to endpoints that are no HTTP servers, by their kind.
var senders = map[string]loadgen.OpenSender{"amqp": amqp.Open, "nats": nats.Open}

// Run drives the load and reports.
func (c *loadgenCommand) Run(ctx context.Context) error {
	if c.List {
		return listScenarios(os.Stdout)
	}
	if c.Print != "" {
		return c.printFile(os.Stdout)
	}
	load, expectations, err := c.check()
	if err != nil {
		return &usageError{err}
	}
	if err := makeReportFolder(c.Out); err != nil {
		return &usageError{err}
	}
	warnOfCut(os.Stderr, load)
	warnOfIdle(os.Stderr, load)
	warnOfJaeger(ctx, os.Stderr, c.Jaeger)
	if !signal.Ignored(syscall.SIGHUP) { // by nohup
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, syscall.SIGHUP)
		defer stop()
	}
	// The first signal ends the run, and the report is written. From then on a
	// signal does what it does to any program, but for that of a terminal which is
	// gone: it may come once more.
	defer context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt, syscall.SIGTERM) })()
	report, err := c.drive(ctx, load)
	if report == nil {
		return err
	}
	report.Expectations = expect.CheckAll(expectations, report)
	var missing shortfalls
	for _, err := range []error{err, writeReport(report, c.Out)} {
		if err != nil {
			missing = append(missing, err)
		}
	}
	warnOfTLS(ctx, os.Stderr, load, report)
	if missing = append(missing, worth(report)...); len(missing) > 0 {
		return missing
	}
	return nil
}

// shortfalls are all that is missing for a result, each a line of its own.
type shortfalls []error

func (s shortfalls) Error() string { return errors.Join(s...).Error() }

// warnOfTLS tells which servers of http:// URLs, none of whose answers was a success,
// speak TLS: what is in the report about them, such as a connection that was closed,
// does not say so.
func warnOfTLS(ctx context.Context, w io.Writer, load loadgen.Scenario, report *loadgen.Report) {
	succeeded := make(map[string]bool) // by URL
	for _, run := range report.Runs {
		for i, class := range run.Classes {
			url := cmp.Or(load.Endpoints[load.Classes[i].Endpoint].URL, load.Target)
			succeeded[url] = succeeded[url] || class.OK > 0 || class.FailedTotal() == 0
		}
	}
	for _, url := range slices.Sorted(maps.Keys(succeeded)) {
		if secure, ok := strings.CutPrefix(url, "http://"); ok && !succeeded[url] && loadgen.SpeaksTLS(ctx, url) {
			_, _ = fmt.Fprintf(w, "%s speaks TLS, and was sent requests without: write https://%s\n", url, secure)
		}
	}
}

// warnOfCut tells which recorded arrivals lie after the end of the run.
func warnOfCut(w io.Writer, load loadgen.Scenario) {
	for _, class := range load.Classes {
		replay := class.Arrivals.Replay
		if n := replay.Beyond(load.Warmup + load.Duration); n > 0 {
			_, _ = fmt.Fprintf(w, "class %s: %d of %d recorded arrivals lie beyond the end of the run; let it last %v to have them all\n",
				class.Name, n, len(replay.Arrivals), (replay.End() - load.Warmup + time.Second).Truncate(time.Second))
		}
	}
}

// warnOfIdle tells how much of the run's end has nothing due, if a load is recorded
// and no more: what is done per second is counted over it, too.
func warnOfIdle(w io.Writer, load loadgen.Scenario) {
	var last time.Duration
	for _, class := range load.Classes {
		if len(class.Arrivals.Rate) > 0 || class.Arrivals.Bursts.Size > 0 {
			return
		}
		last = max(last, class.Arrivals.Replay.End())
	}
	// An end is rounded up where nothing is said about it.
	if idle := load.Warmup + load.Duration - last; idle > max(time.Second, load.Duration/10) {
		_, _ = fmt.Fprintf(w, "no recorded arrival is due in the last %v of the run, which figures per second count too; let it last %v to leave that out\n",
			idle.Truncate(time.Millisecond), (last - load.Warmup + time.Second).Truncate(time.Second))
	}
}

// warnOfJaeger tells that links of the report lead nowhere; "" is no Jaeger. It waits
// for up to 3 s.
func warnOfJaeger(ctx context.Context, w io.Writer, pages string) {
	if pages == "" {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 3*time.Second, errors.New("no answer within 3s"))
	defer cancel()
	client, err := jaegerquery.New(pages)
	if err == nil {
		err = client.Reach(ctx)
	}
	if err != nil {
		_, _ = fmt.Fprintf(w, "--jaeger: %v. The links in the report lead nowhere until it is there\n", err)
	}
}

// check returns what the flags and the file ask for.
func (c *loadgenCommand) check() (load loadgen.Scenario, expectations []expect.Expectation, err error) {
	if err := c.checkFlags(); err != nil {
		return load, nil, err
	}
	if load, err = c.scenario(); err != nil {
		return load, nil, err
	}
	var wrong []error // all at once: each costs a try otherwise
	for _, text := range c.Expect {
		e, err := expect.Parse(text)
		if err == nil {
			err = e.Applies(load.Classes)
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("--expect: %w", err))
		}
		expectations = append(expectations, e)
	}
	return load, expectations, errors.Join(wrong...)
}

// drive makes the runs and returns one report of them all. Both the report and
// an error come back when a run was ended early, or when a later run could not be
// made.
func (c *loadgenCommand) drive(ctx context.Context, load loadgen.Scenario) (*loadgen.Report, error) {
	report, err := loadgen.RunRepeated(ctx, load, c.options(newView(load.Name, c.Repeat)), c.Repeat)
	if report != nil && err != nil {
		err = fmt.Errorf("%w; the report has what was measured until then", err)
	}
	return report, err
}

func (c *loadgenCommand) options(view *live.View) loadgen.Options {
	opts := loadgen.Options{
		Condition: c.Condition, Completions: c.Completions, Version: version(), Progress: view.Progress,
		RequestTimeout: c.Timeout, MaxOutstanding: c.Outstanding,
		Jaeger: c.Jaeger, TraceSample: c.traceSample(), Senders: senders,
	}
	if c.Insecure {
		opts.TLS = &tls.Config{InsecureSkipVerify: true} // asked for with --insecure
	}
	return opts
}

func (c *loadgenCommand) traceSample() float64 {
	switch {
	case c.TraceSample != nil:
		return *c.TraceSample
	case c.Jaeger != "":
		return 1
	}
	return 0
}

// worth returns all reasons why a report is no result; none if it is one.
func worth(report *loadgen.Report) (missing shortfalls) {
	if report.Verdict.State != loadgen.Valid {
		missing = append(missing, fmt.Errorf("not a result: %s; the reasons are below the table", report.Verdict.State))
	}
	var unmet []string
	for _, e := range report.Expectations {
		if !e.Met {
			unmet = append(unmet, e.Text)
		}
	}
	if len(unmet) > 0 {
		missing = append(missing, fmt.Errorf("%d of %d expectations are not met: %s", len(unmet), len(report.Expectations), strings.Join(unmet, ", ")))
	}
	if !anySuccess(report) {
		missing = append(missing, errors.New("not one request succeeded; the table says what happened to them"))
	}
	return missing
}

func anySuccess(report *loadgen.Report) bool {
	for _, run := range report.Runs {
		if slices.ContainsFunc(run.Classes, func(c loadgen.ClassResult) bool { return c.OK > 0 }) {
			return true
		}
	}
	return false
}

// newView shows runs on standard error: in place on a terminal.
func newView(scenario string, runs int) *live.View {
	opts := live.Options{Scenario: scenario, Runs: runs, Colour: os.Getenv("NO_COLOR") == ""} // https://no-color.org
	if terminalWidth(os.Stderr) > 0 {
		opts.Size = func() (columns, rows int) { return terminalSize(os.Stderr) }
	}
	return live.New(os.Stderr, opts)
}

// makeReportFolder makes the folder for the report, so that a run's result is
// not lost for want of it. "" is none.
func makeReportFolder(dir string) error {
	if dir == "" {
		return nil
	}
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = tryFile(dir)
	}
	if err != nil {
		return fmt.Errorf("report: %w; give another folder with --out", err)
	}
	return nil
}

// tryFile finds out whether files can be made in dir.
func tryFile(dir string) error {
	f, err := os.CreateTemp(dir, ".overtake-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// writeReport writes the files into dir unless it is "", and then prints the table:
// standard output may be full or closed, and one that fails must not lose the others.
func writeReport(report *loadgen.Report, dir string) error {
	if dir == "" {
		return reports.WriteTable(os.Stdout, report)
	}
	paths, err := reports.WriteFolder(dir, report)
	if terr := reports.WriteTable(os.Stdout, report); terr != nil {
		return errors.Join(err, terr)
	}
	fmt.Println()
	printPaths(paths)
	return err
}

// printPaths names the files that people open, and counts the histograms.
func printPaths(paths []string) {
	histograms := 0
	for _, path := range paths {
		if filepath.Ext(path) == ".hgrm" {
			histograms++
			continue
		}
		fmt.Println("report: " + path)
	}
	if histograms > 0 {
		fmt.Printf("report: %d histograms (.hgrm) in %s\n", histograms, filepath.Dir(paths[0]))
	}
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
